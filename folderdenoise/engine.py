"""Pixels to denoised pixels: a model on the inference runtime, tile by tile, and its answer checked."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import quality, zoo
from .devices import Device, Wish
from .errors import ImageInputError, SuspectResultError, UsageError
from .graphs import Graphs, Precision
from .network import SUSPECT_ADVICE, Network, eightfold
from .scratch import bands, release
from .tiles import Pixels, denoise_tiled
from .zoo import ModelCard

AUTO_MODELS = {1: "gray-leaky", 3: "rgb-leaky"}
MAX_STRENGTH = 2.0
_CACHED_DENOISERS = 4
_MOST_EMPTY_BITS = 8


@dataclass(frozen=True)
class Denoised:
    """A denoised image and how it came about.

    ``pixels`` has the input's shape and dtype, ``model`` is the name of the model and ``precision`` the
    arithmetic used, "f32" or "bf16". ``noise_level`` is the standard deviation of the noise as the model saw
    it, on the [0, 1] scale, mean over the image; None from a model that does not estimate it.
    """

    pixels: Pixels
    model: str
    noise_level: float | None
    precision: str


class Denoiser:
    """A model, compiled once when first needed, then called any number of times and from several threads.

    Parameters
    ----------
    model : str or Path
        A name of the zoo, the path of a model folder, or "auto": the colour model for colour images and the
        grayscale one for grayscale images.
    precision : "auto", "f32" or "bf16"
        "auto" computes 8-bit images in bfloat16 where that is faster on this processor, everything else in float32.
    tile : int, optional
        Side in pixels of the squares that the network sees at once: smaller takes less memory, larger wastes
        less work on overlap. See ``tiles.denoise_tiled``.
    threads : int, optional
        Processor threads for the network; by default as many as there are cores.
    streams : int
        How many images share these threads at once. One image alone is fastest with 1; a caller with as many threads
        of its own gets more done with as many as there are cores.
    device : "auto", "cpu", "gpu" or "cuda"
        Where the network computes: see ``devices.choose``. A graphics card computes in float32. One that is not there
        or does not work gives way to the processor, and ``device_note`` says so.
    best : bool
        Take the mean of eight answers, as ``network.eightfold``: a little better, eight times as long.

    Raises
    ------
    ModelError
        No such model, or its card is damaged.
    UsageError
        ``precision``, ``tile``, ``threads``, ``streams`` or ``device`` is impossible here.
    """

    def __init__(
        self,
        model: str | Path = "auto",
        *,
        precision: Precision = "auto",
        tile: int | None = None,
        threads: int | None = None,
        streams: int = 1,
        device: Wish = "auto",
        best: bool = False,
    ) -> None:
        for option, value in (("tile", tile), ("threads", threads), ("streams", streams)):
            if value is not None and value < 1:
                raise UsageError(f"{option} must be 1 or more. Received: {value}")
        names = AUTO_MODELS if model == "auto" else dict.fromkeys((1, 3), model)
        self._cards = {channels: zoo.find(name) for channels, name in names.items()}
        self._tile = tile
        self._best = best
        self._graphs = Graphs(self._cards[3], precision, threads, device, streams)
        # Image by image, not tile by tile: files that take turns at each tile all end at once, and the last one then
        # has a single stream to itself while the others are idle.
        self._turns = threading.BoundedSemaphore(streams)

    @property
    def device(self) -> Device:
        """Where the network computes."""
        return self._graphs.device

    @property
    def device_note(self) -> str | None:
        """Why the network does not compute where it was asked to; None if it does."""
        return self._graphs.device_note

    def card_for(self, channels: int) -> ModelCard:
        """The card of the model that takes images of 1 or 3 channels, or the first 3 of 4 (print colours)."""
        return self._cards[min(channels, 3)]

    def preload(self, channels: int) -> None:
        """Compile the model for 8-bit images of 1 or 3 channels now: a damaged one shows before work starts.

        Raises ModelError when the graph is missing, damaged or not of the form its card states, and
        UsageError when the processor lacks the precision asked for.
        """
        self._graphs.get(self._cards[channels], self._graphs.precision_for(np.dtype(np.uint8)))

    def check_precision(self) -> None:
        """Raise UsageError if the processor lacks the precision asked for: once, and not of each image."""
        self._graphs.check_precision()

    def check_strength(self, strength: float) -> None:
        """Raise UsageError if one of the models does not take ``strength``."""
        for card in self._cards.values():
            _check_strength(strength, card)

    def __call__(self, pixels: Pixels, strength: float = 1.0) -> Pixels:
        """``denoise(pixels, strength).pixels``."""
        return self.denoise(pixels, strength).pixels

    def denoise(
        self,
        pixels: Pixels,
        strength: float = 1.0,
        into: Pixels | None = None,
        before_tile: Callable[[], None] | None = None,
    ) -> Denoised:
        """Denoise one image.

        Parameters
        ----------
        pixels : (H, W), (H, W, 1) or (H, W, 3) array of uint8, uint16, float16, float32 or float64
            Integers use their whole range, but for 16-bit ones whose upper bits are all empty. Floats are nominally in
            [0, 1]; values outside (noise that was not clipped) are kept. Colour is RGB. Never modified.
        strength : float
            0 returns the input as it is, 1 denoises as much as the model finds right. Up to 2 for models that
            are conditioned on it.
        into : array, optional
            Where the result goes, of the shape and dtype of ``pixels`` but other memory; by default a new array.
        before_tile : callable, optional
            Called before each tile; it may wait, or end the work by an exception of its own.

        Raises
        ------
        ImageInputError
            Another shape or dtype, no pixels at all, or NaN or infinity among them.
        UsageError
            ``strength`` is out of the model's range.
        ModelError
            As ``preload``.
        SuspectResultError
            The network's answer is not finite, constant although the input is not, or of another brightness.
            After bf16, f32 was tried before giving up.
        """
        pixels = np.asarray(pixels)
        image = _check_image(pixels)
        card = self._cards[image.shape[2]]
        _check_strength(strength, card)
        precision = self._graphs.precision_for(image.dtype)
        target = np.empty(pixels.shape, pixels.dtype) if into is None else into
        target = target.reshape(image.shape)
        if strength == 0:
            for rows in bands(image):
                target[rows] = image[rows]
                release(target)
            return Denoised(target.reshape(pixels.shape), card.name, None, precision)
        try:
            noise = self._run(image, card, precision, strength, target, before_tile)
        except SuspectResultError:
            if precision == "f32":
                raise
            precision = "f32"
            noise = self._run(image, card, precision, strength, target, before_tile)
        return Denoised(target.reshape(pixels.shape), card.name, noise, precision)

    def _run(
        self,
        image: Pixels,
        card: ModelCard,
        precision: str,
        strength: float,
        into: Pixels,
        before_tile: Callable[[], None] | None,
    ) -> float | None:
        """Fill ``into`` with the result; the noise that the model saw."""
        network = Network(self._graphs.get(card, precision), image.shape[2], strength, before_tile)
        answer = eightfold(network) if self._best else network
        gain = np.float32(brightening(image))
        with self._turns:
            result = denoise_tiled(
                image,
                answer if gain == 1 else lambda tile: answer(tile * gain) / gain,
                tile=self._tile,
                overlap=card.overlap,
                multiple=card.size_multiple,
                into=into,
            )
        if fault := quality.objection(image, result, card.mean_shift):
            raise SuspectResultError(f"{card.name}: {fault}. {SUSPECT_ADVICE}")
        release(image, result)
        return None if network.noise_level is None else network.noise_level / float(gain)


def denoise(image: Pixels, model: str | Path = "auto", strength: float = 1.0) -> Pixels:
    """Denoise one image; the same shape and dtype come back. What it takes and raises: ``Denoiser.denoise``.

    The last few models stay compiled, so calling this in a loop is as fast as keeping a ``Denoiser``.
    """
    image = np.asarray(image)
    channels = _check_image(image).shape[2]
    card = zoo.find(AUTO_MODELS[channels] if model == "auto" else model)
    return _cached_denoiser(card.folder, card.sha256)(image, strength)


@functools.lru_cache(_CACHED_DENOISERS)
def _cached_denoiser(folder: Path, sha256: str) -> Denoiser:
    # The hash is in the key so that the old model does not answer for one trained anew in the same folder.
    return Denoiser(folder)


def _check_image(pixels: Pixels) -> Pixels:
    """The image as (H, W, C); ImageInputError if it is none."""
    received = f"Received: shape {pixels.shape}, dtype {pixels.dtype}."
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise ImageInputError(f"An image is (H, W), (H, W, 1) or (H, W, 3); keep alpha apart. {received}")
    if pixels.size == 0:
        raise ImageInputError(f"The image has no pixels. {received}")
    if pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise ImageInputError(
            f"An image is uint8, uint16, float16, float32 or float64: convert and scale it first. {received}"
        )
    if pixels.dtype.kind == "f":
        limit = float(np.finfo(np.float32).max)
        # NaN passes through both. float() first: half-precision sums overflow.
        if not all(abs(float(pixels[r].min())) + abs(float(pixels[r].max())) < limit for r in bands(pixels)):
            raise ImageInputError(f"The image has NaN, infinite or huge values. {received}")
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def brightening(image: Pixels) -> int:
    """The power of two by which a 16-bit image is brightened before the network sees it.

    Cameras and microscopes of 10, 12 and 14 bits leave the upper bits of their files empty. Such an image is nearly
    black to a network, and its noise too weak to be any: a photograph of 12 bits at 25.4 dB comes to 25.8 dB as it is,
    to 29.7 dB brightened.
    """
    if image.dtype.kind != "u" or image.dtype.itemsize == 1:
        return 1
    brightest = max(int(image[rows].max()) for rows in bands(image))
    return 1 << min(_MOST_EMPTY_BITS, 8 * image.dtype.itemsize - brightest.bit_length())


def _check_strength(strength: float, card: ModelCard) -> None:
    if not 0 <= strength <= MAX_STRENGTH:
        raise UsageError(f"strength must be between 0 and {MAX_STRENGTH:g}. Received: {strength}")
    if strength > 1 and not (card.has_strength and "noise_level" in card.outputs):
        raise UsageError(f"{card.name} takes a strength between 0 and 1. Received: {strength}")
