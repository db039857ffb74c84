"""Do no harm: what becomes of clean photographs that are JPEG files, and of the strokes of text.

    python benchmarks/harm.py --clean photos-validation --methods opencv-nlm,rgb-leaky

Photographs (their centre of at most 1,024 pixels a side) are stored as JPEG of quality 50, 75 and 90 by OpenCV and
then denoised: PSNR and SSIM of the JPEG and of each answer against the photograph, and how much of the JPEG's detail is
kept (mean absolute difference between neighbouring pixels, of the answer by that of the JPEG).

Text: the two scanned pages that come with scikit-image (``page``, ``text``), clean and with Gaussian noise as files
have it. Strokes are what is darker than the mean of the 25 × 25 pixels around it by more than Otsu's threshold of these
differences. *Strokes*: pixels that are strokes of the clean page and of the answer, by those that are of either.
*Contrast*: how much darker than the others the clean page's strokes are in the answer, by how much in the page.
Methods that are told a deviation are told 5 for JPEG files and clean pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from peers import Method, Pixels, find_methods, list_images, read_pixels

from folderdenoise import quality
from folderdenoise.errors import FolderDenoiseError
from train.evaluate import add_noise, eight_bits

QUALITIES = (50, 75, 90)
SIGMAS = (0.0, 15.0, 25.0)
_SIDE = 1024
_WINDOW = 25
_TOLD = 5.0


def stored_as_jpeg(image: NDArray[np.uint8], jpeg_quality: int) -> NDArray[np.uint8]:
    """``image`` (H, W, 3) uint8 after one trip through a JPEG file."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def detail(image: NDArray[np.uint8]) -> float:
    """Mean absolute difference between neighbouring pixels of ``image`` (H, W, C)."""
    values = image.astype(np.float32)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())


def strokes(page: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is ink on ``page`` (H, W, 1) uint8: darker than its surroundings by more than Otsu's threshold."""
    gray = page[..., 0].astype(np.float32)
    paper = cv2.blur(gray, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)
    darker = np.clip(paper - gray, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(darker, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(darker > threshold)


def jpeg_rows(folder: Path, methods: list[Method]) -> Iterator[str]:
    """A row of the table for each quality and method: means over the photographs in ``folder``."""
    photographs = [centre(image) for path in list_images(folder) if (image := read_pixels(path)).shape[2] == 3]
    for jpeg_quality in QUALITIES:
        figures: dict[str, list[tuple[float, float, float]]] = {}
        for photograph in photographs:
            jpeg = stored_as_jpeg(photograph, jpeg_quality)
            answers = {"the JPEG": jpeg} | {m.name: eight_bits(m.denoise(jpeg, _TOLD)) for m in methods}
            for name, answer in answers.items():
                same = quality.scores(answer, photograph)
                figures.setdefault(name, []).append((same.psnr, same.ssim or 0.0, detail(answer) / detail(jpeg)))
        for name, measured in figures.items():
            psnr, ssim, kept = np.mean(measured, axis=0)
            yield f"| {jpeg_quality} | {name} | {psnr:.2f} | {ssim:.4f} | {kept:.0%} |"


def text_rows(methods: list[Method]) -> Iterator[str]:
    """A row of the table for each noise and method: means over the pages."""
    pages = [getattr(skimage.data, name)()[..., np.newaxis] for name in ("page", "text")]
    for sigma in SIGMAS:
        figures: dict[str, list[tuple[float, float]]] = {}
        for index, page in enumerate(pages):
            noisy = add_noise(page, sigma, index, "files")
            answers = {"the page": noisy} | {m.name: eight_bits(m.denoise(noisy, sigma or _TOLD)) for m in methods}
            ink = strokes(page)
            for name, answer in answers.items():
                found = strokes(answer)
                contrast = np.mean(answer[~ink]) - np.mean(answer[ink])
                before = np.mean(page[~ink]) - np.mean(page[ink])
                shared = np.sum(ink & found) / np.sum(ink | found)
                figures.setdefault(name, []).append((float(shared), float(contrast / before)))
        for name, measured in figures.items():
            shared, contrast = np.mean(measured, axis=0)
            yield f"| {sigma:g} | {name} | {shared:.1%} | {contrast:.1%} |"


def centre(image: Pixels) -> NDArray[np.uint8]:
    """The middle of ``image`` (H, W, C) uint8, at most ``_SIDE`` pixels a side."""
    top, left = (max(0, length - _SIDE) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[top : top + _SIDE, left : left + _SIDE])


@click.command()
@click.option("--clean", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--methods", default="opencv-nlm,auto", show_default=True, help="Peers, names or paths of models.")
def main(clean: Path, methods: str) -> None:
    """What becomes of JPEG files of the photographs in --clean, and of text."""
    try:
        chosen = find_methods(methods)
        click.echo("| quality | | PSNR | SSIM | detail kept |\n|---|---|---|---|---|")
        for row in jpeg_rows(clean, chosen):
            click.echo(row)
        click.echo("\n| sigma | | strokes | contrast |\n|---|---|---|---|")
        for row in text_rows(chosen):
            click.echo(row)
    except FolderDenoiseError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
