"""Where the network can compute: the processor, and graphics cards that a runtime in this installation reaches."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import runtime
from .errors import UsageError

log = logging.getLogger(__name__)
Wish = Literal["auto", "cpu", "gpu", "cuda"]
WISHES: tuple[Wish, ...] = ("auto", "cpu", "gpu", "cuda")
_ACCELERATORS = {
    "CUDAExecutionProvider": ("cuda", "NVIDIA card (CUDA)"),
    "DmlExecutionProvider": ("gpu", "graphics card (DirectML)"),
    "CoreMLExecutionProvider": ("gpu", "graphics card or neural engine (CoreML)"),
}


@dataclass(frozen=True)
class Device:
    """A place to compute. ``name`` is "cpu", "gpu" or "cuda", as ``--device`` takes it; ``title`` is for people.

    ``runtime`` is "openvino" or "onnxruntime", ``target`` what that runtime calls the device.
    """

    name: str
    title: str
    runtime: str
    target: str


def cpu() -> Device:
    """The processor, which is always there."""
    return Device("cpu", runtime.device_title("CPU"), "openvino", "CPU")


def available() -> list[Device]:
    """All devices that can be asked for, the processor first. That a driver works shows only when one computes."""
    return [cpu(), *_intel_cards(), *_onnxruntime_cards()]


def check(wish: str) -> None:
    """Raise UsageError for a word that is no device."""
    if wish not in WISHES:
        raise UsageError(f"device must be one of {', '.join(WISHES)}. Received: {wish!r}")


def choose(wish: Wish) -> tuple[Device, str | None]:
    """The device for a wish, and a sentence if it is not the one that was wished for.

    "auto" is the processor, or a card of the ONNX Runtime if that was installed for one: who adds such an extra wants
    it used. Intel's graphics are taken when asked for: those inside a processor are often slower than it. Raises
    UsageError for a word that is no device.
    """
    check(wish)
    if wish == "cpu":
        return cpu(), None
    found = list(_onnxruntime_cards())
    if wish == "auto":
        return (found[0], None) if found else (cpu(), None)
    found = [*_intel_cards(), *found]
    if matching := [device for device in found if device.name == wish]:
        return matching[0], None
    return cpu(), f"No {_WORDS[wish]} was found here: computing on the processor. {_ADVICE[wish]}"


def _intel_cards() -> Iterator[Device]:
    for target in runtime.targets():
        if target.startswith("GPU"):
            yield Device("gpu", runtime.device_title(target), "openvino", target)


def _onnxruntime_cards() -> Iterator[Device]:
    if not _has_card_files():
        return
    try:
        import onnxruntime
    except ImportError as error:
        log.warning("ONNX Runtime is installed but cannot be used: %s", error)
        return
    providers = onnxruntime.get_available_providers()
    for provider, (name, title) in _ACCELERATORS.items():
        if provider in providers:
            yield Device(name, title, "onnxruntime", provider)


def _has_card_files() -> bool:
    """Whether an ONNX Runtime is here that was built for a card: importing one to ask it takes 0.2 s of every start."""
    if "onnxruntime" in sys.modules:
        return True
    found = importlib.util.find_spec("onnxruntime")
    if found is None or sys.platform == "darwin":  # there every build has CoreML
        return found is not None
    libraries = [Path(place, "capi") for place in found.submodule_search_locations or ()]
    return any(
        next(place.glob(name), None) for place in libraries for name in ("*onnxruntime_providers_cuda*", "DirectML*")
    )


_WORDS = {"gpu": "graphics card", "cuda": "NVIDIA card"}
_EXTRA = {"win32": "directml", "darwin": "coreml"}.get(sys.platform)
_HERE = "the folder of folderdenoise"
_ADVICE = {
    "gpu": "Intel's need their driver"
    + (f"; for others, in {_HERE}: pip install '.[{_EXTRA}]'." if _EXTRA else ", others --device cuda."),
    "cuda": f"It needs NVIDIA's driver and, in {_HERE}: pip install '.[cuda]'.",
}
