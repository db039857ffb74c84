"""Weights as 16-bit floats: half the file, the same pictures.

The weights of a model are first rounded to what float16 can hold, in Keras; then both files say the same, and the ONNX
graph stores them as float16 with a cast back to float32, which runtimes do once when they load it.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

_SMALLEST = 256
"""Tensors of fewer values stay as they are: there is nothing to gain."""


def round_weights(model: keras.Model) -> None:
    """Round the kernels of ``model`` to float16, in place. Biases and statistics keep float32.

    Float16 has 11 significant bits: each weight moves by at most 1 part in 2048 of itself.
    """
    for weight in model.weights:
        values = np.asarray(weight)
        if values.size >= _SMALLEST and np.abs(values).max() < np.finfo(np.float16).max:
            weight.assign(values.astype(np.float16).astype(np.float32))


def store_halves(proto: Any) -> None:
    """Store each large float32 initializer of an ONNX model as float16, cast back where it is used, in place.

    Only those are changed that float16 holds exactly, so the graph computes the same.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if values.size < _SMALLEST or not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}:float16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}:cast", to=TensorProto.FLOAT))
    # Before all others: an ONNX graph lists its nodes in the order in which they can run.
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def compress(path: Path) -> None:
    """Deflate a ``.keras`` file, which Keras writes uncompressed: rounded weights end in zeros, so it halves too."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        smaller = Path(folder) / path.name
        with zipfile.ZipFile(path) as stored, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as deflated:
            for name in stored.namelist():
                deflated.writestr(name, stored.read(name))
        smaller.replace(path)
