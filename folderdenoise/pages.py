"""One file, page by page: read, denoised, measured, checked, published."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import evidence, images, quality, transparent
from .engine import Denoiser, brightening
from .errors import FolderDenoiseError, OutputError, ReferenceImageError, UnreadableImageError
from .folder import Task
from .publish import published, step
from .resume import sha256_of
from .scratch import IN_MEMORY, Scratch, bands, release
from .table import Row

Measure: TypeAlias = Literal["none", "fast", "full"]


@dataclass(frozen=True)
class Settings:
    """What changes the pixels of a result, besides the model, how it is stored, and what is found out about it.
    ``text`` is what the ledger's ``settings`` says.

    ``max_megapixels``: the largest file that is taken. ``format``: "png", "tiff", "jpeg" or "webp" for results that are
    stored so, None as the original. ``quality``: 1 to 100 for lossy formats, None as the original. ``keep_times``:
    results get the modification time of the original. ``estimate``: the PSNR gained is estimated. ``metrics``: noise
    and structure removed are measured "none" at all, "fast" on a sample of a large page, or "full" on all of it.
    ``in_memory``: bytes that a file's pixels may take in memory; beyond that they go to scratch files.
    """

    strength: float = 1.0
    max_megapixels: float = 2000.0
    text: str = ""
    format: str | None = None
    quality: int | None = None
    keep_times: bool = False
    estimate: bool = False
    metrics: Measure = "fast"
    in_memory: int = IN_MEMORY


def memory_needed(path: Path, settings: Settings) -> int:
    """How many bytes a file will take while it is under way, about: its pixels as read, denoised and read back, and its
    own bytes as read and as stored."""
    with contextlib.suppress(OSError):
        status = path.stat()
        # To open a pipe would be to wait for somebody who writes to it.
        if stat.S_ISREG(status.st_mode):
            pixels = images.pixel_bytes(path) or status.st_size
            return min(3 * pixels, settings.in_memory) + 2 * status.st_size
    return 0


def process(task: Task, denoiser: Denoiser, settings: Settings, base: Row) -> list[Row]:
    """Denoise a file and publish the result: its rows, completed from ``base``. Raises FolderDenoiseError."""
    scratch = Scratch(task.out, settings.in_memory)
    before = identity(task.source)
    file = images.read(task.source, max_megapixels=settings.max_megapixels, scratch=scratch)
    if settings.format is not None:
        images.refuse_conversion(file, settings.format)
    reference, complaint = _reference(task, settings, scratch)
    with _readable(task.source):
        base = replace(base, source_sha256=sha256_of(task.source))
    _check_unchanged(task.source, before)
    base = replace(base, source_bytes=before[0], source_mtime_ns=before[1], bit_depth=file.encoding.bit_depth)
    pages, rows = [], []
    top = file.encoding.top if settings.format in (None, file.encoding.format) else None
    for index, page in enumerate(file.pages):
        result, row = _denoised(page, denoiser, settings, scratch, replace(base, page=index + 1), top)
        if reference is not None and index < len(reference.pages):
            row, note = _compared(row, page, result, reference.pages[index])
            complaint = note or complaint
        pages.append(result)
        rows.append(row)
    if reference is not None and len(reference.pages) != len(pages):
        complaint = complaint or f"the reference has {len(reference.pages)} pages, this file {len(pages)}"
    notes = _publish(task, replace(file, pages=tuple(pages)), settings, scratch, before)
    text = "; ".join(dict.fromkeys([*notes, *([complaint] if complaint else [])]))
    return [replace(row, output=str(task.output), notes=text) for row in rows]


def _denoised(
    page: images.Picture, denoiser: Denoiser, settings: Settings, scratch: Scratch, base: Row, top: int | None
) -> tuple[images.Picture, Row]:
    """The page as it becomes, and what its row says about it. ``top``: as ``Encoding`` has it."""
    height, width, channels = page.pixels.shape
    row = replace(base, width=width, height=height, channels=channels, bit_depth=page.bit_depth or base.bit_depth)
    if page.bilevel:
        return page, row
    pixels = scratch.empty(page.pixels.shape, page.pixels.dtype)
    overlap = denoiser.card_for(channels).overlap
    # A JPEG has no alpha, so that all is seen in it.
    seen = None if settings.format == "jpeg" else transparent.extended(page, overlap, scratch)
    noisy = page.pixels if seen is None else seen
    model = denoise_pixels(noisy, denoiser, settings.strength, scratch, pixels, step)
    if top is not None:
        images.to_levels(pixels, top)
    row = measured(replace(row, model=model), noisy, pixels, settings)
    if settings.estimate:
        row = replace(row, estimated_psnr_gain=_estimated_gain(noisy, denoiser, settings.strength))
    if seen is not None and page.alpha is not None:
        transparent.put_back(pixels, page.pixels, page.alpha)
    release(noisy, page.pixels, pixels)
    return replace(page, pixels=pixels), row


def measured(row: Row, before: images.Array, after: images.Array, settings: Settings) -> Row:
    """``row`` with what is found out about a page by itself, as far as the settings ask for it."""
    if settings.metrics == "none":
        return row
    whole = settings.metrics == "full"
    return replace(
        row,
        noise_before=quality.noise_level(before, whole=whole),
        noise_after=quality.noise_level(after, whole=whole),
        flat_noise_before=evidence.flat_noise(before, whole=whole),
        flat_noise_after=evidence.flat_noise(after, whole=whole),
        structure_removed=evidence.residual_structure(before, after, whole=whole),
    )


def _estimated_gain(pixels: images.Array, denoiser: Denoiser, strength: float) -> float | None:
    def denoise(piece: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        if piece.shape[2] < 4:
            return denoiser(piece, strength)
        light = 1 - piece
        return 1 - np.concatenate([denoiser(light[..., inks], strength) for inks in (slice(3), slice(3, 4))], axis=2)

    # The network is given floats here, which it does not brighten. Inks leave no upper bits empty: light is their
    # negative.
    factor = brightening(pixels) if pixels.shape[2] < 4 else 1
    return evidence.estimated_gain(pixels, denoise, strength, factor)


def denoise_pixels(
    pixels: images.Array,
    denoiser: Denoiser,
    strength: float,
    scratch: Scratch,
    into: images.Array,
    before_tile: Callable[[], None],
) -> str:
    """Denoise the ``pixels`` of a :class:`Picture`, of 1, 3 or 4 channels, ``into`` another array of their shape and
    type; the name of the model. ``before_tile`` and errors: as for ``Denoiser.denoise``."""
    if pixels.shape[2] == 4:
        return _denoise_inks(pixels, denoiser, strength, scratch, into, before_tile)
    return denoiser.denoise(pixels, strength, into, before_tile).model


def _denoise_inks(
    pixels: images.Array,
    denoiser: Denoiser,
    strength: float,
    scratch: Scratch,
    into: images.Array,
    before_tile: Callable[[], None],
) -> str:
    """Cyan, magenta and yellow are the negative of red, green and blue, and black is a grayscale picture of its own. A
    way through RGB would lose how black is shared out between the inks."""
    white = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    light = scratch.empty(pixels.shape, pixels.dtype)
    for rows in bands(pixels):
        np.subtract(white, pixels[rows], out=light[rows])
        release(light)
    models = [
        denoiser.denoise(light[..., inks], strength, into[..., inks], before_tile).model
        for inks in (slice(3), slice(3, 4))
    ]
    for rows in bands(into):
        np.subtract(white, into[rows], out=into[rows])
    return models[0]


def _publish(
    task: Task, file: images.ImageFile, settings: Settings, scratch: Scratch, source: tuple[int, int]
) -> tuple[str, ...]:
    """Store, check and name the result; the notes about it. A file without any noise to remove is copied.

    ``source`` is the :func:`identity` of the original. That it is gone by now, or cannot be read, must not be taken for
    an output that cannot be written, which would end the run.
    """
    stays = settings.format in (None, file.encoding.format)
    with published(task.output, task.out) as temporary:
        if stays and all(page.bilevel for page in file.pages):
            with _readable(task.source):
                original = task.source.open("rb")
            with original, temporary.open("wb") as copy:
                shutil.copyfileobj(original, copy)
            _check_unchanged(task.source, source)
        else:
            if settings.format is not None:
                file = images.converted(file, settings.format, settings.quality)
            if settings.quality is not None:
                file = images.with_quality(file, settings.quality)
            images.write(file, temporary)
            file = replace(file, notes=(*file.notes, *images.verify(file, temporary, scratch)))
        if settings.keep_times:
            os.utime(temporary, ns=(source[1], source[1]))
    return file.notes


def _compared(
    row: Row, noisy: images.Picture, denoised: images.Picture, reference: images.Picture
) -> tuple[Row, str | None]:
    """The row with its scores against the reference, or as it was with a complaint."""
    try:
        after = quality.scores(denoised.pixels, reference.pixels)
        before = quality.scores(noisy.pixels, reference.pixels)
    except ReferenceImageError as error:
        return row, f"not compared: {error}"
    gain = after.psnr - before.psnr if after.psnr != before.psnr else 0.0
    ssim_gain = None if after.ssim is None or before.ssim is None else after.ssim - before.ssim
    scored = replace(
        row,
        psnr=after.psnr,
        ssim=after.ssim,
        mse=after.mse,
        mae=after.mae,
        psnr_gain=gain,
        ssim_gain=ssim_gain,
    )
    return scored, None


def _reference(task: Task, settings: Settings, scratch: Scratch) -> tuple[images.ImageFile | None, str | None]:
    """The clean version of a task, or why there is none. It never makes the file itself fail."""
    if task.reference is None:
        return None, None
    try:
        return images.read(task.reference, max_megapixels=settings.max_megapixels, scratch=scratch), None
    except OutputError:
        raise
    except FolderDenoiseError as error:
        return None, f"no reference: {error}"


def identity(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds. Raises UnreadableImageError."""
    with _readable(path):
        status = path.stat()
        return status.st_size, status.st_mtime_ns


def _check_unchanged(path: Path, before: tuple[int, int]) -> None:
    if identity(path) != before:
        raise UnreadableImageError(f"{path}: changed while it was read. Run again when it is complete.")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be opened ({error.strerror}). Check that it is there.") from error
