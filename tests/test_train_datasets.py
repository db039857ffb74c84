"""Batches depend on seed and step alone, and what is held out is never trained on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from folderdenoise.errors import UsageError
from train.crops import CropSource, Pool
from train.datasets import ArraySource, Cifar10, Digits, FolderCrops, PairedSource, ResizedFolder
from train.noise import Blind, Gaussian

from . import pictures

NO_NOISE = Gaussian(0.0)


def small_set(tmp_path: Path, count: int = 50) -> Path:
    np.savez(
        tmp_path / "mnist.npz", x_train=pictures.numbered(count, 28, 28), x_test=pictures.numbered(5, 28, 28, seed=1)
    )
    return tmp_path / "mnist.npz"


def test_an_epoch_shows_every_training_image_once_and_no_held_out_one(tmp_path: Path) -> None:
    source = Digits().load(small_set(tmp_path), NO_NOISE, 8, 1)
    assert source.steps_per_epoch == 6  # 45 images in batches of 8
    images = pictures.numbered(50, 28, 28)
    epochs = []
    for epoch in range(2):
        batches = [source.batch(epoch * 6 + step, 0.0)[0] for step in range(6)]
        assert [len(batch) for batch in batches] == [8] * 5 + [5]
        epochs.append([pictures.as_bytes(image)[..., 0].tobytes() for batch in batches for image in batch])
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(image.tobytes() for image in images[:45])
    assert epochs[0] != epochs[1]
    held_out = source.validation()[0]
    assert (pictures.as_bytes(held_out)[..., 0] == images[45:]).all()


def test_cifar_holds_out_its_last_tenth(tmp_path: Path) -> None:
    train = pictures.numbered(20, 32, 96).reshape(20, 32, 32, 3)
    np.savez(tmp_path / "cifar10.npz", x_train=train, x_test=train)
    source = Cifar10().load(tmp_path, NO_NOISE, 18, 1)
    assert source.steps_per_epoch == 1
    assert (pictures.as_bytes(source.validation()[0]) == train[18:]).all()


def array_source(seed: int) -> ArraySource:
    images = pictures.numbered(40, 16, 16).reshape(40, 16, 16, 1)
    return ArraySource(images[:32], images[32:], Gaussian(0.2), 8, seed, "")


def crop_source(seed: int) -> CropSource:
    photos = [pictures.numbered(40 + 10 * index, 90 - 10 * index, 3, index) for index in range(4)]
    return CropSource([Pool(photos[1:], Gaussian(0.2))], photos[:1], 8, ((0.0, 16), (0.5, 24)), seed, "")


def paired_source(seed: int) -> PairedSource:
    """Six pairs; the noisy image number i holds values from 40·i to 40·i + 39, the clean one their complement."""
    noisy = [pictures.numbered(40, 60, 3, index) % 40 + 40 * index for index in range(6)]
    return PairedSource([(image, 255 - image) for image in noisy], 2, 8, 16, seed)


@pytest.mark.parametrize("make", [array_source, crop_source, paired_source])
def test_batches_depend_on_seed_and_step_alone(make) -> None:  # type: ignore[no-untyped-def]
    here, there = make(1), make(1)
    there.batch(0, 0.0)
    there.validation()
    for step in (0, 7, 123):
        for one, other in zip(here.batch(step, 0.2), there.batch(step, 0.2), strict=True):
            assert one.dtype == np.float32
            assert (one == other).all()
    for one, other in zip(here.validation(), there.validation(), strict=True):
        assert (one == other).all()
    assert (here.batch(3, 0.2)[1] != here.batch(4, 0.2)[1]).any()
    assert (here.batch(3, 0.2)[1] != make(2).batch(3, 0.2)[1]).any()


def test_noise_is_fresh_in_every_epoch_and_for_every_image() -> None:
    same = np.full((20, 8, 8, 1), 128, np.uint8)
    source = ArraySource(same, same, Gaussian(0.1), 20, 1, "")
    clean, noisy = source.batch(0, 0.0)
    assert (clean == np.float32(128 / 255)).all()
    assert len({image.tobytes() for image in noisy} | {image.tobytes() for image in source.batch(1, 0.0)[1]}) == 40


@pytest.mark.parametrize(("noisy_ones", "share"), [((1, 3, 5), 0.35), ((3,), 0.2)])
def test_photographs_with_noise_of_their_own_get_strong_noise_only(
    noisy_ones: tuple[int, ...], share: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shading = np.linspace(60, 180, 256)[None, :, None] * np.ones((256, 1, 3))
    for index in range(6):
        grain = 3.0 if index in noisy_ones else 0.0
        level = 30 if index in noisy_ones else 0
        image = shading + level + grain * rng.normal(size=shading.shape)
        pictures.save(tmp_path / f"{index}.png", np.rint(image).astype(np.uint8))
    source = FolderCrops(3, ((0.0, 64),), generated_share=0.0, soft=0.0, sharp=0.0, dim=0.0).load(
        tmp_path, Blind(), 16, 1
    )
    assert "cleanest" in source.description
    grainy, quiet = [], []
    for step in range(25):
        for clean, noisy in zip(*source.batch(step, 0.0), strict=True):
            own = float((clean - cv2.GaussianBlur(clean, (0, 0), 2)).std()) * 255
            (grainy if own > 1.5 else quiet).append(float((noisy - clean).std()) * 255)
    assert len(grainy) / (len(grainy) + len(quiet)) == pytest.approx(share, abs=0.08)
    assert min(grainy) > 8
    assert np.mean(np.array(quiet) < 5) > 0.2


def test_folder_recipes_hold_images_out(tmp_path: Path) -> None:
    # 21 images, each of one colour: the first and the twenty-first by name are held out.
    for index in range(21):
        pictures.save(tmp_path / f"{index:02}.png", np.full((40, 32, 3), 10 * index, np.uint8))
    crops = FolderCrops(3, ((0.0, 32),), dim=0.0, generated_share=0.0).load(tmp_path, NO_NOISE, 8, 1)
    resized = ResizedFolder(16).load(tmp_path, NO_NOISE, 8, 1)
    for source, steps in ((crops, 60), (resized, resized.steps_per_epoch)):
        trained = {int(pictures.as_bytes(image).min()) for step in range(steps) for image in source.batch(step, 0.0)[0]}
        held_out = {int(pictures.as_bytes(image).min()) for image in source.validation()[0]}
        assert held_out == {0, 200}
        assert trained == set(range(10, 200, 10))


def test_resized_images_are_the_central_square(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    for index in range(2):
        pictures.save(tmp_path / f"{index}.png", wide)
    source = ResizedFolder(10).load(tmp_path, NO_NOISE, 4, 1)
    assert pictures.as_bytes(source.batch(0, 0.0)[0]).tolist() == np.full((1, 10, 10, 3), 200).tolist()


def test_pairs_are_cut_at_the_same_place_and_hold_out_their_own() -> None:
    source = paired_source(1)
    trained = set()
    for step in range(6):
        clean, noisy = source.batch(step, 0.0)
        assert (pictures.as_bytes(clean) == 255 - pictures.as_bytes(noisy)).all()
        trained |= set(np.unique(pictures.as_bytes(noisy) // 40).tolist())
    assert trained == {2, 3, 4, 5}
    clean, noisy = source.validation()
    assert (pictures.as_bytes(clean) == 255 - pictures.as_bytes(noisy)).all()
    assert set(np.unique(pictures.as_bytes(noisy) // 40).tolist()) == {0, 1}


def test_too_few_pairs_are_refused() -> None:
    pair = pictures.numbered(40, 40), pictures.numbered(40, 40)
    with pytest.raises(UsageError, match="only 1 usable pairs of at least 64×64"):
        PairedSource([(pictures.numbered(64, 64), pictures.numbered(64, 64)), pair, pair], 1, 4, 64, 1)
