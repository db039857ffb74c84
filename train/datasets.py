"""Where clean and noisy pixels come from: MNIST, CIFAR-10, a folder of images, a pair of folders.

A source hands out seeded batches: ``batch(step, progress)`` depends on nothing but its arguments and the seed, so a
resumed run sees the same data as one that was never stopped. Images are kept as uint8 and degraded per batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from folderdenoise.errors import UsageError
from train import generated
from train.loading import Pixels, load_cifar10, load_digits, load_folder
from train.noise import Noise
from train.quiet import part

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Clean and noisy images, each ``(N, H, W, C)`` float32, nominally in [0, 1]."""


class Source(Protocol):
    """A seeded stream of batches and a fixed validation batch."""

    steps_per_epoch: int
    description: str

    def batch(self, step: int, progress: float) -> Batch:
        """Batch number ``step`` (from 0), at ``progress`` in [0, 1] of the schedule."""
        ...

    def validation(self) -> Batch:
        """Held-out images with fixed noise."""
        ...


class ArraySource:
    """Images of one size, all in memory, gone through once an epoch in a new order, with fresh noise each time."""

    def __init__(
        self, train: Pixels, held_out: Pixels, noise: Noise, batch_size: int, seed: int, description: str
    ) -> None:
        self._train, self._held_out, self._noise = train, held_out, noise
        self._batch_size, self._seed = batch_size, seed
        self.steps_per_epoch = -(-len(train) // batch_size)
        self.description = description

    def batch(self, step: int, progress: float) -> Batch:
        del progress  # images of one size have no patch schedule
        epoch, index = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self._seed, 1, epoch)).permutation(len(self._train))
        chosen = order[index * self._batch_size : (index + 1) * self._batch_size]
        return _degrade(self._train[chosen], self._noise, np.random.default_rng((self._seed, 2, step)))

    def validation(self) -> Batch:
        return _degrade(self._held_out, self._noise, np.random.default_rng((self._seed, 3)))


@dataclass(frozen=True)
class Pool:
    """Images to crop from, and the noise that their crops get.

    ``share`` is the pool's part of all crops. What happens to its crops, each with its own probability:

    - ``soft``: a smaller piece is taken and enlarged, by up to two. Files of cameras and scanners at their full
      resolution are as soft.
    - ``dim``: darkened, down to a tenth, and each channel a little differently. Noise is seen most in the dark, which
      photographs that people publish seldom are; and their own noise is darkened, too.
    - ``plain``: taken as it comes, not for its detail. Noise is seen most where nothing else is.

    Pictures that were made to be cropped from (``one_at_a_time``) are not compared with each other for detail: a page
    of text would always win.
    """

    images: Sequence[Pixels]
    noise: Noise
    share: float = 1.0
    soft: float = 0.0
    dim: float = 0.0
    plain: float = 0.0
    one_at_a_time: bool = False


class CropSource:
    """Random crops at full resolution from images of any size, flipped and turned, with fresh noise.

    Of ``draws`` random crops the one with the most detail is taken: photographs have large blurred areas that teach
    little. ``patches`` is the curriculum: ``(from progress, patch size)`` pairs; the number of pixels of a batch stays
    that of ``batch_size`` patches of the first size. The shares of the ``pools`` count among those that hold images.
    The held-out images get the noise of the first pool.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        held_out: Sequence[Pixels],
        batch_size: int,
        patches: Sequence[tuple[float, int]],
        seed: int,
        description: str,
        draws: int = 6,
    ) -> None:
        self._patches, self._batch_size, self._seed, self._draws = patches, batch_size, seed, draws
        smallest = max(size for _, size in patches)
        self._pools = [_Cropped(pool, smallest, draws) for pool in pools]
        self._pools = [pool for pool in self._pools if pool.usable]
        self._noise = pools[0].noise
        self._held_out = [image for image in held_out if min(image.shape[:2]) >= smallest]
        if not self._pools or not self._held_out:
            raise UsageError(
                f"no training images of at least {smallest}×{smallest} pixels are left: add larger images, "
                "or more of them (some are held out for validation)"
            )
        shares = np.cumsum([pool.share for pool in self._pools])
        self._cumulative = shares / shares[-1]
        self.steps_per_epoch = 500
        self.description = description

    def batch(self, step: int, progress: float) -> Batch:
        rng = np.random.default_rng((self._seed, 2, step))
        size = next(size for start, size in reversed(self._patches) if progress >= start)
        count = max(2, self._batch_size * self._patches[0][1] ** 2 // size**2)
        clean, noisy = [], []
        for _ in range(count):
            pool = self._pools[_chosen(self._cumulative, rng)]
            clean.append(pool.crop(size, rng))
            noisy.append(pool.noise.apply(clean[-1], rng))
        return np.stack(clean), np.stack(noisy)

    def validation(self) -> Batch:
        rng = np.random.default_rng((self._seed, 3))
        size = self._patches[-1][1]
        crops = []
        for index in range(32):
            image = self._held_out[index % len(self._held_out)]
            top, left = (int(rng.integers(image.shape[axis] - size + 1)) for axis in (0, 1))
            crops.append(image[top : top + size, left : left + size])
        return _degrade(np.stack(crops), self._noise, rng)


class _Cropped:
    """Crops from one :class:`Pool`, larger images more often."""

    def __init__(self, pool: Pool, smallest: int, draws: int) -> None:
        self.noise, self.share = pool.noise, pool.share
        self._pool, self._draws = pool, draws
        # Pictures that are made when they are asked for are all of one size, and large enough.
        made = pool.one_at_a_time
        self._images = pool.images if made else [x for x in pool.images if min(x.shape[:2]) >= smallest]
        self.usable = len(self._images) > 0 and pool.share > 0.0
        areas = np.ones(len(self._images)) if made else np.array([x.shape[0] * x.shape[1] for x in self._images], float)
        self._cumulative = np.cumsum(areas) / max(areas.sum(), 1.0)

    def crop(self, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """A crop ``(size, size, C)`` in [0, 1], turned and mirrored by chance."""
        crop = _unit(self._taken(size, rng))
        if self._pool.dim > 0.0 and rng.random() < self._pool.dim:
            light = np.exp(rng.uniform(np.log(0.1), 0.0))
            crop = crop * np.float32(light * np.exp(rng.uniform(-0.5, 0.0, crop.shape[2])))
        return crop

    def _taken(self, size: int, rng: np.random.Generator) -> Pixels:
        """The most detailed of a few random crops."""
        best, most = None, -1.0
        taken = size
        if self._pool.soft > 0.0 and rng.random() < self._pool.soft:
            taken = int(size / rng.uniform(1.0, 2.0))
        plain = self._pool.plain > 0.0 and rng.random() < self._pool.plain
        image = None
        for _ in range(1 if plain else self._draws):
            if image is None or not self._pool.one_at_a_time:
                image = self._images[_chosen(self._cumulative, rng)]
            top = int(rng.integers(image.shape[0] - taken + 1))
            left = int(rng.integers(image.shape[1] - taken + 1))
            crop = image[top : top + taken, left : left + taken]
            green = crop[..., crop.shape[2] // 2].astype(np.int16)
            detail = float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())
            if detail > most:
                best, most = crop, detail
        assert best is not None
        if taken < size:
            best = cv2.resize(best, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, best.shape[2])
        best = np.rot90(best, int(rng.integers(4)))
        return best[:, ::-1] if rng.random() < 0.5 else best


def _chosen(cumulative: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index by its probability; rounding may leave the last sum below 1."""
    return min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(cumulative) - 1)


class PairedSource:
    """Crops of the same place from noisy and clean versions of real images: no noise is added."""

    def __init__(
        self, pairs: Sequence[tuple[Pixels, Pixels]], held_out: int, batch_size: int, patch: int, seed: int
    ) -> None:
        usable = [pair for pair in pairs if min(pair[0].shape[:2]) >= patch]
        if len(usable) <= held_out:
            raise UsageError(
                f"only {len(usable)} usable pairs of at least {patch}×{patch} pixels: more than {held_out} are needed"
            )
        self._held_out, self._train = usable[:held_out], usable[held_out:]
        self._batch_size, self._patch, self._seed = batch_size, patch, seed
        self.steps_per_epoch = 100
        self.description = f"{len(self._train)} noisy/clean pairs of files"

    def batch(self, step: int, progress: float) -> Batch:
        del progress  # the patch size stays as it is
        rng = np.random.default_rng((self._seed, 2, step))
        return self._crops(self._train, self._batch_size, rng)

    def validation(self) -> Batch:
        return self._crops(self._held_out, 32, np.random.default_rng((self._seed, 3)))

    def _crops(self, pairs: Sequence[tuple[Pixels, Pixels]], count: int, rng: np.random.Generator) -> Batch:
        noisy, clean = [], []
        for _ in range(count):
            pair = pairs[int(rng.integers(len(pairs)))]
            top, left = (int(rng.integers(pair[0].shape[axis] - self._patch + 1)) for axis in (0, 1))
            turns, flip = int(rng.integers(4)), rng.random() < 0.5
            for image, crops in zip(pair, (noisy, clean), strict=True):
                crop = np.rot90(image[top : top + self._patch, left : left + self._patch], turns)
                crops.append(crop[:, ::-1] if flip else crop)
        return _unit(np.stack(clean)), _unit(np.stack(noisy))


def _unit(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255.0)


def _degrade(pixels: Pixels, noise: Noise, rng: np.random.Generator) -> Batch:
    clean = _unit(pixels)
    return clean, np.stack([noise.apply(image, rng) for image in clean])


# ---------------------------------------------------------------------------------------------- specifications


@dataclass(frozen=True)
class Digits:
    """MNIST or Fashion-MNIST: ``(28, 28, 1)``. The last tenth of the training images is held out for validation."""

    name: str = "mnist"

    def load(self, data: Path | None, noise: Noise, batch_size: int, seed: int) -> Source:
        train, _ = load_digits(self.name, data)
        cut = len(train) * 9 // 10
        return ArraySource(train[:cut], train[cut:], noise, batch_size, seed, f"{self.name}, {cut} images of 28×28")


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10: ``(32, 32, 3)``. The last tenth of the training images is held out for validation."""

    def load(self, data: Path | None, noise: Noise, batch_size: int, seed: int) -> Source:
        train, _ = load_cifar10(data)
        cut = len(train) * 9 // 10
        return ArraySource(train[:cut], train[cut:], noise, batch_size, seed, f"CIFAR-10, {cut} images of 32×32")


@dataclass(frozen=True)
class ResizedFolder:
    """A folder of images, each cut to its central square and resized to ``size``: the third study's way."""

    size: int
    channels: int = 3

    def load(self, data: Path | None, noise: Noise, batch_size: int, seed: int) -> Source:
        squares = [square(image, self.size) for image in load_folder(_needed(data), self.channels, self.size)]
        train, held_out = _split(squares)
        description = f"{len(train)} images resized to {self.size}×{self.size}"
        return ArraySource(np.stack(train), np.stack(held_out), noise, batch_size, seed, description)


@dataclass(frozen=True)
class FolderCrops:
    """Random crops at full resolution from a folder of images: the production models' way.

    Photographs with noise of their own (:mod:`train.quiet`) get strong noise only, beside which theirs does not count;
    they make up ``grainy_share`` of the crops. A share ``generated_share`` comes from ``pictures`` pictures that the
    project makes itself.
    """

    channels: int = 3
    patches: tuple[tuple[float, int], ...] = ((0.0, 64), (0.7, 96), (0.9, 128))
    grainy_share: float = 0.35
    soft: float = 0.3
    dim: float = 0.4
    plain: float = 0.4
    generated_share: float = 0.12
    pictures: int = 128

    def load(self, data: Path | None, noise: Noise, batch_size: int, seed: int) -> Source:
        smallest = max(size for _, size in self.patches)
        train, held_out = _split(load_folder(_needed(data), self.channels, smallest))
        quiet, grainy = part(train)
        megapixels, clean = (sum(x.shape[0] * x.shape[1] for x in images) / 1e6 for images in (train, quiet))
        description = (
            f"{len(train)} images, {megapixels:.0f} megapixels; weak noise on the {len(quiet)} cleanest of them"
        )
        description += f" ({clean:.0f} megapixels)"
        if self.generated_share > 0.0:
            description += f"; {self.generated_share:.0%} of the crops from {self.pictures} generated pictures"
        made = generated.Pictures(self.pictures, self.channels, seed)
        pools = (
            Pool(quiet, noise, 1.0 - self.grainy_share - self.generated_share, self.soft, self.dim, self.plain),
            Pool(grainy, noise.strong(), self.grainy_share),
            Pool(made, noise, self.generated_share, dim=self.dim, one_at_a_time=True),
        )
        return CropSource(pools, held_out, batch_size, self.patches, seed, description)


DataSpec = Digits | Cifar10 | ResizedFolder | FolderCrops


def _needed(data: Path | None) -> Path:
    if data is None:
        raise UsageError("this recipe trains on a folder of images: name it with --data DIR")
    return data


def _split(pictures: list[Pixels]) -> tuple[list[Pixels], list[Pixels]]:
    """Hold out every twentieth image, at least one."""
    if len(pictures) < 2:
        raise UsageError(f"at least 2 usable images are needed, one to train on and one held out; got {len(pictures)}")
    held_out = pictures[:: min(20, len(pictures))]
    return [picture for index, picture in enumerate(pictures) if index % min(20, len(pictures))], held_out


def square(image: Pixels, size: int) -> Pixels:
    """The central square of ``image`` ``(H, W, C)``, resized to ``size`` by ``size``."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    resized = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    return resized.reshape(size, size, image.shape[2])
