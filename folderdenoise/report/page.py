"""The report as one HTML file that needs nothing else: no network, no other file, and no name that it would run."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from .. import __version__
from ..codecs.picture import shown
from ..table import Row
from .charts import HEIGHT, WIDTH, Chart
from .crops import CROP, Shot
from .rank import Judgement

MOST_ROWS = 30_000
"""Rows in the table: more would make the file too large to open fast. The most doubtful ones are kept."""
MOST_FAILED = 500
"""Failed files that are listed with their reasons."""

_JOINERS = "\u200c\u200d"

# Key, title, decimals (None: text), what it is. Columns without a value are left out.
_COLUMNS: tuple[tuple[str, str, int | None, str], ...] = (
    ("file", "file", None, "path below the input folder"),
    ("page", "page", 0, "page of the file"),
    ("status", "status", None, "done or failed"),
    ("score", "look", 2, "how much speaks for a look at it, 0 to 1"),
    ("megapixels", "MP", 2, "megapixels"),
    ("noise_before", "noise before", 1, "standard deviation in 8-bit levels, finest wavelet details"),
    ("noise_after", "noise after", 1, "the same of the result"),
    ("flat_noise_before", "flat before", 1, "noise where the image is flattest, 8-bit levels"),
    ("flat_noise_after", "flat after", 1, "the same of the result"),
    ("structure_removed", "structure", 2, "how much what was removed follows the picture, 0 to 1"),
    ("estimated_psnr_gain", "est. gain", 1, "PSNR gained in dB, estimated without a reference"),
    ("psnr", "PSNR", 2, "dB, against the reference"),
    ("psnr_gain", "PSNR gain", 2, "dB, against the reference"),
    ("ssim", "SSIM", 4, "against the reference, at most 1"),
    ("ssim_gain", "SSIM gain", 4, "against the reference"),
    ("mse", "MSE", 6, "mean squared difference from the reference, data range 1"),
    ("mae", "MAE", 5, "mean absolute difference from the reference, data range 1"),
    ("seconds", "seconds", 1, "time of the whole file"),
    ("model", "model", None, "which model did it"),
    ("notes", "notes", None, "what could not be kept, or why it failed"),
)


@dataclass(frozen=True)
class Fact:
    """A figure at the top: ``value`` large, ``label`` under it; ``kind`` "bad" for one that is to be seen."""

    label: str
    value: str
    kind: str = ""


@dataclass(frozen=True)
class Card:
    """One page with its pictures (or why there are none), figures (label, value) and reasons."""

    name: str
    shot: Shot | None
    figures: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Section:
    """A titled group of cards."""

    title: str
    lead: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Model:
    """A model in plain words: (what, which) pairs, and its measured figures as sentences."""

    name: str
    facts: tuple[tuple[str, str], ...]
    measured: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """All that a report shows. ``sides``: what the two pictures of a card are called. ``others`` are sections that
    stand side by side where there is room."""

    title: str
    headline: str
    when: str
    sides: tuple[str, str]
    facts: tuple[Fact, ...]
    charts: tuple[Chart, ...]
    look: Section | None
    others: tuple[Section, ...]
    failed: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, ...], ...]
    models: tuple[Model, ...]
    pages: Sequence[Row] = ()
    judgements: Sequence[Judgement] = ()
    warnings: tuple[str, ...] = field(default=())


def render(view: View) -> str:
    """The report as HTML."""
    environment = jinja2.Environment(
        # What is put in is text, whatever it looks like: names of files come from anywhere.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    script = _text("report.js")
    # The only script that the browser may run is this one.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.from_string(_text("report.html.j2")).render(
        view=view,
        table=_table(view),
        most_failed=MOST_FAILED,
        crop=CROP,
        chart_width=WIDTH,
        chart_height=HEIGHT,
        version=__version__,
        style=Markup(_text("report.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )


def legible(text: str) -> str:
    """Text of a table as any screen can show it: control characters escaped, but not what joins letters or parts them
    in Persian and Indian names, which no terminal can be trusted with."""
    return "".join(part if part in _JOINERS else shown(part) for part in re.split(f"([{_JOINERS}])", text) if part)


def name_of(page: Row) -> str:
    """A file's name as text that any screen can show, with the page where there are several."""
    name = legible(page.file)
    return f"{name}, page {page.page} of {page.pages}" if page.pages > 1 else name


def number(value: float | None, decimals: int, unit: str = "", sign: bool = False) -> str:
    """A figure for people: ``12,345.6 dB``, "∞", "–" for none."""
    if value is None:
        return "–"
    plus = "+" if sign else ""
    text = f"{value:{plus},.{decimals}f}" if math.isfinite(value) else ("∞" if value > 0 else "−∞")
    return f"{text.replace('-', '−')} {unit}".rstrip()


def _table(view: View) -> dict[str, Any]:
    """Columns and rows for the script; infinite figures as "inf" and "-inf", which JSON cannot say."""
    order = sorted(range(len(view.pages)), key=lambda i: (view.pages[i].is_done, -view.judgements[i].score))
    left_out = max(0, len(order) - MOST_ROWS)
    kept = order[:MOST_ROWS]
    values = {
        key: [_value(view.pages[i], view.judgements[i], key, decimals) for i in kept]
        for key, _, decimals, _ in _COLUMNS
    }
    idle = set()
    if all(view.pages[i].pages == 1 for i in kept):
        idle.add("page")
    if len({view.pages[i].model for i in kept} - {None}) < 2:
        idle.add("model")
    columns = [
        (key, title, decimals, words)
        for key, title, decimals, words in _COLUMNS
        if key == "file" or (key not in idle and _says_something(key, values[key]))
    ]
    return {
        "columns": [
            {"key": key, "title": title, "decimals": decimals, "words": words}
            for key, title, decimals, words in columns
        ],
        "rows": [list(row) for row in zip(*(values[key] for key, *_ in columns), strict=True)],
        "reasons": [list(view.judgements[i].reasons) for i in kept],
        "left_out": left_out,
    }


def _says_something(key: str, values: list[str | float | None]) -> bool:
    # A score of 0 stands as an empty cell; of all other figures 0 is one.
    return any(values) if key == "score" else any(value not in (None, "") for value in values)


def _value(page: Row, judgement: Judgement, key: str, decimals: int | None) -> str | float | None:
    if key == "score":
        # Down: rounded up to the mark, a page would count as doubtful in the table and not in the headline.
        return math.floor(100 * judgement.score + 1e-9) / 100
    value = getattr(page, key)
    if decimals is None:
        return legible(value or "")
    if value is None or (key == "megapixels" and not page.is_done):
        return None
    return round(value, decimals) if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
