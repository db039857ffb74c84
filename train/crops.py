"""Random crops from images of any size, out of several pools that each have noise of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from folderdenoise.errors import UsageError
from train.loading import Pixels
from train.noise import Batch, Noise, degrade, unit


@dataclass(frozen=True)
class Pool:
    """Images to crop from, and the noise that their crops get.

    ``share`` is the pool's part of all crops. What happens to its crops, each with its own probability:

    - ``soft``: a smaller piece is taken and enlarged, by up to two. Files of cameras and scanners at their full
      resolution are as soft.
    - ``sharp``: else a larger piece is taken and reduced, by up to three. Pictures made small are as sharp, and what a
      photograph has of noise of its own is less in them.
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
    sharp: float = 0.0
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
        self._patches, self._batch_size, self._seed = patches, batch_size, seed
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
        return degrade(np.stack(crops), self._noise, rng)


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
        crop = unit(self._taken(size, rng))
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
        elif self._pool.sharp > 0.0 and rng.random() < self._pool.sharp:
            taken = int(size * rng.uniform(1.0, 3.0))
        plain = self._pool.plain > 0.0 and rng.random() < self._pool.plain
        image = None
        for _ in range(1 if plain else self._draws):
            if image is None or not self._pool.one_at_a_time:
                image = self._images[_chosen(self._cumulative, rng)]
            side = min(taken, *image.shape[:2])
            top = int(rng.integers(image.shape[0] - side + 1))
            left = int(rng.integers(image.shape[1] - side + 1))
            crop = image[top : top + side, left : left + side]
            green = crop[..., crop.shape[2] // 2].astype(np.int16)
            detail = float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())
            if detail > most:
                best, most = crop, detail
        assert best is not None
        if len(best) != size:
            way = cv2.INTER_CUBIC if len(best) < size else cv2.INTER_AREA
            best = cv2.resize(best, (size, size), interpolation=way).reshape(size, size, best.shape[2])
        best = np.rot90(best, int(rng.integers(4)))
        return best[:, ::-1] if rng.random() < 0.5 else best


def _chosen(cumulative: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index by its probability; rounding may leave the last sum below 1."""
    return min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(cumulative) - 1)
