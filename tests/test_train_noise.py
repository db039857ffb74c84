"""Every degradation against its own statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from train import noise
from train.camera import Camera, camera
from train.noise import Blind, Gaussian, Image

from .pictures import flat, textured


def neighbours(field: Image) -> tuple[float, float]:
    """Correlation of the first channel with itself one pixel below and one to the right."""
    plane = field[..., 0] - field[..., 0].mean()
    down = np.corrcoef(plane[1:].ravel(), plane[:-1].ravel())[0, 1]
    right = np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1]
    return float(down), float(right)


@pytest.mark.parametrize("sigma", [5 / 255, 50 / 255])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_gaussian_has_its_sigma_and_channel_correlation(
    sigma: float, correlation: float, rng: np.random.Generator
) -> None:
    added = noise.gaussian(flat(0.5), sigma, rng, correlation) - 0.5
    assert added.std(axis=(0, 1)) == pytest.approx([sigma] * 3, rel=0.02)
    assert added.mean() == pytest.approx(0, abs=0.02 * sigma)
    between = np.corrcoef(added.reshape(-1, 3).T)
    assert between[np.triu_indices(3, 1)] == pytest.approx([correlation] * 3, abs=0.02)
    assert neighbours(added) == pytest.approx((0, 0), abs=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_correlated_noise_has_its_sigma_and_is_blotchy(channels: int, rng: np.random.Generator) -> None:
    softer = None
    for scale in (1.2, 2.4):
        added = noise.correlated(flat(0.5, channels), 0.1, scale, rng) - 0.5
        assert added.std() == pytest.approx(0.1, rel=0.01)
        down, right = neighbours(added)
        assert min(down, right) > 0.2
        assert softer is None or down > softer
        softer = down


def test_correlated_noise_is_as_strong_at_the_border_as_inside(rng: np.random.Generator) -> None:
    added = np.stack([noise.correlated(flat(0.5, 1, 32), 0.1, 2.0, rng) - 0.5 for _ in range(400)])
    assert added[:, 0].std() == pytest.approx(added.std(), rel=0.25)
    assert added[:, :, -1].std() == pytest.approx(added.std(), rel=0.25)


def test_film_grain_is_strongest_in_the_mid_tones_and_gone_at_black_and_white(rng: np.random.Generator) -> None:
    def strength(value: float) -> float:
        return float((noise.film_grain(flat(value), 0.1, 0.7, rng) - value).std())

    assert strength(0.0) == 0.0
    assert strength(1.0) == 0.0
    assert strength(0.5) == pytest.approx(0.1, rel=0.02)
    # The variance is 4x(1 - x): at 0.1 and 0.9 it is 0.36 of that at mid-gray.
    assert strength(0.1) == pytest.approx(0.06, rel=0.03)
    assert strength(0.9) == pytest.approx(0.06, rel=0.03)
    added = noise.film_grain(flat(0.5), 0.1, 0.7, rng) - 0.5
    assert min(neighbours(added)) > 0.2
    assert np.corrcoef(added[..., 0].ravel(), added[..., 2].ravel())[0, 1] == pytest.approx(0.8, abs=0.03)


def test_speckle_grows_with_the_signal(rng: np.random.Generator) -> None:
    assert not (noise.speckle(flat(0.0), 0.2, rng)).any()
    for value in (0.2, 0.4, 0.8):
        added = noise.speckle(flat(value), 0.2, rng) - value
        assert added.std() == pytest.approx(0.2 * value, rel=0.02)


def test_salt_and_pepper_hits_its_share_half_black_half_white_in_all_channels(rng: np.random.Generator) -> None:
    noisy = noise.salt_and_pepper(flat(0.5, side=512), 0.04, rng)
    assert (noisy == 0.0).all(axis=2).mean() == pytest.approx(0.02, abs=0.002)
    assert (noisy == 1.0).all(axis=2).mean() == pytest.approx(0.02, abs=0.002)
    # A pixel is hit in all channels or in none.
    assert (noisy == 0.5).all(axis=2).mean() == pytest.approx(0.96, abs=0.003)
    assert (noise.salt_and_pepper(flat(0.5), 0.0, rng) == 0.5).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_loses_more_at_lower_quality(channels: int) -> None:
    clean = textured(channels=channels)

    def error(quality: int) -> float:
        # The same seed draws the same chroma sampling.
        stored = noise.jpeg(clean, quality, np.random.default_rng(4))
        assert stored.shape == clean.shape
        assert stored.dtype == np.float32
        return float(np.square(stored - clean).mean())

    assert error(98) < error(80) < error(30) < error(5)
    assert error(98) < (3 / 255) ** 2


def test_jpeg_keeps_red_red(rng: np.random.Generator) -> None:
    red = np.zeros((32, 32, 3), np.float32)
    red[..., 0] = 0.8
    assert noise.jpeg(red, 95, rng) == pytest.approx(red, abs=0.02)


def test_jpeg_halves_the_chroma_of_some_images_only() -> None:
    # Columns of red and blue, of equal luma: 4:2:0 averages them away, 4:4:4 does not.
    stripes = np.full((64, 64, 3), 0.5, np.float32)
    stripes[:, ::2, 0] += 0.1
    stripes[:, 1::2, 2] += 0.26
    kept = [
        float(noise.jpeg(stripes, 95, np.random.default_rng(seed))[..., 2].std() / stripes[..., 2].std())
        for seed in range(40)
    ]
    halved = sum(share < 0.6 for share in kept)
    assert 8 < halved < 32
    assert max(kept) > 0.9


def test_as_stored_is_on_the_grid_of_a_file() -> None:
    stored = noise.as_stored(np.linspace(-0.3, 1.4, 501, dtype=np.float32).reshape(1, -1, 1))
    assert stored.min() == 0.0
    assert stored.max() == 1.0
    assert stored * 255 == pytest.approx(np.rint(stored * 255), abs=1e-4)
    assert np.unique(np.rint(stored * 255)).size == 256
    assert noise.as_stored(np.float32([0.3 / 255, 0.7 / 255])) == pytest.approx([0, 1 / 255])


def test_gaussian_of_the_studies_is_clipped_on_demand(rng: np.random.Generator) -> None:
    clipped = Gaussian(0.5).apply(flat(0.5), rng)
    assert clipped.min() == 0.0
    assert clipped.max() == 1.0
    raw = Gaussian(0.5, clip=False).apply(flat(0.5), rng)
    assert raw.std() == pytest.approx(0.5, rel=0.02)


_ALL: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "gaussian": lambda x, rng: noise.gaussian(x, 0.1, rng, 0.5),
    "correlated": lambda x, rng: noise.correlated(x, 0.1, 1.7, rng),
    "film grain": lambda x, rng: noise.film_grain(x, 0.1, 0.7, rng),
    "speckle": lambda x, rng: noise.speckle(x, 0.1, rng),
    "salt and pepper": lambda x, rng: noise.salt_and_pepper(x, 0.1, rng),
    "jpeg": lambda x, rng: noise.jpeg(x, 60, rng),
    "camera": lambda x, rng: camera(x, Camera(1e-2, 0.02, (2.0, 1.5), 0.5, True, 0.5, 1.0, 0.5, 0.5), rng),
    "studies": lambda x, rng: Gaussian(0.5).apply(x, rng),
}


@pytest.mark.parametrize("name", _ALL)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(2, 3), (7, 5), (64, 64), (33, 90)])
def test_every_degradation_keeps_shape_and_input_and_is_seeded(name: str, channels: int, size: tuple[int, int]) -> None:
    clean = textured(*size, channels)
    before = clean.copy()
    noisy = _ALL[name](clean, np.random.default_rng(3))
    assert noisy.shape == clean.shape
    assert noisy.dtype == np.float32
    assert np.isfinite(noisy).all()
    assert not np.shares_memory(noisy, clean)
    assert (clean == before).all()
    assert (_ALL[name](clean, np.random.default_rng(3)) == noisy).all()
    if min(size) > 6 and name != "jpeg":  # of a JPEG only the grid and the chroma are left to chance
        assert (_ALL[name](clean, np.random.default_rng(4)) != noisy).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_blind_is_seeded_finite_and_keeps_shapes(channels: int) -> None:
    extremes = textured(37, 53, channels)
    extremes[:10] = 0.0
    extremes[-10:] = 1.0
    for seed in range(150):
        noisy = Blind().apply(extremes, np.random.default_rng(seed))
        assert noisy.shape == extremes.shape
        assert noisy.dtype == np.float32
        assert np.isfinite(noisy).all()
        assert (noisy == Blind().apply(extremes, np.random.default_rng(seed))).all()


def test_blind_gives_each_kind_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name in ("gaussian", "camera", "correlated", "film_grain", "speckle", "salt_and_pepper"):
        real = getattr(noise, name)

        def spy(*args: object, _name: str = name, _real: Callable[..., Image] = real, **options: float) -> Image:
            drawn.append(_name)
            return _real(*args, **options)

        monkeypatch.setattr(noise, name, spy)
    clean = noise.as_stored(textured(8, 8))
    kinds, unchanged, on_grid = [], 0, 0
    for seed in range(3000):
        drawn.clear()
        noisy = Blind().apply(clean, np.random.default_rng(seed))
        # film_grain draws its noise from gaussian.
        kinds.append(drawn[0] if drawn else "none")
        unchanged += not drawn and bool((noisy == clean).all())
        on_grid += bool(np.abs(noisy * 255 - np.rint(noisy * 255)).max() < 1e-3)
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert shares == pytest.approx(
        {
            "gaussian": 0.30,
            "camera": 0.42,
            "correlated": 0.06,
            "film_grain": 0.04,
            "speckle": 0.03,
            "salt_and_pepper": 0.03,
            "none": 0.12,  # JPEG alone and identity
        },
        abs=0.025,
    )
    assert unchanged / 3000 == pytest.approx(0.06, abs=0.02)
    # Only a fifth of the Gaussian share is neither clipped nor rounded.
    assert on_grid / 3000 == pytest.approx(1 - 0.30 * 0.2, abs=0.025)


def test_blind_reaches_its_strongest_noise_and_no_more() -> None:
    only = Blind(gaussian=1.0, camera=0, correlated=0, grain=0, speckle=0, salt_and_pepper=0, jpeg_only=0, stored=0.0)
    clean = flat(0.5, 1, 64)
    levels = [float((only.apply(clean, np.random.default_rng(seed)) - 0.5).std()) for seed in range(300)]
    assert max(levels) == pytest.approx(60 / 255, rel=0.05)
    assert min(levels) < 3 / 255
    assert np.mean(levels) == pytest.approx(30 / 255, rel=0.1)


def test_strong_noise_is_gaussian_and_drowns_the_noise_of_a_photograph() -> None:
    clean = flat(0.5, 3, 64)
    levels = [float((Blind().strong().apply(clean, np.random.default_rng(seed)) - 0.5).std()) for seed in range(200)]
    assert min(levels) == pytest.approx(12 / 255, rel=0.1)
    assert max(levels) > 50 / 255
