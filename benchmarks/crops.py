"""A contact sheet of crops at 100%: one row for each place, columns noisy, denoised by each method, clean.

    python benchmarks/crops.py sheet.png --place clean=Kodak24/kodim04.png,sigma=25,x=300,y=150,size=192,label=face \\
                                         --place noisy=pairs/noisy/03.png,clean=pairs/clean/03.png,x=40,y=60,size=192

A place is a comma-separated list of ``key=value``: ``noisy=FILE`` or ``clean=FILE,sigma=S`` or both files, ``x``, ``y``
(left and top, in pixels), ``size`` (side), and optionally ``label``. With ``clean`` alone, Gaussian noise of ``sigma``
is added as the first image of a folder gets it in ``quality.py``, clipped and rounded to 8 bits. With ``noisy``,
``sigma`` is what the classical methods are told; without it they are told the wavelet estimate. Whole images are
denoised as stored, turned upright by their EXIF orientation, and then cropped. Where there is a clean version, the
labels give the PSNR of the crop.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from peers import Method, Pixels, find_methods, read_pixels

from folderdenoise import images, quality
from folderdenoise.errors import FolderDenoiseError, UsageError
from folderdenoise.screen import Turn
from train.evaluate import add_noise, eight_bits

KEYS = ("noisy", "clean", "sigma", "x", "y", "size", "label")
GAP = 8
CAPTION = 18
PAPER, INK = 255, 0


@dataclass(frozen=True)
class Place:
    """A square of an upright image: ``x`` and ``y`` its left and top, ``size`` its side in pixels. See the module."""

    noisy: Path | None
    clean: Path | None
    sigma: float | None
    x: int
    y: int
    size: int
    label: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """From ``key=value,...``; a comma within a value is kept. Raises UsageError saying what is wrong."""
        # Split only where a known key follows, so that file names may hold commas.
        parts = re.split(rf",(?=(?:{'|'.join(KEYS)})=)", text)
        values = dict(part.partition("=")[::2] for part in parts)
        if unknown := values.keys() - set(KEYS):
            raise UsageError(f"a place has {', '.join(KEYS)}. Received: {', '.join(sorted(unknown))}, in {text!r}")
        try:
            noisy, clean = (Path(values[key]) if key in values else None for key in ("noisy", "clean"))
            sigma = float(values["sigma"]) if "sigma" in values else None
            x, y, size = (int(values[key]) for key in ("x", "y", "size"))
        except (KeyError, ValueError) as error:
            raise UsageError(f"a place needs numbers for x, y, size ({error}). Received: {text!r}") from None
        if noisy is None and (clean is None or sigma is None):
            raise UsageError(f"a place needs noisy=FILE, or clean=FILE and sigma. Received: {text!r}")
        return cls(noisy, clean, sigma, x, y, size, values.get("label", (noisy or clean).stem))

    @property
    def source(self) -> tuple[Path | None, Path | None, float | None]:
        """What must be denoised; the same for all places of one image."""
        return self.noisy, self.clean, self.sigma

    def cut(self, image: Pixels) -> Pixels:
        """The square. Raises UsageError if it does not lie within the image."""
        height, width = image.shape[:2]
        if not (0 <= self.x <= width - self.size and 0 <= self.y <= height - self.size and self.size > 0):
            raise UsageError(f"{self.label}: x={self.x}, y={self.y}, size={self.size} is outside of {width}×{height}")
        return image[self.y : self.y + self.size, self.x : self.x + self.size]


def versions(place: Place, methods: list[Method]) -> dict[str, NDArray[np.uint8]]:
    """The whole image of a place, upright: noisy, by each method, and clean if there is one."""
    clean = read_pixels(place.clean) if place.clean else None
    if place.noisy:
        noisy = read_pixels(place.noisy)
        if clean is not None and clean.shape != noisy.shape:
            raise UsageError(f"{place.clean}: is {clean.shape}, but {place.noisy} is {noisy.shape}")
    else:
        noisy = add_noise(clean, place.sigma, 0, "files")
    sigma = (quality.noise_level(noisy) or 0.0) if place.sigma is None else place.sigma
    columns = {"noisy": noisy} | {method.name: eight_bits(method.denoise(noisy, sigma)) for method in methods}
    if clean is not None:
        columns["clean"] = clean
    turn = Turn.of(images.read(place.noisy or place.clean).pages[0].metadata.orientation)
    return {name: np.ascontiguousarray(turn(image)) for name, image in columns.items()}


def row_of(place: Place, columns: dict[str, NDArray[np.uint8]], zoom: int) -> NDArray[np.uint8]:
    """The crops side by side, each under its caption, zoomed by repeating pixels."""
    clean = columns.get("clean")
    cells = []
    for name, image in columns.items():
        caption = f"{place.label}: {name}" if name == "noisy" else name
        if clean is not None and name != "clean":
            caption += f" {quality.scores(place.cut(image), place.cut(clean)).psnr:.2f}"
        cells.append(_captioned(place.cut(image).repeat(zoom, axis=0).repeat(zoom, axis=1), caption))
    return _joined(cells, axis=1)


def _captioned(crop: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    colour = np.repeat(crop, 3, axis=2) if crop.shape[2] == 1 else crop
    bar = np.full((CAPTION, colour.shape[1], 3), PAPER, np.uint8)
    scale = 0.42
    (width, _), _ = cv2.getTextSize(caption, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, (colour.shape[1] - 2) / width)
    cv2.putText(bar, caption, (1, CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, scale, (INK, INK, INK), 1, cv2.LINE_AA)
    return np.concatenate([bar, colour])


def _joined(parts: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Side by side or one below the other, with a gap between, filled up to the largest."""
    across = 1 - axis
    extent = max(part.shape[across] for part in parts)
    padded = []
    for index, part in enumerate(parts):
        margins = [(0, 0), (0, 0), (0, 0)]
        margins[across] = (0, extent - part.shape[across])
        margins[axis] = (GAP if index else 0, 0)
        padded.append(np.pad(part, margins, constant_values=PAPER))
    return np.concatenate(padded, axis=axis)


def sheet(places: list[Place], methods: list[Method], zoom: int) -> NDArray[np.uint8]:
    """The whole contact sheet, (H, W, 3) RGB."""
    done: dict[object, dict[str, NDArray[np.uint8]]] = {}
    rows = []
    with click.progressbar(places, label="places", file=sys.stderr) as bar:
        for place in bar:
            if place.source not in done:
                done = {place.source: versions(place, methods)}  # the last image only: photographs are large
            rows.append(row_of(place, done[place.source], zoom))
    return _joined(rows, axis=0)


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--place", "texts", multiple=True, required=True, help="key=value,...: see the head of this file.")
@click.option("--methods", default="opencv-nlm,auto", show_default=True, help="As in quality.py; a column each.")
@click.option("--zoom", type=click.IntRange(1), default=1, show_default=True)
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True)
def main(out: Path, texts: tuple[str, ...], methods: str, zoom: int, precision: str) -> None:
    """Write a PNG with crops of each --place: noisy, denoised, clean."""
    try:
        places = [Place.parse(text) for text in texts]
        picture = sheet(places, find_methods(methods, precision), zoom)
    except FolderDenoiseError as error:
        raise click.ClickException(str(error)) from error
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    out.write_bytes(encoded.tobytes())  # imwrite cannot write every path on Windows
    click.echo(f"wrote {out}, {picture.shape[1]}×{picture.shape[0]}")


if __name__ == "__main__":
    main()
