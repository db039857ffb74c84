"""From a trained model to the folder that the tool reads: the same picture from every form of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")

import keras

from folderdenoise import Denoiser, zoo
from folderdenoise.errors import ModelError, UsageError
from train import export, halves, workshop
from train.architectures import Autoencoder, UNet
from train.fit import fit
from train.losses import mse_ssim
from train.recipes import RECIPES, Cosine, Recipe

from . import models, pictures

NETWORK = UNet(3, (6, 8), blocks=1, middle=1, head_width=4)
RECIPE = dataclasses.replace(RECIPES["rgb-leaky"], network=NETWORK)
SMALL = dataclasses.replace(RECIPES["rgb-cifar"], network=Autoencoder(3, (4, 5, 6), batch_norm=True, output="linear"))
FACTS = export.TrainingFacts("python -m train fit tiny", 61.4, 12.345, "3 scenes", "CC0: 3 files", "sigma 0.1", 0.0123)


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """Weights and BatchNorm statistics such that the output is noticeably not the input, and of its order."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            spreads = ((0.5, 1.5), (-0.2, 0.2), (-0.3, 0.3), (0.2, 2.0))
            layer.set_weights([rng.uniform(*spread, shape) for spread in spreads])
        elif layer.weights:
            kernel, *bias = layer.get_weights()
            inputs = np.prod(kernel.shape[:3])
            layer.set_weights(
                [rng.normal(size=kernel.shape) / np.sqrt(inputs), *(rng.normal(size=b.shape) * 0.05 for b in bias)]
            )
    names = {layer.name for layer in model.layers}
    last = model.get_layer("residual" if "residual" in names else "denoised")
    kernel, bias = last.get_weights()
    last.set_weights([0.1 * kernel, 0.1 * bias + (0.0 if "residual" in names else 0.5)])
    return model


def keras_output(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    outputs = model(image[None], training=False)
    return {name: keras.ops.convert_to_numpy(value)[0] for name, value in outputs.items()}


def onnx_output(folder: Path, image: np.ndarray, strength: float | None = None) -> dict[str, np.ndarray]:
    compiled = export.compile_graph((folder / "model.onnx").read_bytes())
    feed: dict[str, Any] = {"image": image[None]}
    if strength is not None:
        feed["strength"] = np.float32(strength)
    result = compiled(feed)
    return {output.any_name: np.asarray(result[output])[0] for output in compiled.outputs}


@dataclasses.dataclass
class Exported:
    model: keras.Model
    recipe: Recipe
    folder: Path


@pytest.fixture(scope="module")
def conditioned(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    model = randomised(NETWORK.build())
    folder = tmp_path_factory.mktemp("conditioned") / RECIPE.name
    export.export(model, RECIPE, folder, FACTS, pictures.photographs())
    return Exported(model, RECIPE, folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    model = randomised(SMALL.network.build())
    model.compile("adam", mse_ssim)
    model.optimizer.build(model.trainable_variables)
    folder = tmp_path_factory.mktemp("plain") / SMALL.name
    export.export(model, SMALL, folder, FACTS, pictures.photographs())
    return Exported(model, SMALL, folder)


def test_a_model_trained_in_bfloat16_is_exported_in_float32(rng: np.random.Generator) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomised(NETWORK.build())
    finally:
        keras.config.set_dtype_policy("float32")
    deployable = export.deployable(model, NETWORK)
    assert {layer.compute_dtype for layer in deployable.layers} == {"float32"}
    image = rng.random((16, 16, 3), dtype=np.float32)
    assert keras_output(deployable, image)["denoised"] == pytest.approx(
        keras_output(model, image)["denoised"], abs=0.02
    )


@pytest.mark.parametrize("form", ["conditioned", "plain"])
@pytest.mark.parametrize("multiples", [(1, 1), (3, 1), (5, 7), (9, 4)])
def test_onnx_agrees_with_the_trained_model(
    form: str, multiples: tuple[int, int], request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    exported: Exported = request.getfixturevalue(form)
    multiple = exported.recipe.network.size_multiple
    image = rng.normal(0.5, 0.3, (multiples[0] * multiple, multiples[1] * multiple, 3)).astype(np.float32)
    expected = keras_output(exported.model, image)
    given = onnx_output(exported.folder, image, 1.0 if form == "conditioned" else None)
    assert given.keys() == expected.keys()
    for name, value in expected.items():
        assert given[name].shape == value.shape
        # The files hold weights rounded to float16.
        assert given[name] == pytest.approx(value, abs=0.5 / 255)
    saved = keras_output(keras.models.load_model(exported.folder / "model.keras"), image)
    for name, value in saved.items():
        assert given[name] == pytest.approx(value, abs=export.PARITY)


def test_weights_take_two_bytes_in_the_graph(conditioned: Exported) -> None:
    kernels = sum(w.shape.num_elements() for w in conditioned.model.weights if len(w.shape) == 4)
    assert (conditioned.folder / "model.onnx").stat().st_size < 2.2 * kernels + 40_000


def test_exporting_leaves_the_model_as_it_was(plain: Exported, rng: np.random.Generator) -> None:
    kernel = np.asarray(next(w for w in plain.model.weights if len(w.shape) == 4 and w.shape.num_elements() > 256))
    assert (kernel != kernel.astype(np.float16)).any()


def test_strength_blends_below_one_and_tells_of_more_noise_above(
    conditioned: Exported, rng: np.random.Generator
) -> None:
    image = rng.random((24, 24, 3), dtype=np.float32)
    outputs = {strength: onnx_output(conditioned.folder, image, strength) for strength in (0.0, 0.5, 1.0, 2.0)}
    residual = outputs[1.0]["denoised"] - image
    assert (outputs[0.0]["denoised"] == image).all()
    assert outputs[0.5]["denoised"] - image == pytest.approx(0.5 * residual, abs=1e-6)
    # The noise level is what the network sees, whatever it is told.
    for strength in (0.0, 0.5, 2.0):
        assert outputs[strength]["noise_level"] == pytest.approx(outputs[1.0]["noise_level"], abs=1e-6)
    deployable = export.deployable(conditioned.model, NETWORK)
    halves.round_weights(deployable)
    kernel, bias = deployable.get_layer("told").get_weights()
    deployable.get_layer("told").set_weights([2.0 * kernel, bias])
    twice = keras_output(deployable, image)["denoised"]
    assert np.abs(twice - outputs[1.0]["denoised"]).max() > 1e-3
    assert outputs[2.0]["denoised"] == pytest.approx(twice, abs=export.PARITY)


@pytest.mark.parametrize("form", ["conditioned", "plain"])
def test_the_graph_has_the_form_of_the_contract(form: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(form).folder
    graph = onnx.load(folder / "model.onnx").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    shapes = {
        value.name: [dimension.dim_value or None for dimension in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    image = {"image": [None, None, None, 3], "denoised": [None, None, None, 3]}
    assert shapes == image | ({"strength": [], "noise_level": [None, None, None, 1]} if form == "conditioned" else {})


def test_the_graph_of_a_unet_moves_nothing_about_between_its_layers(conditioned: Exported) -> None:
    # Each of these is a pass over the whole picture; a converter leaves dozens of them.
    kinds = Counter(node.op_type for node in onnx.load(conditioned.folder / "model.onnx").graph.node)
    assert not kinds.keys() & {"Pad", "Slice", "Tile", "Reshape", "Concat"}
    assert kinds["Transpose"] == 3


@pytest.mark.parametrize("form", ["conditioned", "plain"])
def test_the_zoo_takes_the_card(form: str, request: pytest.FixtureRequest) -> None:
    exported: Exported = request.getfixturevalue(form)
    card = zoo.find(exported.folder)
    assert (card.name, card.channels) == (exported.recipe.name, 3)
    assert card.size_multiple == exported.recipe.network.size_multiple
    assert card.has_strength == (form == "conditioned")
    assert card.outputs == (("denoised", "noise_level") if form == "conditioned" else ("denoised",))
    assert card.noise_level_stride == (8 if form == "conditioned" else None)
    assert card.overlap % card.size_multiple == 0
    assert 0 < card.overlap <= card.receptive_field // 2 + card.size_multiple
    assert (card.command, card.training_data, card.mean_shift) == (FACTS.command, FACTS.data, 0.0123)
    assert (card.training_data_licence, card.noise) == (FACTS.licence, FACTS.noise)
    assert card.training["seconds"] == 61
    assert card.training["megapixels"] == 12.3
    graph = zoo.read_graph(card)
    assert hashlib.sha256(graph).hexdigest() == card.sha256
    weights = sum(np.prod(weight.shape) for weight in keras.models.load_model(exported.folder / "model.keras").weights)
    assert card.parameters == weights


@pytest.mark.parametrize("form", ["conditioned", "plain"])
def test_the_tool_gives_the_picture_of_the_trained_model(form: str, request: pytest.FixtureRequest) -> None:
    exported: Exported = request.getfixturevalue(form)
    image = pictures.photographs()[0][:96, :104]
    # Random weights move the mean farther than a denoiser may: what the tool is to take must be less wild.
    saved = keras_output(keras.models.load_model(exported.folder / "model.keras"), image.astype(np.float32) / 255)
    models.rewrite_card(exported.folder, mean_shift=1.0)
    denoised = Denoiser(exported.folder, precision="f32").denoise(image)
    assert denoised.pixels.astype(int) == pytest.approx(np.clip(saved["denoised"] * 255, 0, 255), abs=0.53)
    if form == "conditioned":
        assert denoised.noise_level == pytest.approx(saved["noise_level"].mean(), rel=0.01)
    odd = Denoiser(exported.folder)(image[:37, :51])
    assert odd.shape == (37, 51, 3)


@pytest.mark.parametrize("form", ["conditioned", "plain"])
def test_keras_file_needs_nothing_of_ours_and_carries_no_optimizer(
    form: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    exported: Exported = request.getfixturevalue(form)
    path = exported.folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    assert not config["compile_config"]
    for module, registered in _classes(config):
        assert module is None or module.split(".")[0] in ("keras", "builtins")
        assert registered is None or not registered.startswith("folderdenoise")
    loaded = keras.models.load_model(path)
    assert getattr(loaded, "optimizer", None) is None
    image = rng.random((24, 40, 3), dtype=np.float32)
    expected = keras_output(exported.model, image)
    for name, value in keras_output(loaded, image).items():
        assert value == pytest.approx(expected[name], abs=0.5 / 255)


def _classes(config: Any) -> list[tuple[str | None, str | None]]:
    """Module and registered name of everything that a Keras file would create."""
    found = []
    if isinstance(config, dict):
        if "class_name" in config:
            found.append((config.get("module"), config.get("registered_name")))
        found += [item for value in config.values() for item in _classes(value)]
    elif isinstance(config, list):
        found += [item for value in config for item in _classes(value)]
    return found


def test_a_graph_that_differs_is_not_exported_and_the_old_model_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models.write_blur(tmp_path / "rgb-cifar", channels=3)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = export.compile_graph

    def off(graph: bytes) -> Callable[..., dict[str, np.ndarray]]:
        compiled = real(graph)
        return lambda feed, share_inputs: {"denoised": compiled(feed)["denoised"] + np.float32(2e-4)}

    monkeypatch.setattr(export, "compile_graph", off)
    with pytest.raises(ModelError, match=r"differs from Keras by 0\.0002"):
        export.export(randomised(SMALL.network.build()), SMALL, folder, FACTS, pictures.photographs())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(("flawed", "conversions"), [(1, 2), (100, 5)])
def test_a_conversion_with_an_axis_too_many_is_done_anew_but_not_for_ever(
    flawed: int, conversions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tf2onnx

    real = tf2onnx.convert.from_function
    done = []

    def convert(*args: Any, **options: Any) -> Any:
        proto, storage = real(*args, **options)
        done.append(proto)
        if len(done) <= flawed:
            graph = proto.graph
            (last,) = (node for node in graph.node if "denoised" in node.output)
            last.output[0] = "four axes"
            graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "first"))
            graph.node.append(onnx.helper.make_node("Unsqueeze", ["four axes", "first"], ["denoised"]))
        return proto, storage

    monkeypatch.setattr(tf2onnx.convert, "from_function", convert)
    if flawed < conversions:
        proto, _ = export._to_onnx(SMALL.network.build(), SMALL)
        assert proto is done[-1]
    else:
        with pytest.raises(ModelError, match="outputs that are no images"):
            export._to_onnx(SMALL.network.build(), SMALL)
    assert len(done) == conversions


@pytest.mark.parametrize("spoil", [lambda level: level + np.float32(2e-4), lambda level: level[None]])
def test_a_graph_with_another_noise_level_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[np.ndarray], np.ndarray]
) -> None:
    real = export.compile_graph

    def off(graph: bytes) -> Callable[..., dict[str, np.ndarray]]:
        compiled = real(graph)

        def run(feed: dict[str, np.ndarray], share_inputs: bool) -> dict[str, np.ndarray]:
            outputs = compiled(feed)
            return {"denoised": outputs["denoised"], "noise_level": spoil(outputs["noise_level"])}

        return run

    monkeypatch.setattr(export, "compile_graph", off)
    with pytest.raises(ModelError, match="noise_level of the ONNX graph differs from Keras"):
        export.export(randomised(NETWORK.build()), RECIPE, tmp_path / "model", FACTS, pictures.photographs())
    assert not (tmp_path / "model").exists()


def test_another_backend_is_told_where_to_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ModelError, match="KERAS_BACKEND=tensorflow"):
        export.export(SMALL.network.build(), SMALL, tmp_path / "model", FACTS, pictures.photographs())
    assert not (tmp_path / "model").exists()


# -------------------------------------------------------------------------------------------- from a run's folder


def test_a_checkpoint_is_exported_with_its_averaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=_digits(120), x_test=_digits(5))
    recipe = dataclasses.replace(
        RECIPES["gray-mse"],
        network=Autoencoder(1, (4, 6), batch_norm=True, output="linear"),
        schedule=Cosine(rate=1e-2, warmup=2, ema=0.8),
        batch_size=16,
    )
    places = workshop.Places(tmp_path / "mnist.npz", None, None, tmp_path / "out", tmp_path / "runs")
    source = recipe.data.load(places.data, recipe.noise, recipe.batch_size, recipe.seed)
    trained = fit(recipe, source, places.runs / recipe.name, epochs=1)
    seen: list[Any] = []
    monkeypatch.setattr(export, "export", lambda *args: seen.extend(args))
    workshop.export_checkpoint(recipe, places)
    model, _, folder, facts, probes = seen
    assert folder == tmp_path / "out" / "gray-mse"
    assert facts.megapixels == pytest.approx(108 * 28 * 28 / 1e6)
    for one, other in zip(model.get_weights(), trained.get_weights(), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert {probe.shape for probe in probes} == {(512, 512, 1)}
    assert all(probe.dtype == np.uint8 for probe in probes)


def _digits(count: int) -> np.ndarray:
    return np.stack([pictures.scene(28, 28, 1, seed) for seed in range(count)])


def test_exporting_a_run_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    places = workshop.Places(None, None, None, tmp_path / "out", tmp_path / "runs")
    with pytest.raises(UsageError, match=r"gray-mse: holds no checkpoint\.keras"):
        workshop.export_checkpoint(RECIPES["gray-mse"], places)
