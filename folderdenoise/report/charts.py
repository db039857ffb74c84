"""Histograms as plain numbers, which the template draws as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340.0, 54.0
"""Size of one histogram's plot, in units of the drawing."""
_BINS = 32
_TICKS = 6


@dataclass(frozen=True)
class Series:
    """One histogram: ``bars`` are (x, y, width, height, words), ``mean`` is None where there is no finite value."""

    name: str
    kind: str
    bars: tuple[tuple[float, float, float, float, str], ...]
    mean: float | None
    mean_x: float
    count: int
    infinite: int


@dataclass(frozen=True)
class Chart:
    """Histograms over one common axis. ``ticks`` are (x, text)."""

    title: str
    unit: str
    decimals: int
    series: tuple[Series, ...]
    ticks: tuple[tuple[float, str], ...]


def histogram(
    title: str, unit: str, decimals: int, series: Sequence[tuple[str, str, Iterable[float | None]]]
) -> Chart | None:
    """Histograms of the ``series`` (name, kind, values) over one axis; None if there is nothing to draw.

    None and infinite values are left out; of the latter is said how many. Of more than 200 values, the outermost
    half percent on each side count in the first and last bar, whose words say so, lest one odd file squeeze all others
    together.
    """
    known = [(name, kind, [value for value in values if value is not None]) for name, kind, values in series]
    finite = [(name, kind, values, sorted(filter(math.isfinite, values))) for name, kind, values in known]
    ranges = [_range(values) for *_, values in finite if values]
    if not ranges:
        return None
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if 0.0 < low < high / 4:
        low = 0.0  # an axis that comes near 0 begins there
    step = nice_step((high - low) / _BINS) if high > low else 10.0**-decimals
    first = math.floor(low / step)
    bins = max(math.floor(high / step) - first + 1, 8)
    # A bar may be narrower than the figures are exact.
    exact = max(decimals, -math.floor(math.log10(step) + 1e-9))
    peak = max(max(_counts(values, first, step, bins)) for *_, values in finite)

    def place(value: float) -> float:
        return min(max((value / step - first) / bins, 0.0), 1.0) * WIDTH

    def words(index: int, inside: Sequence[float]) -> str:
        low, high = (first + index) * step, (first + index + 1) * step
        if index == 0 and inside[0] < low - 1e-9 * step:
            return f"under {high:.{exact}f}"
        if index == bins - 1 and inside[-1] > high + 1e-9 * step:
            return f"{low:.{exact}f} and more"
        return f"{low:.{exact}f} to {high:.{exact}f}"

    drawn = []
    for name, kind, values, inside in finite:
        bars = tuple(
            (
                round(index / bins * WIDTH, 2),
                round(HEIGHT * (1.0 - count / peak), 2),
                round(WIDTH / bins - 1.0, 2),
                round(HEIGHT * count / peak, 2),
                f"{f'{words(index, inside)} {unit}'.rstrip()}: {count:,}",
            )
            for index, count in enumerate(_counts(inside, first, step, bins))
            if count
        )
        mean = sum(inside) / len(inside) if inside else None
        infinite = len(values) - len(inside)
        drawn.append(Series(name, kind, bars, mean, place(mean) if mean is not None else 0.0, len(values), infinite))
    spacing = nice_step(bins * step / _TICKS)
    marks = range(math.ceil(first * step / spacing - 1e-9), math.floor((first + bins) * step / spacing + 1e-9) + 1)
    places = max(0, -math.floor(math.log10(spacing) + 1e-9))
    ticks = tuple((round(place(mark * spacing), 2), f"{mark * spacing:.{places}f}") for mark in marks)
    return Chart(title, unit, decimals, tuple(drawn), ticks)


def nice_step(step: float) -> float:
    """The smallest of 1, 2, 5 and 10 times a power of ten that is not under ``step``."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * (1 - 1e-9))


def _range(values: Sequence[float]) -> tuple[float, float]:
    spare = len(values) // 200
    return values[spare], values[-1 - spare]


def _counts(values: Iterable[float], first: int, step: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(max(math.floor(value / step + 1e-9) - first, 0), bins - 1)] += 1
    return counts
