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

from folderdenoise.errors import UsageError
from train import generated
from train.crops import CropSource, Pool
from train.loading import Pixels, load_cifar10, load_digits, load_folder
from train.noise import Batch, Noise, degrade, unit
from train.quiet import part


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
        return degrade(self._train[chosen], self._noise, np.random.default_rng((self._seed, 2, step)))

    def validation(self) -> Batch:
        return degrade(self._held_out, self._noise, np.random.default_rng((self._seed, 3)))


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
        return unit(np.stack(clean)), unit(np.stack(noisy))


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
    they make up ``grainy_share`` of the crops, or less where they have less of the pixels. A share ``generated_share``
    comes from ``pictures`` pictures that the project makes itself.
    """

    channels: int = 3
    patches: tuple[tuple[float, int], ...] = ((0.0, 128), (0.8, 192))
    grainy_share: float = 0.35
    soft: float = 0.3
    sharp: float = 0.5
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
        grainy_share = min(self.grainy_share, 1.0 - clean / megapixels)
        quiet_share = 1.0 - grainy_share - self.generated_share
        pools = (
            Pool(quiet, noise, quiet_share, self.soft, self.sharp, self.dim, self.plain),
            Pool(grainy, noise.strong(), grainy_share, sharp=self.sharp),
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
