"""The networks: shapes, costs worked out by hand, and how far a pixel reaches."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")

import keras

from train.architectures import NOISE_LEVEL_STRIDE, Autoencoder, UNet, kmac_per_pixel, receptive_field
from train.recipes import RECIPES

TINY_UNET = UNet(1, (4, 6), blocks=1, middle=1, head_width=4)


def randomise(model: keras.Model, seed: int = 0) -> keras.Model:
    """Weights that let every input pixel through: all positive, so that no reach hides behind a zero."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.05, 0.15, weight.shape) for weight in model.get_weights()])
    return model


def run(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(image, training=False).items()}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gives_back_the_size_it_gets(name: str) -> None:
    network = RECIPES[name].network
    model = network.build()
    multiple = network.size_multiple
    for rows, columns in ((1, 1), (3, 2)):
        shape = (2, rows * multiple, columns * multiple, network.channels)
        outputs = run(model, np.full(shape, 0.5, np.float32))
        assert outputs["denoised"].shape == shape
        assert outputs["denoised"].dtype == np.float32
        if isinstance(network, UNet):
            assert outputs["noise_level"].shape == (2, shape[1] // 8, shape[2] // 8, 1)
            assert (outputs["noise_level"] > 0).all()
    assert model.inputs[0].name == "image"


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if isinstance(recipe.network, UNet)])
def test_an_untrained_unet_is_the_identity(name: str, rng: np.random.Generator) -> None:
    network = RECIPES[name].network
    image = rng.random((1, 32, 48, network.channels), dtype=np.float32)
    assert (run(network.build(), image)["denoised"] == image).all()


def test_cost_of_an_autoencoder_is_that_counted_by_hand() -> None:
    # Per image pixel: 3×3 convolutions 3→4 at full size, 4→5 at a quarter of the pixels, 5→4 and 4→3 at full size.
    by_hand = 9 * (3 * 4 + 4 * 5 / 4 + 5 * 4 + 4 * 3) / 1000
    assert kmac_per_pixel(Autoencoder(3, (4, 5)).build()) == pytest.approx(by_hand)
    deeper = by_hand + 9 * 5 * 5 / 4 / 1000
    assert kmac_per_pixel(Autoencoder(3, (4, 5), extra_latent=1).build()) == pytest.approx(deeper)


def test_cost_of_a_unet_is_that_counted_by_hand() -> None:
    half, quarter, eighth = 1 / 4, 1 / 16, 1 / 64  # shares of the pixels
    head = 36 * 4 * half + 16 * 4 * 4 * quarter + 16 * 4 * 4 * eighth + 2 * 9 * 4 * 4 * eighth + 9 * 4 * eighth
    body = 36 * 4 * half + 1 * 4 * eighth  # first convolution, noise level
    body += 2 * (2 * 9 * 4 * 4 * half)  # a block of two convolutions on the way down, one on the way up
    body += 4 * 4 * 6 * quarter  # halved: once per output
    body += 2 * 9 * 6 * 6 * quarter  # middle
    body += 4 * 6 * 4 * quarter  # doubled: once per input
    body += 4 * 4 * 1 * half  # to the image: once per input
    assert kmac_per_pixel(TINY_UNET.build()) == pytest.approx((head + body) / 1000)


def test_field_of_plain_convolutions_is_the_sum_of_their_reaches() -> None:
    assert receptive_field(Autoencoder(1, (2,)).build()) == 5
    assert receptive_field(Autoencoder(1, (2,), extra_latent=3).build()) == 11


@pytest.mark.parametrize(
    "network",
    [
        Autoencoder(1, (3,)),
        Autoencoder(1, (3, 4), extra_latent=1),
        Autoencoder(1, (2, 3, 4), activation="leaky", batch_norm=True),
        TINY_UNET,
        UNet(1, (3, 4, 5), blocks=1, middle=2, head_width=3),
    ],
    ids=repr,
)
def test_pixels_reach_as_far_as_half_the_field_and_no_farther(network: Autoencoder | UNet) -> None:
    model = randomise(network.build())
    reach = receptive_field(model) // 2
    multiple = network.size_multiple
    size = (2 * reach // multiple + 3) * multiple
    # One row of pixels at a time, for every place that it may have in a cell of the coarsest grid. A column of width
    # one cell is enough: what happens along the rows is the same as along the columns.
    centre = size // 2 // multiple * multiple
    images = np.full((multiple + 1, size, multiple, 1), 0.5, np.float32)
    for place in range(multiple):
        images[place + 1, centre + place] = 1.0
    farthest = 0
    for name, output in run(model, images).items():
        stride = NOISE_LEVEL_STRIDE if name == "noise_level" else 1
        for place in range(multiple):
            rows = np.flatnonzero((output[place + 1] != output[0]).any(axis=(1, 2)))
            assert rows.size
            farthest = max(
                farthest,
                centre + place - int(rows[0]) * stride,
                int(rows[-1]) * stride + stride - 1 - (centre + place),
            )
    # In a deep network the outermost pixels change the output by less than its rounding.
    assert reach - (multiple if isinstance(network, UNet) else 0) <= farthest <= reach
