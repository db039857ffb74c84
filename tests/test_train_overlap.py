"""How far an output pixel of a graph looks: the overlap that tiles need."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")


from train import export
from train.architectures import Autoencoder, UNet
from train.recipes import RECIPES

from . import pictures

NETWORK = UNet(3, (6, 8), blocks=1, middle=1, head_width=4)
RECIPE = dataclasses.replace(RECIPES["rgb-leaky"], network=NETWORK)
SMALL = dataclasses.replace(RECIPES["rgb-cifar"], network=Autoencoder(3, (4, 5, 6), batch_norm=True, output="linear"))
FACTS = export.TrainingFacts("python -m train fit tiny", 61.4, 12.345, "3 scenes", "CC0: 3 files", "sigma 0.1", 0.0123)


def shifting(rows: int, columns: int, weight: float = 1.0) -> Callable[..., dict[str, np.ndarray]]:
    """A graph whose every output pixel is the input that many rows below and columns to the right; zero outside."""

    def graph(feed: dict[str, Any], share_inputs: bool) -> dict[str, np.ndarray]:
        image = feed["image"]
        height, width = image.shape[1:3]
        moved = np.zeros_like(image)
        moved[:, max(0, -rows) : height - max(0, rows), max(0, -columns) : width - max(0, columns)] = image[
            :, max(0, rows) : height - max(0, -rows), max(0, columns) : width - max(0, -columns)
        ]
        return {"denoised": image + weight * moved}

    return graph


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (0, -5), (5, 0), (-5, 0)])
@pytest.mark.parametrize(("multiple", "expected"), [(1, 5), (4, 8)])
def test_overlap_is_the_reach_to_whichever_side(rows: int, columns: int, multiple: int, expected: int) -> None:
    graph = shifting(rows, columns)
    assert export.measure_overlap(graph, ["image"], pictures.photographs(1), multiple, 31) == expected


def test_overlap_of_two_convolutions_is_two_pixels(rng: np.random.Generator) -> None:
    recipe = dataclasses.replace(SMALL, network=Autoencoder(1, (3,), output="linear"))
    model = recipe.network.build()
    model.set_weights([rng.uniform(0.1, 0.2, weight.shape) for weight in model.get_weights()])
    proto, inputs = export._to_onnx(model, recipe)
    compiled = export.compile_graph(proto.SerializeToString())
    assert export.measure_overlap(compiled, inputs, pictures.photographs(1), 1, 5) == 2


def test_what_cannot_be_seen_needs_no_overlap() -> None:
    # A visible difference is more than half of one level in 255.
    assert export.measure_overlap(shifting(0, 5, 0.4 / 255), ["image"], pictures.photographs(1), 1, 31) == 0
    assert export.measure_overlap(shifting(0, 5, 2.0 / 255), ["image"], pictures.photographs(1), 1, 31) == 5
