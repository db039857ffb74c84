"""A model's graph on OpenVINO: the one room that knows it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import zoo
from .errors import ModelError
from .tiles import Floats
from .zoo import ModelCard

if TYPE_CHECKING:
    import openvino

# Of each operation the runtime keeps what it made for each shape, 5000 of them for each stream: up to a gigabyte where
# a folder's images are of as many sizes. So many are some eight sizes of a production model; another one costs 4 ms.
_KEPT_KERNELS = 200


class Graph:
    """A compiled graph. Several threads may run it: each gets an inference request of its own.

    ``precision`` is "f32" or "bf16", ``threads`` the number of processor threads (None: as many as cores), which are
    shared by ``streams`` inferences at once, ``target`` the device in OpenVINO's words. Raises ModelError when the
    graph is missing, damaged or not of the form its card states.
    """

    def __init__(
        self, card: ModelCard, precision: str, threads: int | None = None, target: str = "CPU", streams: int = 1
    ) -> None:
        self.card = card
        self.precision = precision
        data = zoo.read_graph(card)
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision}
        if target == "CPU":
            # Pinned workers stall when other processes use their cores.
            config["ENABLE_CPU_PINNING"] = False
            config["NUM_STREAMS"] = streams
            config["CPU_RUNTIME_CACHE_CAPACITY"] = _KEPT_KERNELS
            if threads is not None:
                config["INFERENCE_NUM_THREADS"] = threads
        try:
            model = _core().read_model(model=data)
            # Height and width stay free: that costs one or two percent against a fixed shape, and spares a
            # compilation for every size of image.
            self._compiled = _core().compile_model(model, target, config)
        except RuntimeError as error:
            raise failure(card, f"cannot be loaded ({last_line(error)})") from error
        check_ports(
            card,
            [sorted(port.get_names()) for port in self._compiled.inputs],
            [sorted(port.get_names()) for port in self._compiled.outputs],
        )
        self._idle: list[openvino.InferRequest] = []  # append and pop are atomic

    def infer(self, feed: dict[str, Floats]) -> dict[str, Floats]:
        """Run the graph once: its outputs by name, in memory of their own. ModelError when it fails."""
        with self._request() as request:
            try:
                request.infer(feed, share_inputs=True)
            except RuntimeError as error:
                raise failure(self.card, f"fails on {feed['image'].shape} ({last_line(error)})") from error
            # Copies, because the request's own buffers are overwritten by its next inference.
            outputs = {name: request.get_tensor(name).data.copy() for name in self.card.outputs}
        check_outputs(self.card, feed, outputs)
        return outputs

    @contextlib.contextmanager
    def _request(self) -> Iterator[openvino.InferRequest]:
        """An inference request for this thread alone."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            yield request
        finally:
            self._idle.append(request)


def targets() -> list[str]:
    """The devices that OpenVINO reaches, in its words: "CPU", "GPU", "GPU.1" ..."""
    return list(_core().available_devices)


def device_title(target: str) -> str:
    """The full name of a device's hardware."""
    return str(_core().get_property(target, "FULL_DEVICE_NAME")).strip()


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16; without it the runtime would quietly take float32."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@functools.lru_cache(1)
def prefers_bf16() -> bool:
    """Whether bfloat16 is there and clearly faster than float32.

    With AMX it is, by two and more. Intel's processors that have the arithmetic without AMX, or in a machine that hides
    AMX, took 1.6 times as long as in float32. Linux tells which they are. Elsewhere, and of other makers', one
    convolution of a kind that models are made of is timed in both, in turns, which takes some 90 ms. What is timed is
    the processor's work for it: on a busy machine, by the clock on the wall, one run would choose the one and the next
    run the other, and their pixels differ.
    """
    if not has_bf16():
        return False
    about = _first_processor()
    if "amx_bf16" in about:
        return True
    if "GenuineIntel" in about:
        return False
    import openvino
    from openvino import opset13 as opset

    channels, side = 64, 64
    weights = np.full((channels, channels, 3, 3), 0.01, np.float32)
    image = opset.parameter([1, channels, side, side], np.float32)
    output = opset.convolution(image, opset.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1])
    model = openvino.Model([output], [image])
    config = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    requests = {
        precision: _core()
        .compile_model(model, "CPU", config | {"INFERENCE_PRECISION_HINT": precision})
        .create_infer_request()
        for precision in ("f32", "bf16")
    }
    feed = [np.full((1, channels, side, side), 0.5, np.float32)]
    # One thread computes, and that is this one. Windows counts its work in steps of 16 ms, which is too coarse.
    clock = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-4 else time.perf_counter
    least = dict.fromkeys(requests, float("inf"))
    for _ in range(4):
        for precision, request in requests.items():
            started = clock()
            request.infer(feed)
            least[precision] = min(least[precision], clock() - started)
    return least["bf16"] * 1.2 < least["f32"]


def _first_processor() -> str:
    """What Linux says of the first processor, its maker and flags among it; nothing elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            return "".join(itertools.takewhile(str.strip, file))
    except OSError:
        return ""


@functools.lru_cache(1)
def _core() -> openvino.Core:
    # Importing openvino reports the import to its maker if the package openvino-telemetry is there. A None in
    # sys.modules makes that package's import fail, and openvino then takes its own silent stand-in for it.
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    finally:
        if sys.modules.get("openvino_telemetry", sys) is None:
            sys.modules.pop("openvino_telemetry", None)
    # Two threads that make the process's first tensors at once can wait for each other for ever: openvino looks up
    # NumPy once, under a lock of its own, and waits for Python's meanwhile. So the first is made by one alone.
    openvino.Tensor(np.zeros(1, np.float32))
    return openvino.Core()


def feed_for(inputs: Sequence[str], image: Floats, strength: float = 1.0) -> dict[str, Floats]:
    """What a graph with these ``inputs`` is given: ``image`` (N, h, w, C) float32, and ``strength`` if it takes one."""
    feed = {"image": image}
    if "strength" in inputs:
        feed["strength"] = np.asarray(strength, np.float32)
    return feed


def check_ports(card: ModelCard, inputs: list[list[str]], outputs: list[list[str]]) -> None:
    """Raise ModelError unless a graph's inputs and outputs, each with its names, are those of its card."""
    if not (_have_names(inputs, card.inputs) and _have_names(outputs, card.outputs)):
        raise failure(
            card,
            f"has inputs {inputs} and outputs {outputs}, its card says {card.inputs} and {card.outputs}",
        )


def check_outputs(card: ModelCard, feed: dict[str, Floats], outputs: dict[str, Floats]) -> None:
    """Raise ModelError for an answer of another shape than the image."""
    if outputs["denoised"].shape != feed["image"].shape:
        raise failure(card, f"makes {outputs['denoised'].shape} of {feed['image'].shape}")


def failure(card: ModelCard, what: str) -> ModelError:
    """The error that says ``what`` of the graph of ``card``, and what to do."""
    return ModelError(f"{card.folder / 'model.onnx'}: {what}. {zoo.REPAIR}")


def _have_names(ports: list[list[str]], names: tuple[str, ...]) -> bool:
    """Whether there is one port for each name: a port has several names when the graph gave it several."""
    return len(ports) == len(names) and all(any(name in port for port in ports) for name in names)


def last_line(error: Exception) -> str:
    """The last line of an error's message, where runtimes put the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
