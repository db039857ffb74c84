"""All that the window says, in each of its languages: one dictionary per language, the same keys in each.

Placeholders are those of :meth:`str.format`. A new language is a new module here with its line in ``_LANGUAGES``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import de, en


@dataclass(frozen=True)
class Language:
    """``texts`` by key; ``summaries``: models' summaries by the English ones of their cards; ``point``: the decimal
    separator."""

    texts: Mapping[str, str]
    summaries: Mapping[str, str]
    point: str


LANGUAGES = {"en": Language(en.TEXTS, {}, "."), "de": Language(de.TEXTS, de.SUMMARIES, ",")}

_chosen = LANGUAGES["en"]


def use(code: str) -> None:
    """Speak the language of a code like "de" or "de_AT" from now on; English where there is none for it."""
    global _chosen
    _chosen = LANGUAGES.get(code.replace("-", "_").partition("_")[0].lower(), LANGUAGES["en"])


def text(key: str, **values: object) -> str:
    """The text of ``key``, its placeholders filled with ``values``."""
    return _chosen.texts[key].format(**values)


def counted(key: str, number: int, **values: object) -> str:
    """The text of ``key_one`` or ``key_many``, whose ``{n}`` is the number."""
    return text(f"{key}_one" if number == 1 else f"{key}_many", n=number, **values)


def decimal(value: float, places: int) -> str:
    """A number as the language writes it."""
    return f"{value:.{places}f}".replace(".", _chosen.point)


def summary(english: str) -> str:
    """What a model's card says of it, translated where somebody has done so."""
    return _chosen.summaries.get(english, english)
