"""The models that can be chosen, in plain words, and how strong each can be told to denoise."""

from __future__ import annotations

from dataclasses import dataclass

from .. import zoo
from ..engine import AUTO_MODELS, MAX_STRENGTH
from ..errors import ModelError
from ..zoo import ModelCard
from .texts import LANGUAGES, summary, text

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A model: ``name`` for the engine, ``title`` for people, ``hint`` with all there is to say, ``most`` strength."""

    name: str
    title: str
    hint: str
    most: float


def choices() -> list[Choice]:
    """Automatic first, then the models for photographs, then those for other pictures."""
    cards = sorted(zoo.available(), key=lambda card: (card.domain != "photographs", -card.channels, card.name))
    return [Choice(AUTO, text("model_auto"), text("model_hint"), _most_of_auto()), *map(_choice, cards)]


def _choice(card: ModelCard) -> Choice:
    first = card.summary.partition(". ")[0].rstrip(".")
    if card.domain == "photographs":
        title = f"{summary(first + '.').rstrip('.')} ({card.name})"
    else:
        key = f"model_{card.domain}"
        title = text(key if key in LANGUAGES["en"].texts else "model_other", name=card.name, domain=card.domain)
    return Choice(card.name, title, f"{card.name}: {card.summary}", MAX_STRENGTH if card.has_strength else 1.0)


def _most_of_auto() -> float:
    try:
        cards = [zoo.find(name) for name in AUTO_MODELS.values()]
    except ModelError:
        return 1.0
    return MAX_STRENGTH if all(card.has_strength for card in cards) else 1.0
