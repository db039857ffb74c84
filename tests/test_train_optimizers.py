"""Muon on convolution kernels: what its steps are, and that a checkpoint keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")

import keras
from keras import layers

from train.optimizers import ConvMuon


def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 4))
    x = layers.Conv2D(8, 3, padding="same", name="middle")(image)
    x = layers.Conv2DTranspose(6, 2, strides=2, name="double")(x)
    return keras.Model(image, layers.Conv2D(1, 1, name="residual")(x))


def stepped(model: keras.Model, optimizer: ConvMuon, scale: float = 1.0) -> dict[str, np.ndarray]:
    """By how much one step with random gradients moves each variable."""
    optimizer.build(model.trainable_variables)
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables}
    rng = np.random.default_rng(5)
    gradients = [
        keras.ops.convert_to_tensor(scale * rng.normal(size=v.shape), "float32") for v in model.trainable_variables
    ]
    optimizer.apply(gradients, model.trainable_variables)
    return {v.path: keras.ops.convert_to_numpy(v) - before[v.path] for v in model.trainable_variables}


@pytest.mark.parametrize("kernel", ["middle/kernel", "double/kernel"])
def test_a_kernel_moves_in_all_directions_alike_and_as_far_as_under_adam(kernel: str) -> None:
    step = stepped(network(), ConvMuon(0.01, weight_decay=0.0))[kernel]
    values = np.linalg.svd(step.reshape(-1, step.shape[-1]), compute_uv=False)
    # Random gradients have singular values that differ by several times; five iterations make them nearly equal.
    assert values.max() < 1.9 * values.min()
    # Adam's steps have a root mean square of 0.2 to 0.4 times the rate (J. Liu et al. 2025, section 2.2).
    assert np.sqrt(np.square(step).mean()) == pytest.approx(0.2 * 0.01, rel=0.25)


def test_the_size_of_the_gradients_does_not_matter() -> None:
    one, other = (stepped(network(), ConvMuon(0.01), scale) for scale in (1.0, 1e-3))
    for path in ("middle/kernel", "double/kernel"):
        assert other[path] == pytest.approx(one[path], abs=1e-5)


def test_biases_and_the_ends_of_the_network_are_moved_by_adam() -> None:
    steps = stepped(network(), ConvMuon(0.01, weight_decay=0.0))
    for path in ("middle/bias", "residual/kernel", "residual/bias"):
        # The first step of Adam is the rate, whatever the gradient.
        assert np.abs(steps[path]) == pytest.approx(0.01, rel=1e-3)


def test_a_checkpoint_keeps_the_optimizer(tmp_path: Path) -> None:
    model = network()
    model.compile(ConvMuon(0.01), "mse")
    images = np.random.default_rng(1).random((2, 8, 8, 4), dtype=np.float32)
    model.train_on_batch(images, np.zeros((2, 16, 16, 1), np.float32))
    model.save(tmp_path / "checkpoint.keras")
    loaded = keras.models.load_model(tmp_path / "checkpoint.keras")
    assert isinstance(loaded.optimizer, ConvMuon)
    for one in (model, loaded):
        one.train_on_batch(images, np.zeros((2, 16, 16, 1), np.float32))
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
