"""What a strength above 1 is taught: to remove more, the weak before the strong."""

from __future__ import annotations

import numpy as np
import pytest

from train.noise import gaussian, unit
from train.stronger import STRONGER_SHARE, asked, smoothed

from . import pictures


@pytest.fixture
def clean() -> np.ndarray:
    return unit(pictures.scene(64, 96, channels=3))


def rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.square(difference).mean()))


def test_more_strength_smooths_more_and_more_noise_too(clean: np.ndarray, rng: np.random.Generator) -> None:
    for sigma in (0.0, 0.05, 0.2):
        noisy = gaussian(clean, sigma, rng)
        removed = [rms(smoothed(clean, noisy, strength) - clean) for strength in (1.1, 1.5, 2.0)]
        assert 0 < removed[0] < removed[1] < removed[2]
    weak, strong = (gaussian(clean, sigma, rng) for sigma in (0.02, 0.2))
    assert rms(smoothed(clean, weak, 2.0) - clean) < rms(smoothed(clean, strong, 2.0) - clean)


def test_weak_texture_goes_and_strong_edges_stay(rng: np.random.Generator) -> None:
    clean = np.full((64, 64, 3), 0.2, np.float32)
    clean[:, 32:] = 0.8
    clean[::2, :24] += 0.01
    given = smoothed(clean, gaussian(clean, 0.1, rng), 2.0)
    assert given.shape == clean.shape
    assert given.dtype == np.float32
    assert given[8:-8, 4:20].std() < 0.25 * clean[8:-8, 4:20].std()
    edge = given[8:-8, 32].mean() - given[8:-8, 31].mean()
    assert edge > 0.55
    assert given.mean() == pytest.approx(clean.mean(), abs=1e-3)


def test_noise_on_one_side_smooths_that_side(clean: np.ndarray, rng: np.random.Generator) -> None:
    noisy = clean.copy()
    noisy[:, :48] = gaussian(clean[:, :48], 0.2, rng)
    change = smoothed(clean, noisy, 2.0) - clean
    assert rms(change[:, :32]) > 2 * rms(change[:, 64:])


def test_one_image_in_eight_is_asked_for_more_strongly(rng: np.random.Generator) -> None:
    clean = unit(np.repeat(pictures.scene(16, 16, channels=1)[None, ..., None], 800, axis=0))
    noisy = gaussian(clean, 0.1, rng)
    batch = asked(clean, noisy, rng)
    more = batch.strength > 1
    assert more.mean() == pytest.approx(STRONGER_SHARE, abs=0.04)
    assert batch.strength[more].min() < 1.2
    assert 1.8 < batch.strength[more].max() <= 2
    assert (batch.strength[~more] == 1).all()
    assert (batch.wanted[~more] == clean[~more]).all()
    assert (batch.wanted[more] != clean[more]).any(axis=(1, 2, 3)).all()
    assert batch.strength.dtype == batch.wanted.dtype == np.float32
