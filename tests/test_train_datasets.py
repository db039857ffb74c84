"""Where training pixels come from: what is left out is said by name, and batches depend on seed and step alone."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from folderdenoise.errors import UsageError
from train import loading
from train.crops import CropSource, Pool
from train.datasets import ArraySource, Cifar10, Digits, FolderCrops, PairedSource, ResizedFolder
from train.noise import Blind, Gaussian

from . import pictures

NO_NOISE = Gaussian(0.0)


def numbered(height: int, width: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Random pixels, so that the place of a crop can be told from its content."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def place_of(crop: np.ndarray, image: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """All (top, left, quarter turns, mirrored) at which ``crop`` was taken from ``image``."""
    found = []
    side = crop.shape[0]
    for turns in range(4):
        for mirrored in (False, True):
            upright = np.rot90(crop[:, ::-1] if mirrored else crop, -turns)
            windows = np.lib.stride_tricks.sliding_window_view(image, (side, side, image.shape[2]))[:, :, 0]
            matches = (windows == upright).all(axis=(2, 3, 4))
            found += [(int(t), int(x), turns, mirrored) for t, x in zip(*np.nonzero(matches), strict=True)]
    return found


def as_bytes(batch: np.ndarray) -> np.ndarray:
    return np.rint(batch * 255).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------- loading


def test_corrupt_and_too_small_images_are_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = pictures.save(tmp_path / "deep" / "good.png", pictures.scene(40, 50))
    pictures.save(tmp_path / "small.png", pictures.scene(20, 90))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no JPEG")
    cut = pictures.save(tmp_path / "cut.png", pictures.scene(60, 60))
    cut.write_bytes(cut.read_bytes()[:-200])
    Image.fromarray(np.zeros((50, 50, 4), np.uint8), "CMYK").save(tmp_path / "print.jpg")
    (tmp_path / "SOURCES.csv").write_text("not an image, and nobody's concern")
    with caplog.at_level(logging.WARNING):
        loaded = loading.load_folder(tmp_path, 3, 32)
    assert [image.tolist() for image in loaded] == [pictures.load(good).tolist()]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    for name in ("small.png", "broken.jpg", "cut.png", "print.jpg"):
        assert sum(name in line for line in said) == 1
    assert "90×20" in next(line for line in said if "small.png" in line)
    assert "SOURCES" not in caplog.text


def test_a_missing_folder_and_one_with_too_few_images_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        FolderCrops(3).load(tmp_path / "nowhere", NO_NOISE, 4, 1)
    pictures.save(tmp_path / "only.png", pictures.scene(200, 200))
    with pytest.raises(UsageError, match="at least 2 usable images"):
        FolderCrops(3).load(tmp_path, NO_NOISE, 4, 1)
    with pytest.raises(UsageError, match="--data"):
        FolderCrops(3).load(None, NO_NOISE, 4, 1)


def test_sixteen_bits_gray_and_colour_are_brought_to_what_the_recipe_wants(tmp_path: Path) -> None:
    gray = numbered(9, 12)[..., 0]
    colour = numbered(9, 12, 3, seed=1)
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "gray16.png")
    pictures.save(tmp_path / "gray8.png", gray)
    pictures.save(tmp_path / "colour.png", colour)
    for name in ("gray16.png", "gray8.png"):
        assert (loading.load_image(tmp_path / name, 1)[..., 0] == gray).all()
        assert (loading.load_image(tmp_path / name, 3) == gray[..., None].repeat(3, axis=2)).all()
    assert (loading.load_image(tmp_path / "colour.png", 3) == colour).all()
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert loading.load_image(tmp_path / "colour.png", 1)[..., 0] == pytest.approx(luma, abs=0.51)


def test_pairs_are_matched_by_relative_path_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noisy, clean = tmp_path / "noisy", tmp_path / "clean"
    contents = {}
    for name in ("a.png", "sub/a.png"):
        contents[name] = pictures.scene(40, 40, seed=len(contents)), pictures.scene(40, 40, seed=10 + len(contents))
        pictures.save(noisy / name, contents[name][0])
        pictures.save(clean / Path(name).with_suffix(".bmp"), contents[name][1])
    pictures.save(noisy / "lonely.png", pictures.scene(40, 40))
    pictures.save(clean / "widow.png", pictures.scene(40, 40))
    for folder, width in ((noisy, 40), (clean, 44)):
        pictures.save(folder / "unequal.png", pictures.scene(40, width))
        pictures.save(folder / "tiny.png", pictures.scene(10, 10))
    pictures.save(noisy / "broken.png", pictures.scene(40, 40))
    (clean / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with caplog.at_level(logging.WARNING):
        pairs = loading.load_pairs(noisy, clean, 3, smallest=32)
    assert len(pairs) == 2
    for (noisy_pixels, clean_pixels), expected in zip(pairs, contents.values(), strict=True):
        assert (noisy_pixels == expected[0]).all()
        assert (clean_pixels == expected[1]).all()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5
    for name in ("lonely.png", "widow.png", "unequal.png", "tiny.png", "broken.png"):
        assert any(name in line for line in said)


def test_the_same_suffix_wins_among_partners_of_one_name(tmp_path: Path) -> None:
    expected = {}
    for index, suffix in enumerate((".bmp", ".png", ".tif")):
        expected[suffix] = pictures.scene(20, 20, seed=index)
        pictures.save(tmp_path / "clean" / f"page{suffix}", expected[suffix])
    pictures.save(tmp_path / "noisy" / "page.png", pictures.scene(20, 20, seed=9))
    [(_, clean)] = loading.load_pairs(tmp_path / "noisy", tmp_path / "clean", 3)
    assert (clean == expected[".png"]).all()


def test_npz_is_found_as_a_file_in_a_folder_and_one_level_down(tmp_path: Path) -> None:
    train, test = numbered(30, 28, 28), numbered(5, 28, 28, seed=1)
    (tmp_path / "all" / "mnist").mkdir(parents=True)
    (tmp_path / "all" / "fashion-mnist").mkdir()
    file = tmp_path / "all" / "mnist" / "mnist.npz"
    np.savez(file, x_train=train, x_test=test)
    np.savez(tmp_path / "all" / "fashion-mnist" / "fashion_mnist.npz", x_train=test, x_test=train)
    for place in (file, file.parent, tmp_path / "all"):
        loaded = loading.load_digits("mnist", place)
        assert loaded[0].shape == (30, 28, 28, 1)
        assert (loaded[0][..., 0] == train).all()
        assert (loaded[1][..., 0] == test).all()
    assert (loading.load_digits("fashion-mnist", tmp_path / "all")[0][..., 0] == test).all()


def test_cifar_is_found_under_the_name_of_a_subset(tmp_path: Path) -> None:
    train = numbered(7, 32, 32 * 3).reshape(7, 32, 32, 3)
    np.savez(tmp_path / "cifar10_subset.npz", x_train=train, x_test=train[:2])
    assert (loading.load_cifar10(tmp_path)[0] == train).all()


def test_a_missing_or_wrong_npz_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no mnist\*\.npz"):
        loading.load_digits("mnist", tmp_path)
    with pytest.raises(UsageError, match=r"gone: holds no cifar10\*\.npz"):
        loading.load_cifar10(tmp_path / "gone")
    pictures.save(tmp_path / "photo.png", pictures.scene())
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 half a download")
    np.savez(tmp_path / "keys.npz", images=numbered(3, 28, 28))
    for name in ("photo.png", "mnist.npz", "keys.npz"):
        with pytest.raises(UsageError, match=f"{name}: no .npz with the arrays x_train and x_test"):
            loading.load_digits("mnist", tmp_path / name)
    np.savez(tmp_path / "other.npz", x_train=numbered(3, 32, 32), x_test=numbered(3, 32, 32))
    with pytest.raises(UsageError, match="28×28"):
        loading.load_digits("mnist", tmp_path / "other.npz")


# ------------------------------------------------------------------------------------------------------- sources


def small_set(tmp_path: Path, count: int = 50) -> Path:
    np.savez(tmp_path / "mnist.npz", x_train=numbered(count, 28, 28), x_test=numbered(5, 28, 28, seed=1))
    return tmp_path / "mnist.npz"


def test_an_epoch_shows_every_training_image_once_and_no_held_out_one(tmp_path: Path) -> None:
    source = Digits().load(small_set(tmp_path), NO_NOISE, 8, 1)
    assert source.steps_per_epoch == 6  # 45 images in batches of 8
    images = numbered(50, 28, 28)
    epochs = []
    for epoch in range(2):
        batches = [source.batch(epoch * 6 + step, 0.0)[0] for step in range(6)]
        assert [len(batch) for batch in batches] == [8] * 5 + [5]
        epochs.append([as_bytes(image)[..., 0].tobytes() for batch in batches for image in batch])
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(image.tobytes() for image in images[:45])
    assert epochs[0] != epochs[1]
    held_out = source.validation()[0]
    assert (as_bytes(held_out)[..., 0] == images[45:]).all()


def test_cifar_holds_out_its_last_tenth(tmp_path: Path) -> None:
    train = numbered(20, 32, 96).reshape(20, 32, 32, 3)
    np.savez(tmp_path / "cifar10.npz", x_train=train, x_test=train)
    source = Cifar10().load(tmp_path, NO_NOISE, 18, 1)
    assert source.steps_per_epoch == 1
    assert (as_bytes(source.validation()[0]) == train[18:]).all()


def array_source(seed: int) -> ArraySource:
    images = numbered(40, 16, 16).reshape(40, 16, 16, 1)
    return ArraySource(images[:32], images[32:], Gaussian(0.2), 8, seed, "")


def crop_source(seed: int) -> CropSource:
    photos = [numbered(40 + 10 * index, 90 - 10 * index, 3, index) for index in range(4)]
    return CropSource([Pool(photos[1:], Gaussian(0.2))], photos[:1], 8, ((0.0, 16), (0.5, 24)), seed, "")


def paired_source(seed: int) -> PairedSource:
    """Six pairs; the noisy image number i holds values from 40·i to 40·i + 39, the clean one their complement."""
    noisy = [numbered(40, 60, 3, index) % 40 + 40 * index for index in range(6)]
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


def test_crops_lie_inside_and_reach_every_border_and_turn() -> None:
    photo, held_out = numbered(20, 24), numbered(20, 24, seed=1)
    source = CropSource([Pool([photo], NO_NOISE)], [held_out], 32, ((0.0, 16),), 1, "", draws=1)
    places = set()
    for step in range(12):
        clean, noisy = source.batch(step, 0.0)
        assert (clean == noisy).all()
        for crop in as_bytes(clean):
            [place] = place_of(crop, photo)
            places.add(place)
            assert not place_of(crop, held_out)
    tops, lefts, turns, mirrors = (set(values) for values in zip(*places, strict=True))
    assert tops == set(range(5))
    assert lefts == set(range(9))
    assert turns == set(range(4))
    assert mirrors == {False, True}
    for crop in as_bytes(source.validation()[0]):
        assert place_of(crop, held_out)
        assert not place_of(crop, photo)


def test_crops_prefer_detail() -> None:
    half = np.full((64, 128, 1), 90, np.uint8)
    half[:, 64:] = numbered(64, 64)

    def detailed(draws: int) -> float:
        source = CropSource([Pool([half], NO_NOISE)], [half], 64, ((0.0, 16),), 1, "", draws)
        return float(np.mean([image.std() > 0.1 for image in source.batch(0, 0.0)[0]]))

    assert detailed(1) < 0.75
    assert detailed(4) > 0.85


def test_patches_grow_with_the_schedule_at_the_same_number_of_pixels() -> None:
    photos = [numbered(140, 150, 3, index) for index in range(2)]
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
        CropSource([Pool([numbered(31, 90)], NO_NOISE)], [numbered(90, 90)], 2, ((0.0, 32),), 1, "")


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
    photo = numbered(40, 50)
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
    half[:, 320:] = numbered(64, 320)

    def flat(plain: float) -> float:
        source = CropSource([Pool([half], NO_NOISE, plain=plain)], [half], 200, ((0.0, 16),), 1, "")
        return float(np.mean([image.std() < 0.01 for image in source.batch(0, 0.0)[0]]))

    assert flat(0.0) < 0.05
    assert flat(1.0) == pytest.approx(0.5, abs=0.1)


def test_photographs_with_noise_of_their_own_get_strong_noise_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shading = np.linspace(60, 180, 256)[None, :, None] * np.ones((256, 1, 3))
    for index in range(6):
        grain = 3.0 if index % 2 else 0.0
        level = 30 if index % 2 else 0  # brighter ones are grainy
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
    assert len(grainy) / (len(grainy) + len(quiet)) == pytest.approx(0.35 / 0.88, abs=0.08)
    assert min(grainy) > 8
    assert np.mean(np.array(quiet) < 5) > 0.2


def test_folder_recipes_hold_images_out(tmp_path: Path) -> None:
    # 21 images, each of one colour: the first and the twenty-first by name are held out.
    for index in range(21):
        pictures.save(tmp_path / f"{index:02}.png", np.full((40, 32, 3), 10 * index, np.uint8))
    crops = FolderCrops(3, ((0.0, 32),), dim=0.0, generated_share=0.0).load(tmp_path, NO_NOISE, 8, 1)
    resized = ResizedFolder(16).load(tmp_path, NO_NOISE, 8, 1)
    for source, steps in ((crops, 60), (resized, resized.steps_per_epoch)):
        trained = {int(as_bytes(image).min()) for step in range(steps) for image in source.batch(step, 0.0)[0]}
        held_out = {int(as_bytes(image).min()) for image in source.validation()[0]}
        assert held_out == {0, 200}
        assert trained == set(range(10, 200, 10))


def test_resized_images_are_the_central_square(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    for index in range(2):
        pictures.save(tmp_path / f"{index}.png", wide)
    source = ResizedFolder(10).load(tmp_path, NO_NOISE, 4, 1)
    assert as_bytes(source.batch(0, 0.0)[0]).tolist() == np.full((1, 10, 10, 3), 200).tolist()


def test_pairs_are_cut_at_the_same_place_and_hold_out_their_own() -> None:
    source = paired_source(1)
    trained = set()
    for step in range(6):
        clean, noisy = source.batch(step, 0.0)
        assert (as_bytes(clean) == 255 - as_bytes(noisy)).all()
        trained |= set(np.unique(as_bytes(noisy) // 40).tolist())
    assert trained == {2, 3, 4, 5}
    clean, noisy = source.validation()
    assert (as_bytes(clean) == 255 - as_bytes(noisy)).all()
    assert set(np.unique(as_bytes(noisy) // 40).tolist()) == {0, 1}


def test_too_few_pairs_are_refused() -> None:
    pair = numbered(40, 40), numbered(40, 40)
    with pytest.raises(UsageError, match="only 1 usable pairs of at least 64×64"):
        PairedSource([(numbered(64, 64), numbered(64, 64)), pair, pair], 1, 4, 64, 1)


def test_a_folder_states_its_licences(tmp_path: Path) -> None:
    assert loading.stated_licence(tmp_path) == "not stated"
    (tmp_path / "SOURCES.csv").write_text(
        "file,source,licence\na.jpg,me,CC0\nb.jpg,you,CC BY\nc.jpg,me,CC0\nd.jpg,me,\n"
    )
    assert loading.stated_licence(tmp_path) == "CC0: 2 files; CC BY: 1 files; not stated: 1 files"
