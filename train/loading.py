"""Training images from disk: the ``.npz`` of MNIST and CIFAR-10, a folder of images, a pair of folders."""

from __future__ import annotations

import csv
import logging
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from folderdenoise import images
from folderdenoise.errors import FolderDenoiseError, UnsupportedImageError, UsageError

log = logging.getLogger(__name__)
Pixels = NDArray[np.uint8]
_TOO_SMALL = "left out: %s: %d×%d pixels, smaller than %d"


def load_digits(name: str, data: Path | None) -> tuple[Pixels, Pixels]:
    """Training and test images ``(N, 28, 28, 1)`` uint8 of ``mnist`` or ``fashion-mnist``.

    ``data`` is an ``.npz`` with the keys of ``keras.datasets`` or a folder that holds one (also one level down);
    without it Keras downloads the set.
    """
    if data is None:
        from keras import datasets

        module = datasets.mnist if name == "mnist" else datasets.fashion_mnist
        (train, _), (test, _) = module.load_data()
    else:
        train, test = _load_npz(data, (name, name.replace("-", "_")), (28, 28))
    return np.ascontiguousarray(train[..., None]), np.ascontiguousarray(test[..., None])


def load_cifar10(data: Path | None) -> tuple[Pixels, Pixels]:
    """Training and test images ``(N, 32, 32, 3)`` uint8; ``data`` as in :func:`load_digits`."""
    if data is None:
        from keras import datasets

        (train, _), (test, _) = datasets.cifar10.load_data()
        return train, test
    return _load_npz(data, ("cifar10",), (32, 32, 3))


def _load_npz(data: Path, names: tuple[str, ...], shape: tuple[int, ...]) -> tuple[Pixels, Pixels]:
    candidates = [data] if data.is_file() else sorted([*data.glob("*.npz"), *data.glob("*/*.npz")])
    for path in candidates:
        if data.is_file() or any(path.stem.startswith(name) for name in names):
            return _npz_arrays(path, shape)
    raise UsageError(f"{data}: holds no {names[0]}*.npz: name that file, or the folder it lies in, with --data")


def _npz_arrays(path: Path, shape: tuple[int, ...]) -> tuple[Pixels, Pixels]:
    try:
        # Opened here, because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file) as archive:
            train, test = archive["x_train"], archive["x_test"]
    except (KeyError, OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: no .npz with the arrays x_train and x_test in it, or a damaged one") from error
    for pixels in (train, test):
        if pixels.shape[1:] != shape or pixels.dtype != np.uint8:
            wanted = "×".join(map(str, shape))
            raise UsageError(f"{path}: must hold {wanted} uint8 images. Received: {pixels.shape} {pixels.dtype}")
    return train, test


def load_folder(folder: Path, channels: int, smallest: int) -> list[Pixels]:
    """All readable images below ``folder`` as ``(H, W, channels)`` uint8, in the order of their names.

    A corrupt image, or one with a side under ``smallest`` pixels, is reported by name in the log and left out.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of images. Check the spelling.")
    pictures = []
    for path in images_below(folder):
        try:
            picture = load_image(path, channels)
        except FolderDenoiseError as error:
            log.warning("left out: %s", error)
            continue
        if min(picture.shape[:2]) < smallest:
            log.warning(_TOO_SMALL, path, *picture.shape[1::-1], smallest)
            continue
        pictures.append(picture)
    return pictures


def load_image(path: Path, channels: int | None) -> Pixels:
    """The first page of ``path`` as ``(H, W, channels)`` uint8; colour becomes luma (BT.601), gray becomes RGB.

    ``channels`` None keeps the file's own, 1 or 3.

    Raises :class:`UnsupportedImageError` for CMYK, whose inks are no colours to train on.
    """
    pixels = images.read(path).pages[0].pixels
    if pixels.shape[2] == 4:
        raise UnsupportedImageError(f"{path}: is CMYK. Convert it to RGB first.")
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels * 255.0), 0, 255).astype(np.uint8)
    if channels in (None, pixels.shape[2]):
        return pixels
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    return np.repeat(pixels, 3, axis=2)


def load_pairs(noisy: Path, clean: Path, channels: int, smallest: int = 1) -> list[tuple[Pixels, Pixels]]:
    """Noisy and clean versions of the same images, matched by relative path (the suffix may differ).

    Files without a partner, of another size than their partner, with a side under ``smallest`` pixels, or unreadable
    are reported by name and left out.
    """
    for folder in (noisy, clean):
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder of images. Check the spelling.")
    left = {path.relative_to(clean): path for path in images_below(clean)}
    stems = {relative.with_suffix(""): relative for relative in left}
    pairs = []
    for path in images_below(noisy):
        relative = path.relative_to(noisy)
        match = relative if relative in left else stems.get(relative.with_suffix(""), relative)
        partner = left.pop(match, None)
        if partner is None:
            log.warning("left out: %s: no clean version below %s", path, clean)
            continue
        try:
            pair = load_image(path, channels), load_image(partner, channels)
        except FolderDenoiseError as error:
            log.warning("left out: %s", error)
            continue
        if pair[0].shape != pair[1].shape:
            log.warning("left out: %s: its clean version %s is of another size", path, partner)
            continue
        if min(pair[0].shape[:2]) < smallest:
            log.warning(_TOO_SMALL, path, *pair[0].shape[1::-1], smallest)
            continue
        pairs.append(pair)
    for path in left.values():
        log.warning("left out: %s: no noisy version below %s", path, noisy)
    return pairs


def stated_licence(folder: Path) -> str:
    """The licences in the column ``licence`` of ``folder/SOURCES.csv``, each with its number of files, most first."""
    try:
        with (folder / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
            counts = Counter(row.get("licence") or "not stated" for row in csv.DictReader(file))
    except FileNotFoundError:
        return "not stated"
    return "; ".join(f"{licence}: {count} files" for licence, count in counts.most_common())


def images_below(folder: Path) -> list[Path]:
    """All image files below ``folder``, in the order of their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.EXTENSIONS and p.is_file())
