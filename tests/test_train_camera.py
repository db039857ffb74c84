"""The camera's noise against its own statistics."""

from __future__ import annotations

import numpy as np
import pytest

from train import camera
from train.camera import Camera, Image

from .pictures import flat, textured


def neighbours(field: Image) -> float:
    """Correlation of the first channel with itself one pixel to the right."""
    plane = field[..., 0] - field[..., 0].mean()
    return float(np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1])


def linear_noise(value: float, by: Camera, channels: int = 3) -> Image:
    """Noise in linear light that the camera adds to a flat image of linear intensity ``value``."""
    clean = camera.to_srgb(flat(value, channels, 512))
    noisy = camera.camera(clean, by, np.random.default_rng(5))
    # Not to_linear, which is for [0, 1]: invert the linear branch below black as well.
    return np.where(noisy < 0.04045, noisy / 12.92, ((np.maximum(noisy, 0) + 0.055) / 1.055) ** 2.4) - value


def test_srgb_and_linear_light_are_inverse() -> None:
    encoded = np.linspace(0, 1, 1001, dtype=np.float32)
    assert camera.to_srgb(camera.to_linear(encoded)) == pytest.approx(encoded, abs=1e-5)
    assert camera.to_linear(np.float32([0.0, 0.5, 1.0])) == pytest.approx([0.0, 0.21404, 1.0], abs=1e-5)
    negative = camera.to_srgb(np.float32([-0.01]))
    assert negative == pytest.approx([-0.1292])


@pytest.mark.parametrize("value", [0.0, 0.05, 0.4, 0.8])
def test_noise_follows_light_read_noise_and_gains_through_the_mosaic(value: float) -> None:
    shot, read, gains = 4e-3, 0.01, (2.0, 1.5)
    light = linear_noise(value, Camera(shot, read, gains))
    # Bilinear demosaicing of white noise of variance 1. Green: half the sites as they are, half the mean of four
    # (variance 1/4). Red and blue: 1/4 as they are, 1/2 the mean of two (1/2), 1/4 the mean of four (1/4).
    passed = {0: 1 / 4 + 1 / 4 + 1 / 16, 1: 1 / 2 + 1 / 8, 2: 1 / 4 + 1 / 4 + 1 / 16}
    for channel, gain in enumerate((gains[0], 1.0, gains[1])):
        expected = (shot * gain * value + (read * gain) ** 2) * passed[channel]
        assert light[..., channel].var() == pytest.approx(expected, rel=0.03)
        assert light[..., channel].mean() == pytest.approx(0, abs=1e-3)
    assert neighbours(light) > 0.3


def test_white_noise_keeps_its_sites_under_both_demosaicings(rng: np.random.Generator) -> None:
    noise = rng.normal(size=(256, 256, 3)).astype(np.float32)
    for malvar in (False, True):
        for phase in range(4):
            row, column = divmod(phase, 2)
            shown = camera.demosaic(noise, phase, malvar)
            assert shown[row::2, column::2, 0] == pytest.approx(noise[row::2, column::2, 0], abs=1e-6)
            assert shown[1 - row :: 2, 1 - column :: 2, 2] == pytest.approx(
                noise[1 - row :: 2, 1 - column :: 2, 2], abs=1e-6
            )
            assert shown[row::2, 1 - column :: 2, 1] == pytest.approx(noise[row::2, 1 - column :: 2, 1], abs=1e-6)
            assert shown[1 - row :: 2, column::2, 1] == pytest.approx(noise[1 - row :: 2, column::2, 1], abs=1e-6)


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("malvar", [False, True])
def test_demosaicing_gives_back_a_slope(phase: int, malvar: bool) -> None:
    rows, columns = np.mgrid[0:24, 0:30].astype(np.float32)
    slope = 0.01 * rows + 0.02 * columns
    # Malvar's filters take the curvature from one channel to the other: gray slopes pass, coloured flats too.
    picture = np.stack([slope + 0.1, slope, slope - 0.2], axis=-1)
    shown = camera.demosaic(picture, phase, malvar)
    assert shown[4:-4, 4:-4] == pytest.approx(picture[4:-4, 4:-4], abs=1e-4)


def test_the_colour_matrix_spreads_noise_over_the_channels_and_keeps_gray() -> None:
    plain, mixed = (linear_noise(0.3, Camera(1e-3, 0.005, matrix=amount)) for amount in (0.0, 1.0))
    assert (mixed.std(axis=(0, 1)) > 1.3 * plain.std(axis=(0, 1))).all()
    assert mixed.mean(axis=(0, 1)) == pytest.approx([0, 0, 0], abs=2e-3)
    # Green is subtracted from red.
    assert np.corrcoef(mixed[..., 0].ravel(), mixed[..., 1].ravel())[0, 1] < -0.1


def test_smoothing_takes_colour_from_the_noise_and_sharpening_gives_it_edges() -> None:
    def parts(by: Camera) -> tuple[float, float, float]:
        noise = camera.camera(flat(0.5), by, np.random.default_rng(2)) - 0.5
        luma = noise @ np.float32([0.299, 0.587, 0.114])
        return float(luma.std()), float((noise[..., 0] - noise[..., 2]).std()), neighbours(luma[..., None])

    plain = parts(Camera(1e-3, 0.005))
    chroma = parts(Camera(1e-3, 0.005, chroma_blur=1.5))
    assert chroma[1] < 0.5 * plain[1]
    assert chroma[0] == pytest.approx(plain[0], rel=0.02)
    assert parts(Camera(1e-3, 0.005, luma_blur=0.8))[2] > plain[2] + 0.1
    sharpened = parts(Camera(1e-3, 0.005, sharpen=1.0))
    assert sharpened[0] > 1.2 * plain[0]
    assert sharpened[2] < plain[2] - 0.1


def test_the_tone_curve_leaves_the_image_where_it_was_and_strengthens_mid_tones() -> None:
    clean = textured()
    assert camera.camera(clean, Camera(1e-12, 1e-9, tone=1.0), np.random.default_rng(1)) == pytest.approx(
        clean, abs=1e-3
    )
    plain, curved = (camera.camera(flat(0.5), Camera(1e-3, 0.0, tone=t), np.random.default_rng(1)) for t in (0.0, 1.0))
    assert curved.std() == pytest.approx(1.5 * plain.std(), rel=0.05)  # the slope of 3x² − 2x³ at one half


@pytest.mark.parametrize("channels", [1, 3])
def test_without_noise_every_camera_gives_the_image_back(channels: int) -> None:
    clean = textured(channels=channels)
    for seed in range(20):
        by = camera.draw(np.random.default_rng(seed))
        quiet = Camera(1e-12, 1e-9, by.gains, by.matrix, by.malvar, by.tone, by.chroma_blur, by.luma_blur, by.sharpen)
        assert camera.camera(clean, quiet, np.random.default_rng(1)) == pytest.approx(clean, abs=1e-3)


def test_cameras_are_drawn_from_faint_to_strong_and_with_every_phase() -> None:
    clean = flat(0.4, side=64)
    levels, phases = [], set()
    for seed in range(200):
        by = camera.draw(np.random.default_rng(seed))
        phases.add(by.phase)
        levels.append(255 * float((camera.camera(clean, by, np.random.default_rng(seed)) - 0.4).std()))
    assert phases == {0, 1, 2, 3}
    assert min(levels) < 2
    assert 20 < max(levels) < 60
