"""The compiled graphs of a denoiser: on one device, each model and precision compiled once, when first needed."""

from __future__ import annotations

import threading
from typing import Any, Literal, TypeAlias

import numpy as np

from . import devices
from .devices import Device, Wish
from .errors import ModelError, UsageError
from .onnx_graph import OnnxGraph
from .runtime import Graph, feed_for, has_bf16, prefers_bf16
from .zoo import REPAIR, ModelCard

Precision = Literal["auto", "f32", "bf16"]
AnyGraph: TypeAlias = Graph | OnnxGraph


def compiled(card: ModelCard, precision: str, threads: int | None, device: Device, streams: int = 1) -> AnyGraph:
    """The graph of ``card`` for ``device``. Raises ModelError when it cannot be had there."""
    if device.runtime == "onnxruntime":
        return OnnxGraph(card, device.target, threads)
    return Graph(card, precision, threads, device.target, streams)


class Graphs:
    """Graphs for one ``precision``, number of ``threads`` (None: as many as cores), of ``streams`` that share them, and
    ``device``.

    Several threads may ask at once. A device other than the processor is tried out with ``probe`` before it is taken:
    that a runtime lists a card does not mean that its driver works. Raises UsageError for what is impossible here.
    """

    def __init__(
        self, probe: ModelCard, precision: Precision, threads: int | None, device: Wish, streams: int = 1
    ) -> None:
        if precision not in ("auto", "f32", "bf16"):
            raise UsageError(f"precision must be auto, f32 or bf16. Received: {precision!r}")
        devices.check(device)
        if device in ("gpu", "cuda") and precision == "bf16":
            raise UsageError("Graphics cards compute in f32 here. Leave out the precision bf16, or the device.")
        self._probe = probe
        self._precision = precision
        self._threads = threads
        self._streams = streams
        # bf16 is arithmetic of processors: who asks for it wants one.
        self._wish: Wish = "cpu" if precision == "bf16" else device
        self._place: tuple[Device, str | None] | None = None
        self._graphs: dict[tuple[str, str], AnyGraph] = {}
        self._lock = threading.RLock()

    @property
    def device(self) -> Device:
        """Where the networks compute."""
        return self._placed()[0]

    @property
    def device_note(self) -> str | None:
        """Why they do not compute where they were asked to; None if they do."""
        return self._placed()[1]

    def precision_for(self, dtype: np.dtype[Any]) -> Literal["f32", "bf16"]:
        """The precision for images of ``dtype``. Raises UsageError when the processor lacks what was asked for."""
        if self._precision == "f32" or (self._precision == "auto" and dtype != np.uint8) or self.device.name != "cpu":
            return "f32"
        if self._precision == "auto":
            with self._lock:  # the first files of a run ask all at once, and one measurement is enough
                return "bf16" if prefers_bf16() else "f32"
        if has_bf16():
            return "bf16"
        raise UsageError("This processor has no bf16 arithmetic. Use precision auto or f32.")

    def check_precision(self) -> None:
        """Raise UsageError when the processor lacks what was asked for."""
        if self._precision == "bf16":
            self.precision_for(np.dtype(np.uint8))

    def get(self, card: ModelCard, precision: str) -> AnyGraph:
        """The graph of ``card``. Raises ModelError when it is missing, damaged or not of the form its card states."""
        with self._lock:
            key = card.sha256, precision
            if key not in self._graphs:
                self._graphs[key] = compiled(card, precision, self._threads, self.device, self._streams)
            return self._graphs[key]

    def _placed(self) -> tuple[Device, str | None]:
        with self._lock:
            if self._place is None:
                device, note = devices.choose(self._wish)
                if device.name != "cpu":
                    try:
                        self._try_out(device)
                    except ModelError as error:
                        cause = str(error).removesuffix(f" {REPAIR}")  # which speaks of the model's files
                        note = f"The {device.title} does not work here: computing on the processor. ({cause})"
                        device = devices.cpu()
                self._place = device, note
            return self._place

    def _try_out(self, device: Device) -> None:
        """Compute something small there. Raises ModelError."""
        card = self._probe
        side = 8 * card.size_multiple
        image = np.zeros((1, side, side, card.channels), np.float32)
        compiled(card, "f32", self._threads, device).infer(feed_for(card.inputs, image))
