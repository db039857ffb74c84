"""The cards of models: written whole, and figures put into them. Needs nothing that trains."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write ``card.json`` in one step, so that a reader never meets half of it."""
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".json", delete=False, encoding="utf-8") as file:
        json.dump(card, file, indent=2, ensure_ascii=False)
        file.write("\n")
    Path(file.name).replace(folder / "card.json")
    (folder / "card.json").chmod(0o644)


def record_metric(folder: Path, metric: dict[str, Any]) -> None:
    """Put one measured figure into a card; the same test set, noise and protocol replace the figure before."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    key = ("test_set", "noise", "protocol")
    card["metrics"] = [old for old in card["metrics"] if any(old[name] != metric[name] for name in key)] + [metric]
    write_card(folder, card)
