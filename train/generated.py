"""Pictures that the project makes itself, to widen the photographs: dead leaves, printed pages, line art, gradients.

All are ``(side, side, channels)`` uint8, sRGB. Nothing of them is anybody else's; the fonts are those that the machine
has (and matplotlib's own), drawn, not copied.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Generator = np.random.Generator

SIDE = 512
_OVERSAMPLED = 2
_LETTERS = string.ascii_lowercase * 3 + string.ascii_uppercase + string.digits + ".,;:!?-()/&%'\"äöüéßñ"


class Pictures(Sequence[Pixels]):
    """``count`` pictures of all kinds in turn, half of them dead leaves, each made when first asked for.

    Seeded; the fonts depend on the machine.
    """

    def __init__(self, count: int, channels: int, seed: int) -> None:
        self._channels, self._seed = channels, seed
        self._made: list[Pixels | None] = [None] * count

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        picture = self._made[index]
        if picture is None:
            picture = _KINDS[index % len(_KINDS)](SIDE, np.random.default_rng((self._seed, index)))
            if self._channels == 1:
                picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
            self._made[index] = picture
        return picture


def dead_leaves(side: int, rng: Generator) -> Pixels:
    """Occluding shapes whose sizes follow a power law, as objects in photographs do.

    R. Achddou, Y. Gousseau, S. Ladjal, "Synthetic images as a regularity prior for image restoration neural networks",
    SSVM 2021. A shape of radius r is as frequent as r⁻³ (scale invariance); each is filled with a colour, a gradient
    or a texture. Drawn at twice the size, so that edges are as soft as a lens leaves them.
    """
    large = side * _OVERSAMPLED
    canvas = np.empty((large, large, 3), np.uint8)
    canvas[:] = _colour(rng)
    smallest, largest = 8.0, large / 2.5
    # Inverse of the cumulative distribution of r⁻³ between the two; so many cover the canvas several times.
    radii = (smallest**-2 + rng.random(3500) * (largest**-2 - smallest**-2)) ** -0.5
    palette = [_colour(rng) for _ in range(int(rng.integers(6, 40)))]
    for radius in radii:
        _leaf(canvas, float(radius), palette[int(rng.integers(len(palette)))], rng)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


def _leaf(canvas: Pixels, radius: float, colour: NDArray[np.float64], rng: Generator) -> None:
    centre = rng.uniform(0, canvas.shape[0], 2)
    if rng.random() < 0.5:
        stretch = rng.uniform(0.3, 1.0)
        outline = cv2.ellipse2Poly(
            (0, 0), (max(1, int(radius)), max(1, int(radius * stretch))), int(rng.integers(180)), 0, 360, 8
        ).astype(np.float64)
    else:
        corners = int(rng.integers(3, 7))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = radius * rng.uniform(0.5, 1.2, corners)
        outline = np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=1)
    points = np.rint(outline + centre).astype(np.int32)
    shade = np.clip(colour + rng.normal(0, 12, 3), 0, 255)
    if radius < 12 or rng.random() < 0.4:
        cv2.fillPoly(canvas, [points], shade.tolist(), cv2.LINE_AA)
        return
    left, top, width, height = cv2.boundingRect(points)
    left, top = max(left, 0), max(top, 0)
    region = canvas[top : top + height, left : left + width]
    if region.size == 0:
        return
    mask = np.zeros(region.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points - (left, top)], 255, cv2.LINE_AA)
    texture = shade + _texture(region.shape[0], region.shape[1], rng)[..., None] * rng.uniform(0.6, 1.0, 3)
    weight = mask[..., None] / 255.0
    region[:] = np.clip(np.rint(region * (1 - weight) + texture * weight), 0, 255).astype(np.uint8)


def _texture(height: int, width: int, rng: Generator) -> NDArray[np.float64]:
    """A texture of mean about zero: a gradient, stripes, or blurred noise, up to some 40 levels strong."""
    strength = rng.uniform(5, 40)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    angle = rng.uniform(0, np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    kind = int(rng.integers(3))
    if kind == 0:
        return strength * (along / max(float(np.abs(along).max()), 1.0) - 0.5)
    if kind == 1:
        return strength * np.sin(along * 2 * np.pi / np.exp(rng.uniform(np.log(4), np.log(60))))
    blurred = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), float(np.exp(rng.uniform(0, np.log(12)))))
    return strength * blurred / max(float(blurred.std()), 1e-6) / 2


def page(side: int, rng: Generator) -> Pixels:
    """A printed page: paper of some tone, lines of text in some font and size, perhaps columns, rules and headings."""
    large = side * _OVERSAMPLED
    paper, ink = _paper_and_ink(rng)
    sheet = Image.new("RGB", (large, large), tuple(paper))
    pen = ImageDraw.Draw(sheet)
    columns = int(rng.choice([1, 1, 2, 3]))
    size = int(np.exp(rng.uniform(np.log(14), np.log(56))))
    for column in range(columns):
        left = int((column + 0.06) * large / columns)
        width = int(0.88 * large / columns)
        font = _font(int(rng.integers(1 << 30)), size)
        y = int(rng.integers(size))
        while y < large:
            heading = rng.random() < 0.06
            face = _font(int(rng.integers(1 << 30)), size * 2) if heading else font
            pen.text((left, y), _line(width, size * (2 if heading else 1), rng), font=face, fill=tuple(ink))
            y += int(size * (2.6 if heading else rng.uniform(1.15, 1.5)))
            if rng.random() < 0.04:
                pen.line((left, y, left + width, y), fill=tuple(ink), width=int(rng.integers(1, 6)))
    turned = sheet.rotate(float(rng.normal(0, 1.0)), Image.Resampling.BICUBIC, fillcolor=tuple(paper))
    return _shaded(cv2.resize(np.asarray(turned), (side, side), interpolation=cv2.INTER_AREA), rng)


def line_art(side: int, rng: Generator) -> Pixels:
    """Drawings on paper: curves, polygons and hatching of many stroke widths."""
    large = side * _OVERSAMPLED
    paper, ink = _paper_and_ink(rng)
    canvas = np.empty((large, large, 3), np.uint8)
    canvas[:] = paper
    for _ in range(int(rng.integers(20, 90))):
        knots = rng.uniform(0, large, 2) + np.cumsum(rng.normal(0, large / 14, (int(rng.integers(2, 12)), 2)), axis=0)
        width = int(np.exp(rng.uniform(0, np.log(9))))
        if rng.random() < 0.2:  # hatching
            step = rng.uniform(3, 20) * width * np.array([0.7, 0.7])
            strokes = [np.rint(knots[:2] + step * index).astype(np.int32) for index in range(12)]
        else:
            if rng.random() < 0.6:
                # Between its knots a curve is soft.
                knots = cv2.resize(knots[:, None], (1, 12 * len(knots)), interpolation=cv2.INTER_CUBIC)[:, 0]
            strokes = [np.rint(knots).astype(np.int32)]
        cv2.polylines(canvas, strokes, bool(rng.random() < 0.3), ink.tolist(), width, cv2.LINE_AA)
    return _shaded(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), rng)


def gradient(side: int, rng: Generator) -> Pixels:
    """Soft gradients with a few flat fields: skies, walls, studio backgrounds."""
    small = np.stack([_colour(rng) for _ in range(9)]).reshape(3, 3, 3)
    spread = rng.uniform(0.1, 1.0)
    small = small.mean(axis=(0, 1)) * (1 - spread) + small * spread
    soft = cv2.resize(small.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    # Half a level of dither: banding would be learned as detail.
    picture = np.clip(np.rint(soft + rng.uniform(-0.5, 0.5, soft.shape)), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 6))):
        corners = np.rint(rng.uniform(0, side, (4, 2))).astype(np.int32)
        cv2.fillConvexPoly(picture, cv2.convexHull(corners), _colour(rng).tolist(), cv2.LINE_AA)
    return picture


def _colour(rng: Generator) -> NDArray[np.float64]:
    """Mostly muted, as most things are: a gray level and a small or large step away from it."""
    return np.clip(rng.uniform(0, 255) + rng.normal(0, float(np.exp(rng.uniform(np.log(4), np.log(70)))), 3), 0, 255)


def _paper_and_ink(rng: Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    paper = np.clip(rng.uniform(175, 255) + np.array([0, -0.35, -1.0]) * rng.uniform(0, 45), 0, 255)
    ink = np.clip(rng.uniform(0, 90) + rng.normal(0, 15, 3), 0, 255)
    pair = (ink, paper) if rng.random() < 0.1 else (paper, ink)
    return pair[0].astype(np.int64), pair[1].astype(np.int64)


def _shaded(picture: Pixels, rng: Generator) -> Pixels:
    """Uneven light over the sheet, as near a book's spine."""
    light = cv2.resize(rng.uniform(0.85, 1.0, (3, 3)).astype(np.float32), picture.shape[1::-1], interpolation=2)
    return np.clip(np.rint(picture * light[..., None]), 0, 255).astype(np.uint8)


def _line(width: int, size: int, rng: Generator) -> str:
    """Words of random letters, about as many as fit."""
    count = max(2, int(width / (0.55 * size)))
    letters = [_LETTERS[index] for index in rng.integers(len(_LETTERS), size=count)]
    place = 0
    while (place := place + int(rng.integers(2, 10))) < count:
        letters[place] = " "
    return "".join(letters)


@functools.lru_cache(256)
def _font(choice: int, size: int) -> ImageFont.FreeTypeFont:
    names = _fonts()
    return ImageFont.truetype(names[choice % len(names)], size)


@functools.cache
def _fonts() -> tuple[str, ...]:
    """Files of text fonts: those of the machine and matplotlib's own."""
    needed = set(map(ord, _LETTERS))
    # The last-resort font has a box for every letter.
    entries = (entry for entry in font_manager.fontManager.ttflist if "Last Resort" not in entry.name)
    files = sorted({entry.fname for entry in entries})
    return tuple(file for file in files if needed <= set(font_manager.get_font(file).get_charmap()))


_KINDS = (dead_leaves, page, dead_leaves, gradient, dead_leaves, page, dead_leaves, line_art)
