"""Tiny ONNX models that need no training, written as model folders with a card, for tests of any room.

Each writer returns the new folder: ``write_blur(tmp_path / "blur")``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


def write_identity(folder: Path, channels: int = 3) -> Path:
    """The image itself."""
    return _write(folder, channels, [helper.make_node("Identity", ["image"], ["denoised"])], {})


def write_blur(folder: Path, channels: int = 3, **card: Any) -> Path:
    """A 5 × 5 mean as residual: image + (blur - image). Its zero padding reaches 2 pixels into the image."""
    kernel = np.zeros((channels, channels, 5, 5), np.float32)
    for channel in range(channels):
        kernel[channel, channel] = 1 / 25
    kernel[range(channels), range(channels), 2, 2] -= 1
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["residual"], pads=[2, 2, 2, 2]),
        helper.make_node("Transpose", ["residual"], ["change"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["image", "change"], ["denoised"]),
    ]
    return _write(folder, channels, nodes, {"kernel": kernel}, **{"receptive_field": 5, "overlap": 2, **card})


def write_slow(folder: Path, channels: int = 3) -> Path:
    """The image itself, after 400,000 multiplications a pixel that come to nothing: tens of seconds a megapixel."""
    width = 128
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "widen"], ["wide"]),
        helper.make_node("Conv", ["wide", "work"], ["worked"], pads=[2, 2, 2, 2]),
        helper.make_node("Conv", ["worked", "narrow"], ["nothing"]),
        helper.make_node("Transpose", ["nothing"], ["change"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["image", "change"], ["denoised"]),
    ]
    constants = {
        "widen": np.full((width, channels, 1, 1), 1e-3, np.float32),
        "work": np.full((width, width, 5, 5), 1e-9, np.float32),
        "narrow": np.full((channels, width, 1, 1), 1e-9, np.float32),
    }
    return _write(folder, channels, nodes, constants)


def write_strided_blur(folder: Path, channels: int = 1) -> Path:
    """Mean over blocks of 4 × 4 pixels, each block then filled with it: sizes must be multiples of 4."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node(
            "Resize",
            ["small", "", "scales"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Transpose", ["large"], ["denoised"], perm=[0, 2, 3, 1]),
    ]
    scales = np.array([1, 1, 4, 4], np.float32)
    return _write(folder, channels, nodes, {"scales": scales}, receptive_field=7, size_multiple=4)


def write_conditioned(folder: Path, channels: int = 3, noise: float = 0.125) -> Path:
    """Darkens by 0.005 × strength, and reports a noise level of ``noise`` everywhere, on a grid of 1 in 2
    pixels."""
    nodes = [
        helper.make_node("Mul", ["strength", "step"], ["change"]),
        helper.make_node("Sub", ["image", "change"], ["denoised"]),
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ReduceMean", ["small"], ["gray"], axes=[1], keepdims=1),
        helper.make_node("Transpose", ["gray"], ["map"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["map", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "noise"], ["noise_level"]),
    ]
    values = {"step": np.float32(0.005), "zero": np.float32(0), "noise": np.float32(noise)}
    return _write(
        folder,
        channels,
        nodes,
        values,
        inputs=["image", "strength"],
        outputs=["denoised", "noise_level"],
        noise_level_stride=2,
        size_multiple=2,
    )


def write_shifted(folder: Path, channels: int = 3, shift: float = 0.1) -> Path:
    """The image, lighter by ``shift``."""
    nodes = [helper.make_node("Add", ["image", "shift"], ["denoised"])]
    return _write(folder, channels, nodes, {"shift": np.float32(shift)})


def write_nan(folder: Path, channels: int = 3) -> Path:
    """NaN wherever the image is positive."""
    nodes = [
        helper.make_node("Neg", ["image"], ["negative"]),
        helper.make_node("Sqrt", ["negative"], ["denoised"]),
    ]
    return _write(folder, channels, nodes, {})


def write_constant(folder: Path, channels: int = 3, value: float = 0.5) -> Path:
    """One value everywhere, whatever the image."""
    nodes = [
        helper.make_node("Mul", ["image", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["denoised"]),
    ]
    return _write(folder, channels, nodes, {"zero": np.float32(0), "value": np.float32(value)})


def rewrite_card(folder: Path, **changes: Any) -> None:
    """Change fields of a card; None is written as null."""
    path = folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def drop_from_card(folder: Path, key: str) -> None:
    """Take a field out of a card."""
    path = folder / "card.json"
    card = json.loads(path.read_text("utf-8"))
    del card[key]
    path.write_text(json.dumps(card), "utf-8")


def _write(folder: Path, channels: int, nodes: Sequence[NodeProto], constants: dict[str, Any], **card: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shape = ["N", "H", "W", channels]
    card = _card(folder.name, channels) | card
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    if "strength" in card["inputs"]:
        inputs.append(helper.make_tensor_value_info("strength", TensorProto.FLOAT, []))
    outputs = [helper.make_tensor_value_info("denoised", TensorProto.FLOAT, shape)]
    if "noise_level" in card["outputs"]:
        outputs.append(helper.make_tensor_value_info("noise_level", TensorProto.FLOAT, ["N", "h", "w", 1]))
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), folder.name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    card["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), "utf-8")
    return folder


def _card(name: str, channels: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1",
        "summary": "A model for tests.",
        "domain": "photographs",
        "channels": channels,
        "receptive_field": 1,
        "overlap": 0,
        "size_multiple": 1,
        "input_range": [0.0, 1.0],
        "inputs": ["image"],
        "outputs": ["denoised"],
        "noise_level_stride": None,
        "mean_shift": 0.0,
        "parameters": 75,
        "kmac_per_pixel": 0.1,
        "training_data": "none",
        "training_data_licence": "none",
        "noise": "none",
        "metrics": [],
        "licence": "Apache-2.0",
        "command": "tests/models.py",
        "training": {},
    }
