"""Where crops lie, and what is done to them."""

from __future__ import annotations

import numpy as np
import pytest

from folderdenoise.errors import UsageError
from train.crops import CropSource, Pool
from train.noise import Gaussian

from . import pictures

NO_NOISE = Gaussian(0.0)


def test_crops_lie_inside_and_reach_every_border_and_turn() -> None:
    photo, held_out = pictures.numbered(20, 24), pictures.numbered(20, 24, seed=1)
    source = CropSource([Pool([photo], NO_NOISE)], [held_out], 32, ((0.0, 16),), 1, "", draws=1)
    places = set()
    for step in range(12):
        clean, noisy = source.batch(step, 0.0)
        assert (clean == noisy).all()
        for crop in pictures.as_bytes(clean):
            [place] = pictures.place_of(crop, photo)
            places.add(place)
            assert not pictures.place_of(crop, held_out)
    tops, lefts, turns, mirrors = (set(values) for values in zip(*places, strict=True))
    assert tops == set(range(5))
    assert lefts == set(range(9))
    assert turns == set(range(4))
    assert mirrors == {False, True}
    for crop in pictures.as_bytes(source.validation()[0]):
        assert pictures.place_of(crop, held_out)
        assert not pictures.place_of(crop, photo)


def test_crops_prefer_detail() -> None:
    half = np.full((64, 128, 1), 90, np.uint8)
    half[:, 64:] = pictures.numbered(64, 64)

    def detailed(draws: int) -> float:
        source = CropSource([Pool([half], NO_NOISE)], [half], 64, ((0.0, 16),), 1, "", draws)
        return float(np.mean([image.std() > 0.1 for image in source.batch(0, 0.0)[0]]))

    assert detailed(1) < 0.75
    assert detailed(4) > 0.85


def test_patches_grow_with_the_schedule_at_the_same_number_of_pixels() -> None:
    photos = [pictures.numbered(140, 150, 3, index) for index in range(2)]
    patches = ((0.0, 64), (0.7, 96), (0.9, 128))
    source = CropSource([Pool(photos[1:], NO_NOISE)], photos[:1], 16, patches, 1, "")
    sizes = {progress: source.batch(0, progress)[0].shape for progress in (0.0, 0.69, 0.7, 0.9, 1.0)}
    assert sizes == {
        0.0: (16, 64, 64, 3),
        0.69: (16, 64, 64, 3),
        0.7: (7, 96, 96, 3),
        0.9: (4, 128, 128, 3),
        1.0: (4, 128, 128, 3),
    }
    assert source.validation()[0].shape == (32, 128, 128, 3)


def test_crops_of_images_that_are_all_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 32×32"):
        CropSource([Pool([pictures.numbered(31, 90)], NO_NOISE)], [pictures.numbered(90, 90)], 2, ((0.0, 32),), 1, "")


def test_pools_get_their_shares_and_their_noise() -> None:
    dark, light = np.full((64, 64, 1), 10, np.uint8), np.full((64, 64, 1), 200, np.uint8)
    pools = [Pool([dark], NO_NOISE, 0.6), Pool([light], Gaussian(0.05), 0.2), Pool([], NO_NOISE, 0.2)]
    source = CropSource(pools, [dark], 16, ((0.0, 32),), 1, "")
    batches = [source.batch(step, 0.0) for step in range(60)]
    clean, noisy = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    is_light = clean.mean(axis=(1, 2, 3)) > 0.5
    assert is_light.mean() == pytest.approx(0.25, abs=0.05)  # an empty pool has no share
    spread = (noisy - clean).std(axis=(1, 2, 3))
    assert (spread[is_light] > 0.03).all()
    assert (spread[~is_light] == 0.0).all()


def test_soft_crops_are_enlarged() -> None:
    photo = np.indices((128, 128)).sum(axis=0)[..., None] % 2 * 200  # the finest detail there is
    photo = photo.astype(np.uint8)

    def finest(soft: float) -> np.ndarray:
        source = CropSource([Pool([photo], NO_NOISE, soft=soft)], [photo], 64, ((0.0, 32),), 1, "")
        clean = source.batch(0, 0.0)[0]
        assert clean.shape == (64, 32, 32, 1)
        return np.abs(np.diff(clean, axis=1)).mean(axis=(1, 2, 3))

    assert (finest(0.0) > 0.7).all()
    assert (finest(0.5) < 0.6).mean() == pytest.approx(0.5, abs=0.15)
    assert (finest(1.0) < 0.6).mean() > 0.9


def test_sharp_crops_are_reduced_and_have_less_noise_of_their_own(rng: np.random.Generator) -> None:
    # A slope that tells how much of the photograph is in a crop, and noise that a mean over pixels makes less.
    slope = np.linspace(0, 200, 200)[None, :, None] * np.ones((120, 1, 1))
    photo = np.rint(slope + 20 + rng.normal(size=slope.shape) * 6).astype(np.uint8)

    def seen(sharp: float) -> tuple[np.ndarray, np.ndarray]:
        source = CropSource([Pool([photo], NO_NOISE, sharp=sharp)], [photo], 64, ((0.0, 32),), 1, "", draws=1)
        clean = 255 * source.batch(0, 0.0)[0][..., 0]
        assert clean.shape == (64, 32, 32)
        # Turned by chance: the slope goes along one axis, and across it there is noise alone.
        means = np.stack([np.ptp(clean.mean(axis=axis), axis=1) for axis in (1, 2)])
        across = np.stack([clean.std(axis=axis).mean(axis=1) for axis in (1, 2)])
        return means.max(axis=0), across.min(axis=0)

    reach, noise = seen(0.0)
    assert reach.max() < 45
    assert noise.min() > 5
    reach, noise = seen(0.5)
    assert (reach > 45).mean() == pytest.approx(0.4, abs=0.15)
    assert reach.max() > 80
    assert noise[reach > 80].max() < 3


def test_crops_that_the_photograph_is_too_small_for_are_reduced_by_less() -> None:
    photo = pictures.numbered(40, 50)
    source = CropSource([Pool([photo], NO_NOISE, sharp=1.0)], [photo], 16, ((0.0, 32),), 1, "")
    assert source.batch(0, 0.0)[0].shape == (16, 32, 32, 1)


def test_dim_crops_are_darker_and_each_channel_differently() -> None:
    photo = np.full((64, 64, 3), 200, np.uint8)
    source = CropSource([Pool([photo], NO_NOISE, dim=0.5)], [photo], 64, ((0.0, 32),), 1, "")
    clean = np.concatenate([source.batch(step, 0.0)[0] for step in range(5)])
    light = clean.mean(axis=(1, 2)) / (200 / 255)
    dimmed = light.max(axis=1) < 0.999
    assert dimmed.mean() == pytest.approx(0.5, abs=0.08)
    assert light.max() == pytest.approx(1.0, rel=1e-3)
    assert 0.06 < light.min() < 0.12
    assert np.median(np.ptp(np.log(light[dimmed]), axis=1)) > 0.1


def test_plain_crops_are_taken_as_they_come() -> None:
    half = np.full((64, 640, 1), 90, np.uint8)
    half[:, 320:] = pictures.numbered(64, 320)

    def flat(plain: float) -> float:
        source = CropSource([Pool([half], NO_NOISE, plain=plain)], [half], 200, ((0.0, 16),), 1, "")
        return float(np.mean([image.std() < 0.01 for image in source.batch(0, 0.0)[0]]))

    assert flat(0.0) < 0.05
    assert flat(1.0) == pytest.approx(0.5, abs=0.1)
