"""What a report says, in words and figures, about a run and about a comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from .. import zoo
from ..errors import ModelError
from ..table import Row
from . import charts, crops, gather, rank
from .charts import Chart
from .page import Card, Fact, Model, Section, View, legible, name_of, number
from .rank import Judgement, Measure, Picks
from .sources import RunSources

_SIDES = ("before", "after")
_SINGLE = ("Side by side", "")
_NO_ORIGINALS = (
    "The originals were not found, so results are shown alone. Name their folder with "
    "'folderdenoise report OUT --originals DIR'."
)
_NOTHING = Judgement(0.0, ())
_ALIKE = Measure("PSNR", lambda page: page.psnr)

Sources: TypeAlias = Callable[[Row], tuple[Path | str, Path]]
"""The file before (or why there is none) and the file after of a page."""


def run_view(title: str, pages: Sequence[Row], sources: RunSources, scratch: Path) -> View:
    """The report of a run. Opens the images of at most 24 pages; what is too large for memory goes to ``scratch``."""
    totals = gather.totals(pages)
    judgements = [rank.judge(page) for page in pages]
    measure = rank.measure_for(pages)
    picks = rank.pick(pages, judgements, measure)
    reasons = {(page.file, page.page): judged.reasons for page, judged in zip(pages, judgements, strict=True)}

    def section(title: str, lead: str, chosen: Sequence[Row]) -> Section:
        return Section(title, lead, tuple(_card(page, sources, reasons, picks, scratch) for page in chosen))

    look = section(*_look(picks))
    which = "Of all others" if picks.look else "Of all"
    highest = (f"Highest {measure.title}", f"{which}, the highest figures.")
    others = (
        section(f"Lowest {measure.title}", f"{which}, the lowest figures.", picks.worst),
        # Of one, nothing is the highest.
        section(*(highest if picks.worst or picks.look else _SINGLE), picks.best),
    )
    shots = [card.shot for part in (look, *others) for card in part.cards if card.shot]
    warnings = [_NO_ORIGINALS] if shots and not any(shot.before for shot in shots) else []
    return View(
        title=title,
        headline=_headline(totals, picks),
        when=_when(totals.finished_at),
        sides=_SIDES,
        facts=_facts(totals, pages),
        charts=_charts(pages),
        look=look,
        others=tuple(part for part in others if part.cards),
        failed=_failed(pages),
        settings=_settings(pages),
        models=tuple(_model(name) for name in sorted({page.model for page in pages if page.model})),
        pages=pages,
        judgements=judgements,
        warnings=tuple(warnings),
    )


def comparison_view(
    title: str, sides: tuple[str, str], pages: Sequence[Row], files: Mapping[str, tuple[Path, Path]], scratch: Path
) -> View:
    """The report of a comparison: ``pages`` with the scores of the first set against the second."""
    totals = gather.totals(pages)
    done = [page for page in pages if page.is_done]
    judgements = [_NOTHING] * len(pages)
    picks = rank.pick(pages, judgements, _ALIKE, most=12)
    psnr = _mean(page.psnr for page in done)
    identical = sum(page.mse == 0 for page in done)
    facts = [Fact("pairs compared", f"{totals.done:,}")]
    facts += [Fact("failed", f"{totals.failed:,}", "bad")] if totals.failed else []
    facts += [Fact("pages", f"{totals.pages:,}")] if totals.pages != totals.done else []
    facts += [
        Fact("megapixels", number(totals.megapixels, 1)),
        Fact("mean PSNR" + (", those that differ" if identical else ""), number(psnr, 2, "dB")),
        Fact("mean SSIM", number(_mean(page.ssim for page in done), 4)),
    ]
    facts += [Fact("identical", f"{identical:,}")] if identical else []
    drawn = (
        charts.histogram("PSNR", "dB", 1, [(sides[0], "after", [page.psnr for page in done])]),
        charts.histogram("SSIM", "", 3, [(sides[0], "after", [page.ssim for page in done])]),
    )
    closest = ("Closest", "The highest PSNR.") if picks.worst else _SINGLE
    others = [("Furthest apart", "The lowest PSNR.", picks.worst), (*closest, picks.best)]
    return View(
        title=title,
        headline=f"{_count(totals.done, 'pair')} compared" + (f", {totals.failed:,} failed." if totals.failed else "."),
        when="",
        sides=sides,
        facts=tuple(facts),
        charts=tuple(chart for chart in drawn if chart is not None),
        look=None,
        others=tuple(
            Section(
                title, lead, tuple(_card(page, lambda page: files[page.file], {}, picks, scratch) for page in chosen)
            )
            for title, lead, chosen in others
            if chosen
        ),
        failed=_failed(pages),
        settings=(),
        models=(),
        pages=pages,
        judgements=judgements,
    )


def _look(picks: Picks) -> tuple[str, str, tuple[Row, ...]]:
    if not picks.look:
        return "Worth a look", "The figures speak against none of the results.", ()
    shown_of = (
        f"the {len(picks.look)} most doubtful of {picks.look_files:,}" if picks.look_files > len(picks.look) else ""
    )
    lead = f"Files whose figures speak for a look{f': {shown_of}' if shown_of else ''}. The gravest first."
    return "Worth a look", lead, picks.look


def _headline(totals: gather.Totals, picks: Picks) -> str:
    if not totals.files:
        return "No file was denoised yet."
    words = f"{totals.done:,} of {_count(totals.files, 'file')} denoised"
    words += f", {totals.failed:,} failed." if totals.failed else "."
    if not totals.done:
        return words
    of_pages = " of its pages" if totals.files == 1 and totals.pages > 1 else ""
    deserve = f"{picks.look_files:,}{of_pages} {'deserve' if picks.look_files > 1 else 'deserves'} a look."
    return f"{words} {deserve if picks.look_files else 'None stands out as doubtful.'}"


def _facts(totals: gather.Totals, pages: Sequence[Row]) -> tuple[Fact, ...]:
    done = [page for page in pages if page.is_done]
    facts = [Fact("files denoised", f"{totals.done:,}")]
    facts += [Fact("failed", f"{totals.failed:,}", "bad")] if totals.failed else []
    facts += [Fact("pages", f"{totals.pages:,}")] if totals.pages != totals.done else []
    facts += [Fact("megapixels", number(totals.megapixels, 1)), Fact("working time", _time(totals.seconds))]
    before, after = _mean(page.noise_before for page in done), _mean(page.noise_after for page in done)
    if before is not None:
        facts.append(Fact("mean noise, of 255 levels", f"{number(before, 1)} → {number(after, 1)}"))
    gain = _mean(page.psnr_gain for page in done)
    if gain is not None:
        infinite = sum(math.isinf(page.psnr_gain or 0.0) for page in done)
        which = f", without {infinite:,} infinite" if infinite else ""
        facts.append(Fact(f"mean PSNR gain{which}", number(gain, 2, "dB", sign=True)))
    ssim = _mean(page.ssim_gain for page in done)
    if ssim is not None:
        facts.append(Fact("mean SSIM gain", number(ssim, 3, sign=True)))
    estimate = _mean(page.estimated_psnr_gain for page in done)
    if gain is None and estimate is not None:
        facts.append(Fact("mean PSNR gain, estimated", number(estimate, 1, "dB", sign=True)))
    return tuple(facts)


def _charts(pages: Sequence[Row]) -> tuple[Chart, ...]:
    done = [page for page in pages if page.is_done]
    before, after = _SIDES
    has_reference = any(page.psnr is not None for page in done)
    drawn = (
        charts.histogram("Noise", "8-bit levels, from the finest details", 1, [
            (before, "before", [page.noise_before for page in done]),
            (after, "after", [page.noise_after for page in done]),
        ]),
        charts.histogram("Noise where the image is flat", "8-bit levels", 1, [
            (before, "before", [page.flat_noise_before for page in done]),
            (after, "after", [page.flat_noise_after for page in done]),
        ]) if not has_reference else None,
        charts.histogram("PSNR", "dB, against the reference", 1, [
            (before, "before", [page.psnr_before for page in done]),
            (after, "after", [page.psnr for page in done]),
        ]),
        charts.histogram("SSIM", "against the reference", 3, [
            (before, "before", [page.ssim_before for page in done]),
            (after, "after", [page.ssim for page in done]),
        ]),
        charts.histogram("PSNR gain", "dB, estimated without a reference", 1, [
            ("estimate", "after", [page.estimated_psnr_gain for page in done]),
        ]),
    )  # fmt: skip
    return tuple(chart for chart in drawn if chart is not None)


def _card(
    page: Row,
    sources: Sources,
    reasons: Mapping[tuple[str, int], tuple[str, ...]],
    picks: Picks,
    scratch: Path,
) -> Card:
    before, after = sources(page)
    shot = crops.take(before, after, page.page, scratch, crops.MOST_BYTES // picks.count)
    words = reasons.get((page.file, page.page), ())
    if more := picks.others.get(page.file, 0):
        words = (*words, f"{_count(more, 'more page')} of this file deserve{'s' if more == 1 else ''} a look")
    failure = shot if isinstance(shot, str) else shot.note
    taken = None if isinstance(shot, str) else shot
    return Card(name_of(page), taken, _figures(page, taken), tuple(legible(word) for word in words), legible(failure))


def _figures(page: Row, shot: crops.Shot | None) -> tuple[tuple[str, str], ...]:
    figures = [("size", f"{page.width} × {page.height}")] if page.width else []
    if shot is not None and shot.zoom > 1:
        figures.append(("shown at", f"{100 * shot.zoom}%"))
    if page.noise_before is not None:
        figures.append(("noise", f"{number(page.noise_before, 1)} → {number(page.noise_after, 1)}"))
    if page.flat_noise_before is not None:
        figures.append(("where flat", f"{number(page.flat_noise_before, 1)} → {number(page.flat_noise_after, 1)}"))
    if page.structure_removed is not None:
        figures.append(("structure removed", number(page.structure_removed, 2)))
    if page.psnr is not None:
        gain = f" ({number(page.psnr_gain, 2, sign=True)})" if page.psnr_gain is not None else ""
        figures.append(("PSNR", number(page.psnr, 2, "dB") + gain))
    if page.ssim is not None:
        gain = f" ({number(page.ssim_gain, 3, sign=True)})" if page.ssim_gain is not None else ""
        figures.append(("SSIM", number(page.ssim, 4) + gain))
    if page.estimated_psnr_gain is not None:
        figures.append(("estimated gain", number(page.estimated_psnr_gain, 1, "dB", sign=True)))
    return tuple(figures)


def _failed(pages: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    return tuple((name_of(page), legible(page.notes)) for page in pages if not page.is_done)


def _settings(pages: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    counts = Counter((page.model, page.strength, page.settings or "") for page in pages if page.is_done)
    return tuple(
        (model or "none (copied)", number(strength, 2), settings, f"{count:,}")
        for (model, strength, settings), count in counts.most_common()
    )


def _model(name: str) -> Model:
    try:
        card = zoo.find(name)
    except ModelError:
        return Model(legible(name), (("card", "not found on this machine"),))
    minutes = card.training.get("seconds")
    took = f", in {_time(minutes)}" if isinstance(minutes, (int, float)) else ""
    facts = (
        ("what", card.summary),
        ("made for", f"{card.domain}, in {'colour' if card.channels == 3 else 'gray'}"),
        ("noise", f"what it learned to remove: {card.noise}"),
        ("learned from", card.training_data + took),
        ("their licences", card.training_data_licence),
        ("size", f"{card.parameters:,} parameters"),
        ("licence", card.licence),
    )
    measured = tuple(
        f"{metric['test_set']} ({metric['images']} images), {metric['noise']}: PSNR "
        f"{metric['psnr_noisy']:.2f} → {metric['psnr']:.2f} dB, SSIM {metric['ssim_noisy']:.3f} → {metric['ssim']:.3f}"
        for metric in card.metrics
    )
    return Model(f"{card.name}, version {card.version}", facts, measured)


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is known and finite."""
    known = [value for value in values if value is not None and abs(value) != float("inf")]
    return sum(known) / len(known) if known else None


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def _when(finished_at: str) -> str:
    try:
        moment = datetime.fromisoformat(finished_at)
    except ValueError:
        return ""
    return f"Last file finished on {moment:%Y-%m-%d at %H:%M} {moment.tzname() or ''}".rstrip()
