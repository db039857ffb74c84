"""One value per named model: data, noise, network, loss, schedule. Each reads like the paper it comes from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from folderdenoise.errors import UsageError
from train.architectures import Autoencoder, UNet
from train.datasets import Cifar10, DataSpec, Digits, FolderCrops, ResizedFolder
from train.noise import Blind, Gaussian, Noise


@dataclass(frozen=True)
class Cosine:
    """Muon: linear warm-up over ``warmup`` steps, then cosine to nearly zero; EMA weights are what ships."""

    rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema: float = 0.999


@dataclass(frozen=True)
class Recipe:
    """How one named model comes to be."""

    name: str
    summary: str
    domain: str
    data: DataSpec
    noise: Noise
    noise_words: str
    network: Autoencoder | UNet
    loss: str
    schedule: Cosine
    batch_size: int
    epochs: int
    """How long without ``--minutes`` or ``--epochs``; an epoch of crops is 500 batches."""
    training_data_licence: str | None = None
    """Of the data set that the recipe names. A folder of images states its own: see ``loading.stated_licence``."""
    seed: int = 1


# The studies trained with Adam, the second with a rate that falls on a plateau and with early stopping. After equal
# lengths of 60 megapixels `gray-mnist` has an MAE of 0.0413 so (batches of 128), of 0.0363 with Adam on a cosine in
# batches of 32, and of 0.0333 with Muon in those; after 30 megapixels `rgb-relu` has an MSE of 0.0040 (batches of 4),
# 0.0028 and 0.0017 (of 1). Averages reach back less far than in a production run, which is longer.
_STUDY = Cosine(warmup=100, ema=0.99)
_BLIND_WORDS = (
    "blind: Gaussian sigma 0 to 60 (white, channel-correlated, gray), camera noise from sensor to JPEG (Bayer mosaic, "
    "demosaicing, tone, smoothing), resized noise, film grain, speckle, salt and pepper, JPEG, and none; "
    "mostly clipped and rounded to 8 bits"
)

# The second study names neither its data nor its noise, the third neither its images nor its noise: those that fit the
# figures of their simple models best (models/STUDY.md).
_PAIRS = Digits("fashion-mnist")
_PAIRS_NOISE = Gaussian(0.3)
_PAIRS_WORDS = "Gaussian, sigma 0.3, clipped to [0, 1]"


def _production(name: str, summary: str, network: UNet) -> Recipe:
    """Blind, from clean photographs: only the networks differ."""
    return Recipe(
        name=name,
        summary=summary,
        domain="photographs",
        data=FolderCrops(network.channels),
        noise=Blind(),
        noise_words=_BLIND_WORDS,
        network=network,
        loss="charbonnier",
        schedule=Cosine(),
        batch_size=16,
        epochs=50,
    )


_RECIPES = (
    Recipe(
        name="gray-mnist",
        summary="Study 1, model 1: convolutional autoencoder for 28×28 digits.",
        domain="digits",
        data=Digits("mnist"),
        noise=Gaussian(0.5),
        noise_words="Gaussian, sigma 0.5, clipped to [0, 1]",
        network=Autoencoder(1, (32, 64, 128)),
        loss="bce",
        schedule=_STUDY,
        batch_size=32,
        epochs=6,
        training_data_licence="free for research; cite LeCun",
    ),
    # The study leaves loss and optimiser open: MSE, because its figure of merit grows with the error and a sigmoid
    # output on natural colours has no binary reading.
    Recipe(
        name="rgb-cifar",
        summary="Study 1, model 2: convolutional autoencoder with batch normalisation for 32×32 colour images.",
        domain="small-images",
        data=Cifar10(),
        noise=Gaussian(0.3),
        noise_words="Gaussian, sigma 0.3, clipped to [0, 1]",
        network=Autoencoder(3, (32, 64, 128), batch_norm=True, output="linear"),
        loss="mse",
        schedule=_STUDY,
        batch_size=32,
        epochs=30,
        training_data_licence="none stated; cite Krizhevsky 2009",
    ),
    Recipe(
        name="gray-mse",
        summary="Study 2, model 1: light encoder-decoder for 28×28 gray images, MSE.",
        domain="small-images",
        data=_PAIRS,
        noise=_PAIRS_NOISE,
        noise_words=_PAIRS_WORDS,
        network=Autoencoder(1, (16, 32), output="linear"),
        loss="mse",
        schedule=_STUDY,
        batch_size=32,
        epochs=10,
        training_data_licence="MIT",
    ),
    Recipe(
        name="gray-hybrid",
        summary="Study 2, model 2: one more convolution in the latent space, 0.8 MSE + 0.2 (1 - SSIM).",
        domain="small-images",
        data=_PAIRS,
        noise=_PAIRS_NOISE,
        noise_words=_PAIRS_WORDS,
        network=Autoencoder(1, (16, 32), extra_latent=1, output="linear"),
        loss="mse+ssim",
        schedule=_STUDY,
        batch_size=32,
        epochs=10,
        training_data_licence="MIT",
    ),
    Recipe(
        name="gray-deep",
        summary="Study 2, model 3: 32-64-128 with a mirrored decoder, 0.8 MSE + 0.2 (1 - SSIM).",
        domain="small-images",
        data=_PAIRS,
        noise=_PAIRS_NOISE,
        noise_words=_PAIRS_WORDS,
        network=Autoencoder(1, (32, 64, 128), output="linear"),
        loss="mse+ssim",
        schedule=_STUDY,
        batch_size=32,
        epochs=10,
        training_data_licence="MIT",
    ),
    Recipe(
        name="rgb-relu",
        summary="Study 3, baseline: simple ReLU convolutional autoencoder for images resized to 256×256.",
        domain="small-images",
        data=ResizedFolder(256),
        noise=Gaussian(0.05),
        noise_words="Gaussian, sigma 0.05, clipped to [0, 1]",
        network=Autoencoder(3, (32, 64, 128), output="linear"),
        loss="mse",
        schedule=dataclasses.replace(_STUDY, rate=1e-3),  # batches of one image
        batch_size=1,
        epochs=14,
    ),
    _production(
        "rgb-leaky",
        "Colour photographs and scans with noise of unknown kind and strength. The default for colour.",
        UNet(3, (64, 96, 128), blocks=1, middle=1, head_width=24),
    ),
    _production(
        "gray-leaky",
        "Grayscale photographs and scans with noise of unknown kind and strength. The default for grayscale.",
        UNet(1, (64, 96, 128), blocks=1, middle=1, head_width=24),
    ),
    _production(
        "rgb-leaky-large",
        "Colour photographs and scans with noise of unknown kind and strength: better and slower.",
        UNet(3, (96, 128, 192), blocks=2, middle=2, head_width=24),
    ),
    _production(
        "gray-leaky-large",
        "Grayscale photographs and scans with noise of unknown kind and strength: better and slower.",
        UNet(1, (96, 128, 192), blocks=2, middle=2, head_width=24),
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}


def find(name: str) -> Recipe:
    """The recipe called ``name``; raises :class:`UsageError` that lists all names."""
    if name not in RECIPES:
        raise UsageError(f"no recipe called {name!r}: choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
