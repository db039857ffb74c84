"""The models that are there, and what each one is: a folder with ``model.onnx`` and ``card.json``.

Pure standard library: listing the zoo must not wait for an inference runtime.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import ModelError

SEARCH_VARIABLE = "FOLDERDENOISE_MODELS"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a model is, how to run it, what it was trained on and how good it is.

    Lengths are in pixels: ``receptive_field`` is the theoretical one, ``overlap`` how far from a cut through
    the image the result differs visibly from that of the whole image (see ``tiles``), and height and width
    given to the graph must be multiples of ``size_multiple``. ``noise_level_stride`` is the k of the graph's
    (N, H/k, W/k, 1) noise map, None without one. ``mean_shift`` in [0, 1] is how far the model moves an image's mean
    on purpose, 0 for one that removes noise of mean zero. ``kmac_per_pixel`` is in thousands of multiply-accumulates,
    without overlap.
    """

    folder: Path
    name: str
    version: str
    summary: str
    domain: str
    channels: int
    receptive_field: int
    overlap: int
    size_multiple: int
    input_range: tuple[float, float]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    noise_level_stride: int | None
    mean_shift: float
    parameters: int
    kmac_per_pixel: float
    training_data: str
    training_data_licence: str
    noise: str
    metrics: tuple[dict[str, Any], ...]
    sha256: str
    licence: str
    command: str
    training: dict[str, Any]

    @classmethod
    def from_folder(cls, folder: Path) -> ModelCard:
        """Read and check ``folder/card.json``. The graph is checked when it is read, by ``read_graph``.

        Raises ModelError when the card is missing, is no JSON, or lacks a field or has a wrong one.
        """
        path = folder / "card.json"
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(
                f"{folder}: no card.json there, so this is no model folder. "
                "Give the folder that 'python -m train fit' wrote, with model.onnx and card.json in it."
            ) from None
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
        except ValueError as error:
            raise ModelError(f"{path}: is not valid JSON ({error}). {REPAIR}") from error
        if not isinstance(card, dict):
            raise ModelError(f"{path}: must hold one JSON object. {REPAIR}")
        if missing := [key for key in _FIELDS if key not in card]:
            raise ModelError(f"{path}: lacks {', '.join(missing)}. {REPAIR}")
        for key, (wanted, is_valid) in _FIELDS.items():
            if not is_valid(card[key]):
                raise ModelError(f"{path}: {key} must be {wanted}. Received: {card[key]!r}. {REPAIR}")
        # Keys that this version does not know are left alone: a newer exporter may add some.
        values: dict[str, Any] = {
            key: tuple(card[key]) if isinstance(card[key], list) else card[key] for key in _FIELDS
        }
        return cls(folder=folder, **values)

    @property
    def has_strength(self) -> bool:
        """Whether the graph itself takes ``strength``; if not, strength blends input and result."""
        return "strength" in self.inputs

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON values, as in card.json."""
        return {key: getattr(self, key) for key in _FIELDS}


def find(name_or_path: str | Path) -> ModelCard:
    """The card of a model of the zoo by its name, or of any model folder by its path.

    A name of the zoo wins over a folder of the same name in the current directory: write ``./NAME`` for that
    one. Raises ModelError when there is no such model, or its card is damaged.
    """
    text = str(name_or_path)
    path = Path(name_or_path).expanduser()
    is_name = isinstance(name_or_path, str) and not any(sep in text for sep in (os.sep, os.altsep) if sep)
    if is_name and text not in ("", ".", "..", "~"):
        for directory in search_path():
            if (directory / text / "card.json").is_file():
                return _zoo_card(directory / text)
    if path.is_file():
        raise ModelError(f"{text}: is a file. Give the folder that holds model.onnx and card.json.")
    if text and path.is_dir():
        return ModelCard.from_folder(path.absolute())
    if not is_name:
        raise ModelError(f"{text}: there is no such folder. Give the path of a model's folder, or the name of a model.")
    raise ModelError(_unknown(text))


def available() -> list[ModelCard]:
    """The cards of all models of the zoo, sorted by name. A damaged card is left out, with a logged
    warning.
    """
    warn_of_missing()
    cards: dict[str, ModelCard] = {}
    for directory in search_path():
        if not directory.is_dir():
            continue
        for folder in sorted(directory.iterdir()):
            if folder.name not in cards and (folder / "card.json").is_file():
                try:
                    cards[folder.name] = _zoo_card(folder)
                except ModelError as error:
                    log.warning("%s", error)
    return [cards[name] for name in sorted(cards)]


def read_graph(card: ModelCard) -> bytes:
    """The bytes of the model's ONNX graph, checked against the SHA-256 of its card.

    The file is read once and these very bytes are compiled, so nothing can change between check and use.
    Raises ModelError when the file is missing, unreadable or not the one the card speaks of.
    """
    path = card.folder / "model.onnx"
    try:
        graph = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: is missing. {REPAIR}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    if hashlib.sha256(graph).hexdigest() != card.sha256.lower():
        raise ModelError(f"{path}: does not match the SHA-256 in its card: damaged or replaced. {REPAIR}")
    return graph


def search_path() -> list[Path]:
    """Directories of model folders: those of FOLDERDENOISE_MODELS first, then the models that came with the
    tool.
    """
    return [*_named(), _shipped()]


def warn_of_missing() -> None:
    """Log which directories of FOLDERDENOISE_MODELS are not there: each once, however often it is passed over."""
    for directory in _named():
        if not directory.is_dir():
            _warn_of(directory)


@functools.cache
def _warn_of(directory: Path) -> None:
    log.warning("%s: %s is no folder: passed over.", SEARCH_VARIABLE, directory)


def _named() -> list[Path]:
    entries = os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep)
    return [Path(entry).expanduser().absolute() for entry in entries if entry]


def _shipped() -> Path:
    package = Path(__file__).resolve().parent
    checkout = package.parent
    # In a wheel and in the packaged program the models lie inside the package. In site-packages, a neighbour
    # named "models" would be another project's: only beside a pyproject.toml is it ours.
    if not (package / "models").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout / "models"
    return package / "models"


def _zoo_card(folder: Path) -> ModelCard:
    card = ModelCard.from_folder(folder)
    if card.name != folder.name:
        # The listing shows the card's name, and that name must find the model again.
        raise ModelError(f"{folder}: its card calls it {card.name!r}. Give folder and card the same name.")
    return card


def _unknown(name: str) -> str:
    names = [card.name for card in available()]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    known = ", ".join(names) if names else "none"
    places = ", ".join(f"{directory}{'' if directory.is_dir() else ' (no such folder)'}" for directory in search_path())
    return (
        f"There is no model named {name!r}.{hint} Available: {known} (in {places}). "
        "The path of a model's folder works too."
    )


REPAIR = "Install folderdenoise again, or, for a model of your own, export it again with 'python -m train export'."


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_int_from(low: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number_within(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _is_list_of(*allowed: list[str]) -> Callable[[object], bool]:
    return lambda value: value in allowed


def _is_range(value: object) -> bool:
    # The tool feeds [0, 1] and nothing else; the card says so for those who use the graph elsewhere.
    return isinstance(value, list) and value == [0, 1]


def _is_plain_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w][\w.+-]*", value) is not None


_METRIC_TEXTS = ("test_set", "noise", "protocol", "command")
_METRIC_NUMBERS = ("images", "psnr_noisy", "psnr", "ssim_noisy", "ssim")


def _is_metric(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(_is_text(value.get(key)) for key in _METRIC_TEXTS)
        and all(isinstance(value.get(key), (int, float)) for key in _METRIC_NUMBERS)
    )


_TEXT = ("a string", _is_text)
_COUNT = ("a whole number, 1 or more", _is_int_from(1))
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a name of letters, digits and - _ . +", _is_plain_name),
    "version": _TEXT,
    "summary": _TEXT,
    "domain": _TEXT,
    "channels": ("1 or 3", lambda value: _is_int_from(1)(value) and value in (1, 3)),
    "receptive_field": _COUNT,
    "overlap": ("a whole number, 0 or more", _is_int_from(0)),
    "size_multiple": _COUNT,
    "input_range": ("[0.0, 1.0]", _is_range),
    "inputs": ('["image"] or ["image", "strength"]', _is_list_of(["image"], ["image", "strength"])),
    "outputs": (
        '["denoised"] or ["denoised", "noise_level"]',
        _is_list_of(["denoised"], ["denoised", "noise_level"]),
    ),
    "noise_level_stride": ("a whole number or null", lambda value: value is None or _is_int_from(1)(value)),
    "mean_shift": ("a number from 0 to 1", _is_number_within(0, 1)),
    "parameters": ("a whole number, 0 or more", _is_int_from(0)),
    "kmac_per_pixel": ("a number, 0 or more", _is_number_within(0, math.inf)),
    "training_data": _TEXT,
    "training_data_licence": _TEXT,
    "noise": _TEXT,
    "metrics": (
        f"a list of objects with {', '.join((*_METRIC_TEXTS, *_METRIC_NUMBERS))}",
        lambda value: isinstance(value, list) and all(_is_metric(row) for row in value),
    ),
    "sha256": (
        "64 hexadecimal digits",
        lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{64}", value) is not None,
    ),
    "licence": _TEXT,
    "command": _TEXT,
    "training": ("an object", lambda value: isinstance(value, dict)),
}
