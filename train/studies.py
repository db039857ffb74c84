"""The three student studies as values: what each reported, the settings to try, and the models to train.

Lengths are in megapixels seen, so that data sets of different sizes are trained on for equally long.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from train.architectures import UNet
from train.datasets import Cifar10, DataSpec, Digits, ResizedFolder
from train.noise import Gaussian
from train.recipes import RECIPES, Recipe

LOWER_IS_BETTER = ("mae", "mse")
QUICK_IMAGES = 64
QUICK_SEEDS = 2


@dataclass(frozen=True)
class Setting:
    """Images of ``data`` (square, ``side`` pixels) with Gaussian noise of ``sigma``, clipped to [0, 1]."""

    data: str
    side: int
    sigma: float

    @property
    def key(self) -> str:
        return f"{self.data}-{self.side}-{self.sigma:g}"

    def __str__(self) -> str:
        names = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
        return f"{names.get(self.data, f'photographs at {self.side}×{self.side}')}, sigma {self.sigma:g}"


@dataclass(frozen=True)
class Goal:
    """A figure that a study reported, to be reached; ``aim`` is what we want.

    With ``above`` it is instead the figure of another model of ours that must be beaten.
    """

    metric: str
    study: float | None
    aim: float | None = None
    above: str | None = None


@dataclass(frozen=True)
class Model:
    """One network to train ``seeds`` times. Without ``setting``, in the one chosen from the study's grid."""

    name: str
    part: str
    study: int
    recipe: Recipe
    megapixels: float
    seeds: int = 1
    setting: Setting | None = None
    goals: tuple[Goal, ...] = ()
    ships: bool = False
    """Whether its first seed replaces the model of its name in ``models/``."""
    sibling_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """The settings that a study leaves open, and the figures of its simple model, by which one is chosen."""

    study: int
    model: str
    settings: tuple[Setting, ...]
    quick: tuple[Setting, ...]
    goals: tuple[Goal, ...]

    @property
    def part(self) -> str:
        return f"grid-{self.study}"


@dataclass(frozen=True)
class Claim:
    """A comparison: ``second`` against ``first``, what differs between them, and what the study claims of it.

    ``claimed`` are the study's differences, in percent or in the units of the metric; empty where it tells nothing.
    """

    title: str
    first: str
    second: str
    metrics: tuple[str, ...]
    claimed: dict[str, float] = dataclasses.field(default_factory=dict)
    in_percent: bool = False


@dataclass(frozen=True)
class Unit:
    """One training run of the study: a model in a setting with a seed. ``limit`` images at most, if given."""

    name: str
    setting: Setting
    recipe: Recipe
    megapixels: float
    limit: int | None

    @property
    def key(self) -> str:
        return f"{self.name}--{self.setting.key}--seed{self.recipe.seed}"

    @property
    def settings(self) -> dict[str, str]:
        """Everything that decides the result, but for the images themselves."""
        recipe = self.recipe
        return {
            "network": repr(recipe.network),
            "loss": recipe.loss,
            "schedule": repr(recipe.schedule),
            "batch_size": str(recipe.batch_size),
            "precision": "mixed bfloat16",
            "length": f"{self.megapixels:g} megapixels",
            "setting": self.setting.key,
            "seed": str(recipe.seed),
            "limit": str(self.limit),
        }


def unit(model: Model, setting: Setting, seed: int, quick: bool) -> Unit:
    """The run of ``model`` in ``setting`` with ``seed``; ``quick`` is one pass over a few images."""
    megapixels = model.megapixels
    if setting.side == 256:
        # Images of four times the pixels are a quarter of the steps: half as many pixels more.
        megapixels *= 1.5
    specifications: dict[str, DataSpec] = {"cifar10": Cifar10(), "photos": ResizedFolder(setting.side)}
    recipe = dataclasses.replace(
        model.recipe,
        data=specifications.get(setting.data, Digits(setting.data)),
        domain="digits" if setting.data == "mnist" else "small-images",
        noise=Gaussian(setting.sigma),
        noise_words=f"Gaussian, sigma {setting.sigma:g}, clipped to [0, 1]",
        summary=model.recipe.summary.replace("256×256", f"{setting.side}×{setting.side}"),
        seed=seed,
    )
    return Unit(model.name, setting, recipe, 0.0 if quick else megapixels, QUICK_IMAGES if quick else None)


def _sibling(original: str, network: UNet, loss: str = "charbonnier") -> Recipe:
    return dataclasses.replace(RECIPES[original], name=f"{original}-unet", network=network, loss=loss)


# Our U-Net with no more operations than the original; these two with no more parameters, either.
_GRAY_UNET = UNet(1, (32, 48), blocks=2, middle=2, head_width=8)
_RGB_UNET = UNet(3, (32, 48), blocks=2, middle=2, head_width=8)

_MNIST = Setting("mnist", 28, 0.5)
_CIFAR = Setting("cifar10", 32, 0.3)
_RELU = RECIPES["rgb-relu"]
_LEAKY = dataclasses.replace(
    _RELU, name="rgb-leaky", network=dataclasses.replace(RECIPES["rgb-relu"].network, activation="leaky")
)
_HYBRID_GOALS = (Goal("psnr", 20.80, 21.80), Goal("ssim", 0.7771), Goal("ssim", None, above="gray-mse"))
_RELU_GOALS = (Goal("ssim", 0.9356), Goal("mse", 0.001232))

_MODELS = (
    Model(
        "gray-mnist", "gray-mnist", 1, RECIPES["gray-mnist"], 250, setting=_MNIST,
        goals=(Goal("mae", 0.0327, 0.028),), ships=True,
    ),
    Model(
        "gray-mnist-unet", "gray-mnist", 1, _sibling("gray-mnist", _GRAY_UNET), 250, setting=_MNIST,
        sibling_of=("gray-mnist",),
    ),
    Model(
        "rgb-cifar", "rgb-cifar", 1, RECIPES["rgb-cifar"], 150, setting=_CIFAR,
        goals=(Goal("mae", 0.0594, 0.050),), ships=True,
    ),
    Model(
        "rgb-cifar-unet", "rgb-cifar", 1, _sibling("rgb-cifar", _RGB_UNET), 150, setting=_CIFAR,
        sibling_of=("rgb-cifar",),
    ),
    Model(
        "gray-mse", "gray-mse", 2, RECIPES["gray-mse"], 150, seeds=3,
        goals=(Goal("psnr", 20.63, 21.63), Goal("ssim", 0.7554)), ships=True,
    ),
    Model(
        "gray-mse-unet", "gray-mse", 2,
        _sibling("gray-mse", UNet(1, (20, 32), blocks=1, middle=1, head_width=8)), 150,
        sibling_of=("gray-mse",),
    ),
    Model("gray-hybrid", "gray-hybrid", 2, RECIPES["gray-hybrid"], 150, seeds=3, goals=_HYBRID_GOALS, ships=True),
    # The same network under the MSE alone: the study changed loss and network at once, this tells them apart.
    Model(
        "gray-hybrid-mse", "gray-hybrid", 2,
        dataclasses.replace(RECIPES["gray-hybrid"], name="gray-hybrid-mse", loss="mse"), 150, seeds=3,
    ),
    Model(
        "gray-hybrid-unet", "gray-hybrid", 2,
        _sibling("gray-hybrid", UNet(1, (24, 40), blocks=1, middle=1, head_width=8), "mse+ssim"), 150,
        sibling_of=("gray-hybrid",),
    ),
    Model(
        "gray-deep", "gray-deep", 2, RECIPES["gray-deep"], 150, seeds=3,
        goals=(Goal("psnr", 22.70, 23.70), Goal("ssim", 0.8371)), ships=True,
    ),
    Model(
        "gray-deep-unet", "gray-deep", 2, _sibling("gray-deep", _GRAY_UNET, "mse+ssim"), 150,
        sibling_of=("gray-deep",),
    ),
    Model("rgb-relu", "rgb-relu", 3, _RELU, 70, seeds=5, goals=_RELU_GOALS, ships=True),
    Model("rgb-leaky", "rgb-leaky", 3, _LEAKY, 70, seeds=5, goals=(Goal("ssim", 0.9485), Goal("mse", 0.000941))),
    Model(
        "rgb-leaky-unet", "rgb-leaky", 3, _sibling("rgb-relu", _RGB_UNET), 70,
        sibling_of=("rgb-relu", "rgb-leaky"),
    ),
)  # fmt: skip
MODELS: dict[str, Model] = {model.name: model for model in _MODELS}

_SIGMAS = (0.2, 0.3, 0.4, 0.5)
GRIDS = (
    Grid(
        2,
        "gray-mse",
        tuple(Setting(data, 28, sigma) for data in ("mnist", "fashion-mnist") for sigma in _SIGMAS),
        (Setting("mnist", 28, 0.5), Setting("fashion-mnist", 28, 0.3)),
        MODELS["gray-mse"].goals,
    ),
    Grid(
        3,
        "rgb-relu",
        tuple(Setting("photos", side, sigma) for side in (128, 256) for sigma in (0.05, 0.1, 0.15)),
        (Setting("photos", 128, 0.1),),
        _RELU_GOALS,
    ),
)
CLAIMS = (
    Claim(
        "LeakyReLU (slope 0.1) in place of ReLU, all else equal", "rgb-relu", "rgb-leaky", ("ssim", "mse"),
        {"ssim": 1.4, "mse": -23.6}, in_percent=True,
    ),
    Claim(
        "0.8 MSE + 0.2 (1 − SSIM) in place of MSE, all else equal", "gray-hybrid-mse", "gray-hybrid",
        ("psnr", "ssim"),
    ),
    Claim("one more convolution in the latent space, all else equal", "gray-mse", "gray-hybrid-mse", ("psnr", "ssim")),
    Claim(
        "both at once, as the study compared them", "gray-mse", "gray-hybrid", ("psnr", "ssim"),
        {"psnr": 0.17, "ssim": 0.0217},
    ),
    Claim(
        "deep (32-64-128) in place of shallow, the same loss", "gray-hybrid", "gray-deep", ("psnr", "ssim"),
        {"psnr": 1.90, "ssim": 0.0600},
    ),
)  # fmt: skip
PARTS = (*dict.fromkeys(model.part for model in _MODELS), *(grid.part for grid in GRIDS), "report")
