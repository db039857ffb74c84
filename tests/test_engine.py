"""Pixels to denoised pixels: types, strengths, models, and the doors of the library."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.signal

import folderdenoise
from folderdenoise import Denoiser, denoise, engine, zoo
from folderdenoise.errors import ImageInputError, ModelError, UsageError
from folderdenoise.runtime import Graph
from tests import models
from tests.engine_pictures import DTYPES, blurred, picture, to_dtype, to_unit

SCANS = Path(__file__).parents[1] / "examples" / "scans"

# Types and shapes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_the_same_shape_and_dtype_come_back(zoo_dir, channels, dtype):
    image = to_dtype(picture(channels=channels), dtype)
    before = image.copy()
    result = denoise(image)
    assert result.shape == image.shape
    assert result.dtype == image.dtype
    assert np.array_equal(image, before)
    tolerance = {"uint8": 1.5 / 255, "uint16": 1e-5, "float16": 1e-3}.get(np.dtype(dtype).name, 1e-6)
    assert np.abs(to_unit(result) - blurred(image)).max() <= tolerance


def test_views_read_only_arrays_and_foreign_byte_order(zoo_dir):
    image = to_dtype(picture(), np.uint16)
    expected = denoise(image)
    backwards = image[::-1, ::-1, ::-1][::-1, ::-1, ::-1]
    assert np.array_equal(denoise(backwards), expected)
    wide = np.repeat(image, 2, axis=1)[:, ::2]
    wide.setflags(write=False)
    assert np.array_equal(denoise(wide), expected)
    foreign = denoise(image.astype(">u2"))
    assert np.array_equal(foreign, expected)
    assert foreign.dtype == np.dtype(">u2")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), bool),
        np.zeros((8, 8), np.int16),
        np.zeros((8, 8), np.int64),
        np.zeros((8, 8), np.uint32),
        np.zeros((8, 8), np.complex64),
        np.zeros(8, np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0), np.uint8),
        np.array("scan.png"),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_what_is_no_image_is_refused_with_what_it_is(zoo_dir, image):
    received = re.escape(f"Received: shape {image.shape}, dtype {image.dtype}")
    with pytest.raises(ImageInputError, match=received):
        denoise(image)
    with pytest.raises(ValueError, match=received):
        Denoiser("identity").denoise(image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_floats_that_are_no_numbers_are_refused(zoo_dir, value):
    image = picture()
    image[40, 50, 1] = value
    with pytest.raises(ImageInputError, match="NaN, infinite or huge"):
        denoise(image)


@pytest.mark.parametrize("empty", [2, 4, 8])
def test_16_bit_images_with_empty_upper_bits_are_as_bright_to_the_network_as_full_ones(tmp_path, empty):
    """The model lightens by a tenth of its range, whatever it is given."""
    models.write_shifted(tmp_path / "shifted", channels=1)
    models.rewrite_card(tmp_path / "shifted", mean_shift=0.1)
    dim = (to_dtype(picture(), np.uint16)[..., 0] >> empty).astype(np.uint16)
    dim[0, 0] = 65535 >> empty
    result = Denoiser(tmp_path / "shifted")(dim)
    assert abs(int(result[5, 5]) - int(dim[5, 5]) - (65535 >> empty) / 10) <= 1


def test_floats_outside_0_to_1_are_kept(zoo_dir):
    image = (picture() * 1.6 - 0.3).astype(np.float32)
    assert image.min() < -0.1
    assert image.max() > 1.1
    assert np.array_equal(denoise(image, model="identity"), image)


def test_a_grayscale_model_takes_the_channels_of_a_colour_image_one_by_one(zoo_dir):
    image = picture()
    result = Denoiser("gray-leaky", tile=64).denoise(image)
    assert result.model == "gray-leaky"
    for channel in range(3):
        alone = Denoiser("gray-leaky").denoise(image[:, :, channel]).pixels
        np.testing.assert_allclose(result.pixels[:, :, channel], alone, atol=1e-6)


@pytest.mark.parametrize("channels", [None, 1])
def test_a_colour_model_makes_a_grayscale_image_of_a_grayscale_image(zoo_dir, channels):
    image = picture(channels=channels)
    result = Denoiser("rgb-leaky").denoise(image).pixels
    assert result.shape == image.shape
    np.testing.assert_allclose(result, blurred(image), atol=1e-6)


def test_auto_takes_the_model_for_the_channels(zoo_dir):
    denoiser = Denoiser()
    assert denoiser.denoise(picture()).model == "rgb-leaky"
    assert denoiser.denoise(picture(channels=1)).model == "gray-leaky"
    assert denoiser.denoise(picture(channels=None)).model == "gray-leaky"
    assert (denoiser.card_for(3).name, denoiser.card_for(1).name) == ("rgb-leaky", "gray-leaky")
    assert Denoiser("identity").card_for(1).name == "identity"


# Strength


@pytest.mark.parametrize("strength", [0.25, 0.5, 1])
def test_strength_blends_where_the_model_has_none(zoo_dir, strength):
    image = picture()
    result = denoise(image, "rgb-leaky", strength)
    np.testing.assert_allclose(result, image + strength * (blurred(image) - image), atol=1e-6)


@pytest.mark.parametrize("strength", [0.5, 1])
def test_strength_is_given_to_a_model_that_takes_it(tmp_path, strength):
    denoiser = Denoiser(models.write_conditioned(tmp_path / "conditioned"))
    image = picture()
    result = denoiser.denoise(image, strength)
    np.testing.assert_allclose(result.pixels, image - 0.005 * strength, atol=1e-6)
    assert result.noise_level == pytest.approx(0.125)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("best", [False, True])
def test_above_1_a_model_is_told_of_a_little_more_noise_and_its_answer_is_smoothed(tmp_path, channels, best):
    # Its card is gray, so that a colour image goes through it channel by channel.
    denoiser = Denoiser(models.write_conditioned(tmp_path / "conditioned", 1), best=best)
    image = picture(40, 56, channels).astype(np.float32)
    for strength in (1.2, 2):
        answer = image - np.float32(0.005 * (1 + (strength - 1) / 4))
        result = denoiser(image, strength)
        for given, expected in zip(np.moveaxis(result, 2, 0), np.moveaxis(answer, 2, 0), strict=True):
            noise = ((strength - 1) * (0.125 + 1 / 255)) ** 2
            wiener = scipy.signal.wiener(expected.astype(np.float64), 5, noise)
            # That of SciPy keeps nothing at all of what varies less than the noise; ours some of it.
            mean = cv2.blur(expected, (5, 5), borderType=cv2.BORDER_REFLECT_101)
            shrunk = np.abs(given - mean) / np.maximum(np.abs(expected - mean), 1e-3)
            assert shrunk[4:-4, 4:-4].max() < 1
            assert np.abs(given - wiener)[4:-4, 4:-4].mean() < 0.6 * np.abs(expected - wiener)[4:-4, 4:-4].mean()


@pytest.mark.parametrize("dtype", DTYPES)
def test_strength_0_is_the_input_itself(zoo_dir, dtype):
    image = to_dtype(picture(), dtype)
    result = denoise(image, strength=0)
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize("name", ["rgb-leaky", "gray-leaky"])
@pytest.mark.parametrize("scan", ["archive/letter 1906.png", "album/cafe.jpg"])
def test_more_strength_removes_more(monkeypatch, name, scan):
    monkeypatch.delenv("FOLDERDENOISE_MODELS", raising=False)
    noisy = cv2.imread(str(SCANS / scan))[:256, :256].astype(np.float32) / 255
    denoiser = Denoiser(name, precision="f32")
    removed = [float(np.std(denoiser(noisy, strength) - noisy)) for strength in (0, 0.25, 0.5, 1, 1.5, 2)]
    assert removed[0] == 0
    assert all(np.diff(removed) > 0), removed


@pytest.mark.parametrize("strength", [-0.1, 2.1, float("nan"), float("inf")])
def test_a_strength_out_of_range(tmp_path, strength):
    denoiser = Denoiser(models.write_conditioned(tmp_path / "conditioned"))
    with pytest.raises(UsageError, match=r"strength must be between 0 and 2\. Received"):
        denoiser.denoise(picture(), strength)


def test_more_than_1_needs_a_model_that_takes_strength(zoo_dir):
    with pytest.raises(UsageError, match="rgb-leaky takes a strength between 0 and 1"):
        denoise(picture(), strength=1.5)


# Models that cannot be used


def test_an_unknown_model(zoo_dir):
    with pytest.raises(ModelError, match="Did you mean rgb-leaky"):
        Denoiser("rgb-leeky")
    with pytest.raises(ModelError, match="no model named 'nothing'"):
        denoise(picture(), model="nothing")


def test_a_damaged_model_is_found_by_preload(zoo_dir):
    path = zoo_dir / "rgb-leaky" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    denoiser = Denoiser("auto")
    denoiser.preload(1)
    with pytest.raises(ModelError, match="does not match the SHA-256"):
        denoiser.preload(3)


def test_a_file_that_is_no_graph_although_its_hash_is_right(zoo_dir):
    folder = zoo_dir / "identity"
    (folder / "model.onnx").write_bytes(b"no graph at all")
    models.rewrite_card(folder, sha256=hashlib.sha256(b"no graph at all").hexdigest())
    with pytest.raises(ModelError, match=r"model\.onnx: cannot be loaded .* export it again"):
        Denoiser("identity").preload(3)


def test_a_graph_of_another_form_than_its_card(zoo_dir):
    models.rewrite_card(zoo_dir / "identity", inputs=["image", "strength"])
    with pytest.raises(ModelError, match=r"has inputs .*image.* its card says .*strength"):
        Denoiser("identity").preload(3)


def test_a_wrong_size_multiple(tmp_path):
    folder = models.write_strided_blur(tmp_path / "strided")
    models.rewrite_card(folder, size_multiple=1)
    with pytest.raises(ModelError, match=r"makes \(1, 8, 8, 1\) of \(1, 10, 9, 1\)"):
        denoise(picture(10, 9, 1), folder)


def test_a_graph_for_another_number_of_channels_than_its_card(zoo_dir):
    models.rewrite_card(zoo_dir / "gray-leaky", channels=3)
    with pytest.raises(ModelError, match=r"model\.onnx: fails on \(1, 90, 110, 3\)"):
        denoise(picture(), "gray-leaky")


@pytest.mark.parametrize(
    "options", [{"precision": "f16"}, {"tile": 0}, {"tile": -5}, {"threads": 0}], ids=lambda o: str(o)
)
def test_impossible_options(zoo_dir, options):
    with pytest.raises(UsageError, match="Received"):
        Denoiser(**options)


# Many calls


def test_several_threads_share_one_denoiser(zoo_dir):
    images = [to_dtype(picture(40 + 7 * i, 150 - 3 * i, (1, 3)[i % 2], seed=i), np.uint16) for i in range(16)]
    alone = [Denoiser()(image) for image in images]
    denoiser = Denoiser(tile=64)
    start = threading.Barrier(8)

    def work(image: np.ndarray) -> list[np.ndarray]:
        start.wait()
        return [denoiser(image) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, images))
    for expected, found in zip(alone, results, strict=True):
        for result in found:
            assert np.abs(expected.astype(int) - result).max() <= 1


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models compiled since, in order."""
    names: list[str] = []
    prepare = Graph.__init__

    def counting(self: Graph, card: zoo.ModelCard, *args: object) -> None:
        names.append(card.name)
        prepare(self, card, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Graph, "__init__", counting)
    return names


def test_a_denoiser_compiles_once_whatever_the_sizes(zoo_dir, compiled):
    denoiser = Denoiser(precision="f32")
    for size in (50, 80, 120):
        denoiser(picture(size, size))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(denoiser, [picture(60, 60, 1)] * 8))
    assert compiled == ["rgb-leaky", "gray-leaky"]


def test_the_door_keeps_models_compiled_but_not_a_replaced_one(zoo_dir, compiled):
    image = picture()
    for _ in range(3):
        denoise(image, "identity")
    assert compiled == ["identity"]
    models.write_blur(zoo_dir / "identity")
    np.testing.assert_allclose(denoise(image, "identity"), blurred(image), atol=1e-6)
    assert compiled == ["identity", "identity"]


def test_the_library_door():
    assert folderdenoise.denoise is engine.denoise
    assert folderdenoise.Denoiser is engine.Denoiser
    assert {"denoise", "Denoiser", "Denoised", "__version__"} <= set(dir(folderdenoise))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = folderdenoise.nonsense


def test_the_version_is_that_of_the_project():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{folderdenoise.__version__}"\n' in text


def test_the_runtime_neither_prints_nor_reports_home(zoo_dir, tmp_path):
    # openvino_telemetry, where it is installed, sends an event at the import of openvino.
    code = (
        "import sys, numpy, folderdenoise\n"
        "assert folderdenoise.denoise(numpy.zeros((9, 9, 3), 'uint8'), 'identity').shape == (9, 9, 3)\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
