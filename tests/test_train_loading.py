"""Images that are read for training: what is left out is said by name."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folderdenoise.errors import UsageError
from train import loading
from train.datasets import FolderCrops
from train.noise import Gaussian

from . import pictures


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
    with pytest.raises(UsageError, match=r"nowhere: no such folder of images\. Check the spelling\."):
        FolderCrops(3).load(tmp_path / "nowhere", Gaussian(0.0), 4, 1)
    pictures.save(tmp_path / "only.png", pictures.scene(200, 200))
    with pytest.raises(UsageError, match="at least 2 usable images"):
        FolderCrops(3).load(tmp_path, Gaussian(0.0), 4, 1)
    with pytest.raises(UsageError, match="--data"):
        FolderCrops(3).load(None, Gaussian(0.0), 4, 1)


def test_sixteen_bits_gray_and_colour_are_brought_to_what_the_recipe_wants(tmp_path: Path) -> None:
    gray = pictures.numbered(9, 12)[..., 0]
    colour = pictures.numbered(9, 12, 3, seed=1)
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
    train, test = pictures.numbered(30, 28, 28), pictures.numbered(5, 28, 28, seed=1)
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
    train = pictures.numbered(7, 32, 32 * 3).reshape(7, 32, 32, 3)
    np.savez(tmp_path / "cifar10_subset.npz", x_train=train, x_test=train[:2])
    assert (loading.load_cifar10(tmp_path)[0] == train).all()


def test_a_missing_or_wrong_npz_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no mnist\*\.npz"):
        loading.load_digits("mnist", tmp_path)
    with pytest.raises(UsageError, match=r"gone: holds no cifar10\*\.npz"):
        loading.load_cifar10(tmp_path / "gone")
    pictures.save(tmp_path / "photo.png", pictures.scene())
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 half a download")
    np.savez(tmp_path / "keys.npz", images=pictures.numbered(3, 28, 28))
    for name in ("photo.png", "mnist.npz", "keys.npz"):
        with pytest.raises(UsageError, match=f"{name}: no .npz with the arrays x_train and x_test"):
            loading.load_digits("mnist", tmp_path / name)
    np.savez(tmp_path / "other.npz", x_train=pictures.numbered(3, 32, 32), x_test=pictures.numbered(3, 32, 32))
    with pytest.raises(UsageError, match="28×28"):
        loading.load_digits("mnist", tmp_path / "other.npz")


def test_a_folder_states_its_licences(tmp_path: Path) -> None:
    assert loading.stated_licence(tmp_path) == "not stated"
    (tmp_path / "SOURCES.csv").write_text(
        "file,source,licence\na.jpg,me,CC0\nb.jpg,you,CC BY\nc.jpg,me,CC0\nd.jpg,me,\n"
    )
    assert loading.stated_licence(tmp_path) == "CC0: 2 files; CC BY: 1 files; not stated: 1 files"
