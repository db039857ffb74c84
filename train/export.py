"""A trained model -> the folder that the tool reads: ``model.keras``, ``model.onnx``, ``card.json``.

Autoencoders are exported under the TensorFlow backend (``KERAS_BACKEND=tensorflow``): only its converter gives ONNX
graphs with free height and width that agree with Keras. U-Nets are written by :mod:`train.unet_graph`.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from folderdenoise.errors import ModelError
from folderdenoise.runtime import feed_for
from train import halves, noise
from train.architectures import NOISE_LEVEL_STRIDE, Autoencoder, UNet, kmac_per_pixel, receptive_field
from train.cards import write_card
from train.recipes import Recipe
from train.unet_graph import INPUTS, unet_graph

PARITY = 1e-4
"""Largest difference between ONNX and Keras that an export accepts, image range [0, 1]."""
SEAM = 0.5 / 255
"""Largest difference that a tile's cut may make beyond the overlap: half of what the tile contract allows."""
_CONVERSIONS = 5
"""How often a conversion to ONNX is tried."""

Network = Any  # an openvino.CompiledModel: called with a list of inputs, gives outputs by name


@dataclass(frozen=True)
class TrainingFacts:
    """What the card says about how the weights came to be. ``data`` and ``licence`` are of the training images."""

    command: str
    seconds: float
    megapixels: float
    data: str
    licence: str
    noise: str
    mean_shift: float = 0.0


def export(
    model: keras.Model,
    recipe: Recipe,
    folder: Path,
    facts: TrainingFacts,
    photographs: Sequence[NDArray[np.uint8]],
) -> None:
    """Write ``model.keras``, ``model.onnx`` and ``card.json`` into ``folder`` (made if need be).

    ``photographs`` ``(H, W, C)`` uint8, at least 128 pixels a side, are what parity and overlap are measured on.
    Raises :class:`ModelError` if ONNX and Keras differ by more than :data:`PARITY`; then nothing is replaced.
    """
    model = deployable(model, recipe.network)
    halves.round_weights(model)
    proto, inputs = _to_onnx(model, recipe)
    halves.store_halves(proto)
    graph = proto.SerializeToString()
    compiled = compile_graph(graph)
    multiple = recipe.network.size_multiple
    _check_parity(model, compiled, inputs, photographs, multiple)
    field = receptive_field(model)
    card = {
        "name": recipe.name,
        "version": "1",
        "summary": recipe.summary,
        "domain": recipe.domain,
        "channels": recipe.network.channels,
        "receptive_field": field,
        "overlap": measure_overlap(compiled, inputs, photographs, multiple, field),
        "size_multiple": multiple,
        "input_range": [0.0, 1.0],
        "inputs": inputs,
        "outputs": [output.name for output in proto.graph.output],
        "noise_level_stride": NOISE_LEVEL_STRIDE if len(inputs) > 1 else None,
        "mean_shift": round(facts.mean_shift, 4),
        "parameters": int(model.count_params()),
        "kmac_per_pixel": round(kmac_per_pixel(model), 2),
        "training_data": facts.data,
        "training_data_licence": facts.licence,
        "noise": facts.noise,
        "metrics": [],
        "sha256": hashlib.sha256(graph).hexdigest(),
        "licence": "Apache-2.0",
        "command": facts.command,
        "training": {
            "seconds": round(facts.seconds),
            "megapixels": round(facts.megapixels, 1),
            "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
            "backend": keras.backend.backend(),
            "date": date.today().isoformat(),
            "seed": recipe.seed,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    halves.compress(folder / "model.keras")
    (folder / "model.onnx").write_bytes(graph)
    write_card(folder, card)


def deployable(model: keras.Model, network: Autoencoder | UNet) -> keras.Model:
    """A float32 copy of ``model`` that was never compiled.

    It needs neither our losses to load nor room for the optimizer's state, and shows the error of mixed precision to
    nobody. (``keras.models.clone_model`` compiles.)
    """
    copy = network.build()
    copy.set_weights(model.get_weights())
    return copy


def _to_onnx(model: keras.Model, recipe: Recipe) -> tuple[Any, list[str]]:
    """The graph of the design's contract, and its input names."""
    if isinstance(recipe.network, UNet):
        return unet_graph(model, recipe.network), list(INPUTS)
    return _converted(model, recipe), ["image"]


def _converted(model: keras.Model, recipe: Recipe) -> Any:
    """The graph of an autoencoder."""
    if keras.backend.backend() != "tensorflow":
        raise ModelError("export needs the TensorFlow backend: run it with KERAS_BACKEND=tensorflow")
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, None, None, recipe.network.channels), tf.float32, name="image")]

    def serve(image: Any) -> dict[str, Any]:
        return {"denoised": tf.identity(model(image, training=False)["denoised"])}

    for _ in range(_CONVERSIONS):
        proto, _ = tf2onnx.convert.from_function(tf.function(serve), input_signature=signature, opset=17)
        if _has_images(proto):
            return proto
    raise ModelError(f"{recipe.name}: the conversion to ONNX gives outputs that are no images: not exported")


def _has_images(proto: Any) -> bool:
    """Whether all outputs have four axes.

    tf2onnx's optimizer turns the last Transpose of a graph with one channel into a Reshape and a Squeeze. It goes over
    its nodes in the order of a hash, and now and then comes to that Transpose when the Identity behind it is gone
    already: the Squeeze is then put behind the graph's output and lost, and the output has five axes, whatever the
    graph says of it. Each conversion names its nodes anew, so the next one has another order.
    """
    import openvino

    outputs = openvino.Core().read_model(proto.SerializeToString()).outputs
    return all(output.get_partial_shape().rank.get_length() == 4 for output in outputs)


def compile_graph(graph: bytes) -> Network:
    """Compile an ONNX graph for measuring: OpenVINO, f32, free height and width."""
    import openvino

    core = openvino.Core()
    return core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def run_graph(compiled: Network, inputs: Sequence[str], image: NDArray[np.float32]) -> NDArray[np.float32]:
    """``denoised`` for ``image`` ``(H, W, C)``, at strength 1."""
    feed = feed_for(inputs, image[None])
    return np.asarray(compiled(feed, share_inputs=True)["denoised"])[0]


def _check_parity(
    model: keras.Model,
    compiled: Network,
    inputs: Sequence[str],
    photographs: Sequence[NDArray[np.uint8]],
    multiple: int,
) -> None:
    rng = np.random.default_rng(0)
    for index, (rows, columns) in enumerate(((1, 1), (3, 5), (7, 4), (5, 9))):
        photograph = photographs[index % len(photographs)]
        height, width = rows * multiple, columns * multiple
        crop = np.resize(photograph, (height, width, photograph.shape[2])).astype(np.float32) / 255
        crop = noise.gaussian(crop, 0.1, rng)
        found = compiled(feed_for(inputs, crop[None]), share_inputs=True)
        for name, value in model(crop[None], training=False).items():
            expected = np.asarray(value)
            # One axis too many would pass by broadcasting.
            is_alike = found[name].shape == expected.shape
            difference = float(np.abs(found[name] - expected).max()) if is_alike else np.inf
            if not difference <= PARITY:
                raise ModelError(
                    f"{name} of the ONNX graph differs from Keras by {difference:.2g} at {height}×{width}: not exported"
                )


def measure_overlap(
    compiled: Network,
    inputs: Sequence[str],
    photographs: Sequence[NDArray[np.uint8]],
    multiple: int,
    field: int,
) -> int:
    """How far from a tile's cut its pixels may differ from the whole image's by more than :data:`SEAM`.

    Noisy photographs are denoised whole and on one side of a cut, at several noise levels, with cuts on all four sides;
    the answer is the smallest multiple of ``multiple`` beyond which no pixel differs by more. It never exceeds half the
    receptive field, rounded up to ``multiple``: there the theory says that the difference is zero.
    """
    rng = np.random.default_rng(0)
    cut = -(-(field // 2) // multiple) * multiple
    farthest = 0
    for photograph in photographs[:12]:
        for sigma in (0.0, 15 / 255, 50 / 255):
            side = [min(length, 2 * cut + 64) // multiple * multiple for length in photograph.shape[:2]]
            clean = photograph[: side[0], : side[1]].astype(np.float32) / 255
            noisy = noise.as_stored(noise.gaussian(clean, sigma, rng))
            whole = run_graph(compiled, inputs, noisy)
            for turns in range(4):
                farthest = max(farthest, _reach_of_cut(compiled, inputs, noisy, whole, turns, cut, multiple))
    return min(cut, -(-farthest // multiple) * multiple)


def _reach_of_cut(
    compiled: Network,
    inputs: Sequence[str],
    image: NDArray[np.float32],
    whole: NDArray[np.float32],
    turns: int,
    cut: int,
    multiple: int,
) -> int:
    """Pixels from a cut to the last one that it changes visibly. ``turns`` 0 to 3: at the left, top, right, bottom."""
    # The network must see the image as it is, so only the place of the cut turns.
    here = min(cut, np.rot90(image, turns).shape[1] // 2 // multiple * multiple)
    part = np.rot90(np.rot90(image, turns)[:, here:], -turns)
    denoised = np.rot90(run_graph(compiled, inputs, np.ascontiguousarray(part)), turns)
    columns = np.abs(np.rot90(whole, turns)[:, here:] - denoised).max(axis=(0, 2))
    differing = np.flatnonzero(columns > SEAM)
    return int(differing[-1]) + 1 if differing.size else 0
