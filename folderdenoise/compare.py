"""Two files, or two folders file by file: how near the one is to the other, by the measures of the literature."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import images, quality
from .errors import FolderDenoiseError, UnreadableImageError, UsageError
from .images import EXTENSIONS
from .scratch import Scratch
from .table import Row
from .tree import Found, Tree


@dataclass(frozen=True)
class Pair:
    """A file and its reference. ``name``: its path below the folder. ``why``: what keeps it from being compared, known
    before a file is opened; then the files are None."""

    name: str
    image: Path | None
    reference: Path | None
    why: str = ""


@dataclass(frozen=True)
class Compared:
    """One page against its reference, or why it could not be: the fields of a line of ``compare --json``.

    ``psnr`` in dB, infinite for identical pages; ``ssim`` None under 11 pixels a side; ``mse`` and ``mae`` with data
    range 1; ``width`` and ``height`` in pixels; ``page`` of ``pages`` counts from 1. A failed file has one row.
    """

    file: str
    page: int = 1
    pages: int = 1
    status: str = "done"
    width: int | None = None
    height: int | None = None
    psnr: float | None = None
    ssim: float | None = None
    mse: float | None = None
    mae: float | None = None
    notes: str = ""


@dataclass(frozen=True)
class Means:
    """Over all pages that were compared. ``psnr`` is the mean of the finite ones: ``identical`` says how many pages are
    not among them. None where there is nothing to take the mean of."""

    pages: int
    failed: int
    identical: int
    psnr: float | None
    ssim: float | None
    mse: float | None
    mae: float | None


def find_pairs(image: Path, reference: Path) -> tuple[list[Pair], list[str]]:
    """The pairs of two files or two folders, in the order of their names, and what was left alone, in words.

    In folders a file's partner is the one of the same relative path, else the only one that differs in the suffix
    alone. Raises UsageError where one is not there or cannot be listed, where a file is given with a folder, or where
    there are no images.
    """
    for path in (image, reference):
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder. Check the spelling.")
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise UsageError(f"{path}: cannot be read. Check its permissions.")
    if image.is_dir() != reference.is_dir():
        raise UsageError(f"{image} and {reference}: one is a folder, the other is not. Give two files or two folders.")
    if not image.is_dir():
        return [Pair(image.name, image, reference)], []
    trees = Tree(image, []), Tree(reference, [])
    ours, theirs = ({found.relative: found for found in tree.walk() if _is_image(found)} for tree in trees)
    pairs = _matched(ours, theirs, image, reference)
    for tree, root in zip(trees, (image, reference), strict=True):
        pairs += [
            Pair(skipped.path.relative_to(root).as_posix(), None, None, f"{skipped.path}: {skipped.reason}")
            for skipped in tree.unreadable
        ]
    if not pairs:
        raise UsageError(f"{image} and {reference}: there are no images in them. Check the spelling.")
    return pairs, [f"{skipped.path}: {skipped.reason}" for tree in trees for skipped in tree.skipped]


def _is_image(found: Found) -> bool:
    return found.path.suffix.lower() in EXTENSIONS


def _matched(ours: dict[str, Found], theirs: dict[str, Found], image: Path, reference: Path) -> list[Pair]:
    pairs = [Pair(name, found.path, theirs[name].path) for name, found in ours.items() if name in theirs]
    # A file that has a partner of its very name is nobody else's partner.
    left: dict[str, tuple[list[Found], list[Found]]] = {}
    for index, (here, there) in enumerate(((ours, theirs), (theirs, ours))):
        for name, one in here.items():
            if name not in there:
                left.setdefault(_stem(name), ([], []))[index].append(one)
    for first, second in left.values():
        if len(first) == len(second) == 1:
            pairs.append(Pair(first[0].relative, first[0].path, second[0].path))
            continue
        for side, mine, others in ((reference, first, second), (image, second, first)):
            for found in mine:
                why = f"{found.path}: has no partner in {side}"
                if others:
                    names = ", ".join(other.relative for other in (*first, *second))
                    why = f"{found.path}: its partner is not clear among {names}. Compare the two files by themselves"
                pairs.append(Pair(found.relative, None, None, why))
    return sorted(pairs, key=lambda pair: pair.name)


def _stem(relative: str) -> str:
    return PurePosixPath(relative).with_suffix("").as_posix()


def compare(pair: Pair, max_megapixels: float = 2000.0) -> list[Compared]:
    """The pages of a pair against each other, or one failed row that says why not.

    What is too large for memory goes through scratch files in the system's temporary folder.
    """
    try:
        if pair.image is None or pair.reference is None:
            raise UnreadableImageError(pair.why)
        scratch = Scratch(Path(tempfile.gettempdir()))
        return _scored(pair.name, *_read(pair.image, pair.reference, max_megapixels, scratch))
    except FolderDenoiseError as error:
        message = str(error)
        # The room that compares pixels does not know whose they are.
        names_it = pair.image is None or str(pair.image) in message or str(pair.reference) in message
        return [Compared(pair.name, status="failed", notes=message if names_it else f"{pair.image}: {message}")]


def _read(
    image: Path, reference: Path, max_megapixels: float, scratch: Scratch
) -> tuple[tuple[images.Picture, ...], tuple[images.Picture, ...]]:
    first, second = (
        images.read(path, max_megapixels=max_megapixels, scratch=scratch).pages for path in (image, reference)
    )
    if len(first) != len(second):
        raise UnreadableImageError(f"{image}: has {len(first)} pages, its reference {len(second)}")
    return first, second


def _scored(name: str, first: Sequence[images.Picture], second: Sequence[images.Picture]) -> list[Compared]:
    rows = []
    for number, (page, reference) in enumerate(zip(first, second, strict=True), start=1):
        scores = quality.scores(page.pixels, reference.pixels)
        height, width = page.pixels.shape[:2]
        rows.append(
            Compared(
                name,
                number,
                len(first),
                width=width,
                height=height,
                psnr=scores.psnr,
                ssim=scores.ssim,
                mse=scores.mse,
                mae=scores.mae,
            )
        )
    return rows


def means(rows: Sequence[Compared]) -> Means:
    """The means over all compared pages."""
    done = [row for row in rows if row.status == "done"]
    finite = [row.psnr for row in done if row.psnr is not None and math.isfinite(row.psnr)]
    return Means(
        pages=len(done),
        failed=len(rows) - len(done),
        identical=len(done) - len(finite),
        psnr=_mean(finite),
        ssim=_mean([row.ssim for row in done if row.ssim is not None]),
        mse=_mean([row.mse for row in done if row.mse is not None]),
        mae=_mean([row.mae for row in done if row.mae is not None]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def write_page(target: Path, sides: tuple[Path, Path], pairs: Sequence[Pair], rows: Sequence[Compared]) -> Path:
    """Write the report page of a comparison of ``sides`` to ``target``. Raises OutputError."""
    from .report import write_comparison

    names = sides[0].resolve().name, sides[1].resolve().name
    labels = names if names[0] != names[1] else ("A", "B")
    pages = [Row(**{field.name: getattr(row, field.name) for field in dataclasses.fields(row)}) for row in rows]
    files = {
        pair.name: (pair.image, pair.reference)
        for pair in pairs
        if pair.image is not None and pair.reference is not None
    }
    title = f"{names[0]} against {names[1]}"
    return write_comparison(target, title, (labels[0], f"{labels[1]} (reference)"), pages, files)


def check_target(target: Path) -> None:
    """Raise UsageError for a name that an image could have, since nobody's picture is overwritten, and for a place that
    is not there."""
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {target}: give a name that ends in .html.")
    if not target.parent.is_dir():
        raise UsageError(f"--out {target}: there is no folder {target.parent}. Make it, or name another file.")
