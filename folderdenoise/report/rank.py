"""Which files deserve a look, and why: doubts about each page, from the figures in its row.

A doubt is a number from 0 to 1 with words for it; a page's score is the sum of its doubts, at most 1. Where a clean
reference was given, only the PSNR gained against it counts: nothing that is estimated knows better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..table import Row

LOOK = 0.25
"""From this score on a page deserves a look."""

_INVISIBLE_PSNR = 45.0  # dB: about one and a half levels of 255
_NOTE = 0.05  # a file with notes comes before one without, but notes alone are no reason to look


@dataclass(frozen=True, slots=True)
class Judgement:
    """``score``: 0 (nothing speaks against the result) to 1. ``reasons``: in plain words, the gravest first."""

    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """What pages are called best and worst by. ``value`` of a page: the higher the better, None if unknown."""

    title: str
    value: Callable[[Row], float | None]


def judge(page: Row) -> Judgement:
    """The doubts about a page. A failed one has none: it has no result to doubt."""
    if not page.is_done:
        return Judgement(0.0, ())
    doubts = _against_reference(page) if page.psnr_gain is not None else [*_from_evidence(page)]
    if page.notes:
        doubts.append((_NOTE, f"notes: {page.notes}"))
    doubts.sort(key=lambda doubt: -doubt[0])
    return Judgement(min(1.0, sum(weight for weight, _ in doubts)), tuple(words for _, words in doubts))


def _against_reference(page: Row) -> list[tuple[float, str]]:
    gain, psnr = page.psnr_gain, page.psnr
    if gain is None or psnr is None or psnr >= _INVISIBLE_PSNR:
        return []
    if gain < -0.05:
        # At 3 dB lost, the doubt is full.
        lost = f" ({gain:.1f} dB)" if math.isfinite(gain) else ", which the original is equal to"
        return [(_ramp(gain, 0.0, -3.0, start=LOOK), f"worse than the original by the reference{lost}")]
    if gain < 0.5:
        return [(0.1, f"hardly better than the original by the reference ({max(gain, 0.0):+.1f} dB)")]
    return []


def _from_evidence(page: Row) -> Iterable[tuple[float, str]]:
    before, after = page.noise_before, page.noise_after
    if before is None or after is None:
        return
    drop = before - after
    structure = page.structure_removed
    if structure is not None:
        # Of a layer that is hardly there, what it looks like matters to nobody. At 0.2 a page deserves a look.
        weight = _ramp(structure, 0.1, 0.5) * _ramp(drop, 0.0, 4.0)
        if weight > 0.05:
            yield weight, f"what was removed follows the picture ({structure:.2f} of 1): detail may be lost"
    flat = page.flat_noise_before
    if flat is not None and flat < 1.5 and drop >= 2.0:
        yield (
            _ramp(drop, 1.0, 5.0),
            f"hardly any noise found where it is flat ({flat:.1f} of 255 levels), yet much was changed",
        )
    # Texture, which the wavelet estimate takes for noise, does not count where the flat parts are known.
    if page.flat_noise_before is not None and page.flat_noise_after is not None:
        before, after = page.flat_noise_before, page.flat_noise_after
    wanted = (1.0 - (1.0 if page.strength is None else page.strength)) * before
    weight = _ramp(after - wanted, 2.0, 8.0)
    if weight > 0.0:
        yield weight, f"still noisy: {after:.1f} of {before:.1f} levels are left"
    if page.estimated_psnr_gain is not None and page.estimated_psnr_gain < 0.0:
        weight = _ramp(page.estimated_psnr_gain, 0.0, -3.0)
        yield weight, f"worse than the original by the estimate ({page.estimated_psnr_gain:.1f} dB)"


def _ramp(value: float, zero: float, one: float, start: float = 0.0) -> float:
    """From ``start`` at ``zero`` to 1 at ``one``, and no further."""
    share = min(max((value - zero) / (one - zero), 0.0), 1.0)
    return start + (1.0 - start) * share


def measure_for(pages: Iterable[Row]) -> Measure:
    """What to call the pages best and worst by: the surest figure that any of them has."""
    has_estimate = False
    for page in pages:
        if page.psnr_gain is not None:
            return Measure("PSNR gain", lambda page: page.psnr_gain)
        has_estimate = has_estimate or page.estimated_psnr_gain is not None
    if has_estimate:
        return Measure("estimated PSNR gain", lambda page: page.estimated_psnr_gain)
    return Measure("share of noise removed", _share_removed)


def _share_removed(page: Row) -> float | None:
    before, after = page.flat_noise_before, page.flat_noise_after
    if before is None or after is None:
        before, after = page.noise_before, page.noise_after
    # Of hardly any noise no share can be told.
    return None if before is None or after is None or before < 1.0 else 100.0 * (1.0 - after / before)


@dataclass(frozen=True)
class Picks:
    """The pages that are shown, one of each file, none twice. ``others``: by file, how many more of its pages deserve
    a look; ``look_files``: how many files do."""

    look: tuple[Row, ...]
    worst: tuple[Row, ...]
    best: tuple[Row, ...]
    others: dict[str, int]
    look_files: int

    @property
    def count(self) -> int:
        """How many pages are shown."""
        return len(self.look) + len(self.worst) + len(self.best)


def pick(
    pages: Sequence[Row], judgements: Sequence[Judgement], measure: Measure, most_look: int = 12, most: int = 6
) -> Picks:
    """Choose what is shown: the most doubtful files, then the worst and best of the others by ``measure``.

    Where there is one file only, its pages are chosen in the place of files.
    """
    is_one = len({page.file for page in pages}) == 1

    def unit(page: Row) -> tuple[str, int]:
        return page.file, page.page if is_one else 0

    doubtful = [(judged.score, page) for page, judged in zip(pages, judgements, strict=True) if judged.score >= LOOK]
    # Sorting is stable: pages of one score stay in the order of the table.
    doubtful.sort(key=lambda pair: -pair[0])
    others = Counter(page.file for _, page in doubtful)
    look = _one_of_each(unit, (page for _, page in doubtful))
    others.subtract(page.file for page in look)
    shown = {unit(page) for page in look[:most_look]}
    measured = [
        (value, page)
        for page in pages
        if page.is_done and unit(page) not in shown and (value := measure.value(page)) is not None
    ]
    measured.sort(key=lambda pair: -pair[0])
    worst_first = _one_of_each(unit, (page for _, page in reversed(measured)))
    best_first = _one_of_each(unit, (page for _, page in measured))
    count = len(worst_first)
    worst = worst_first[: min(most, count // 2)]
    taken = {unit(page) for page in worst}
    best = [page for page in best_first if unit(page) not in taken][: min(most, count - len(worst))]
    return Picks(tuple(look[:most_look]), tuple(worst), tuple(best), dict(others), len(look))


def _one_of_each(unit: Callable[[Row], tuple[str, int]], pages: Iterable[Row]) -> list[Row]:
    first: dict[tuple[str, int], Row] = {}
    for page in pages:
        first.setdefault(unit(page), page)
    return list(first.values())
