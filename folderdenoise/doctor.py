"""``folderdenoise doctor``: what this machine has, what will be used, and how fast each of it is."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from . import devices, zoo
from .devices import Device
from .engine import AUTO_MODELS
from .errors import ModelError
from .graphs import AnyGraph, compiled
from .machine import all_cores
from .runtime import feed_for, has_bf16, prefers_bf16

SIDE = 512
"""Side in pixels of the square that the network is timed on."""


@dataclass(frozen=True)
class Trial:
    """A model on a device: megapixels a second of the bare network, or why it does not work there."""

    model: str
    device: Device
    precision: str
    megapixels_per_second: float | None
    fault: str | None = None


def machine() -> dict[str, str]:
    """What the installation and the machine are, in words."""
    packages = ("folderdenoise", "openvino", "onnxruntime", "pyvips", "opencv-python-headless", "numpy")
    versions = [f"{name} {version}" for name in packages if (version := _version(name))]
    # Before anything computes here: the trials would disturb what it measures.
    bf16 = "without bf16" if not has_bf16() else "faster in bf16" if prefers_bf16() else "no faster in bf16"
    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    return {
        "system": f"{system}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
        "processor": f"{devices.cpu().title}, {all_cores()} cores, {bf16}",
        "models": ", ".join(card.name for card in zoo.available()) or "none found: install folderdenoise again",
    }


def trials(seconds: float = 10.0) -> Iterator[Trial]:
    """Time the default models on every device and in every precision there; ``seconds`` for all of it together."""
    places = [(device, precision) for device in devices.available() for precision in _precisions(device)]
    share = seconds / (len(places) * len(AUTO_MODELS))
    for name in dict.fromkeys(AUTO_MODELS[channels] for channels in (3, 1)):
        try:
            card = zoo.find(name)
        except ModelError as error:
            yield from (Trial(name, device, precision, None, str(error)) for device, precision in places)
            continue
        for device, precision in places:
            try:
                rate = _rate(compiled(card, precision, None, device), share)
            except ModelError as error:
                yield Trial(name, device, precision, None, str(error))
            else:
                yield Trial(name, device, precision, rate)


def used(found: list[Trial]) -> str:
    """What a run without ``--device`` and ``--precision`` takes, and what to ask for if something else was faster."""
    device, _ = devices.choose("auto")
    if device.name == "cpu" and prefers_bf16():
        sentence = f"8-bit images are computed on the {device.title} in bf16, all others in f32."
    else:
        sentence = f"Images are computed on the {device.title} in f32."
    colour = [trial for trial in found if trial.model == AUTO_MODELS[3] and trial.megapixels_per_second]
    if not colour:
        return sentence
    best = max(colour, key=lambda trial: trial.megapixels_per_second or 0.0)
    if best.device.name != device.name:
        sentence += f" Faster here: --device {best.device.name}."
    return sentence


def _precisions(device: Device) -> list[str]:
    return ["f32", "bf16"] if device.name == "cpu" and has_bf16() else ["f32"]


def _rate(graph: AnyGraph, seconds: float) -> float:
    """Megapixels a second over about ``seconds``, without the first inference, which sets things up."""
    image = np.random.default_rng(0).random((1, SIDE, SIDE, graph.card.channels), np.float32)
    feed = feed_for(graph.card.inputs, image)
    graph.infer(feed)
    count, started = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - started < seconds:
        graph.infer(feed)
        count += 1
    return count * SIDE * SIDE / 1e6 / (time.perf_counter() - started)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
