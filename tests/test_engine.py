"""Pixels to denoised pixels: types, strengths, precisions, threads, tiles; and answers that are not true."""

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

import folderdenoise
from folderdenoise import Denoiser, denoise, engine, graphs, network, runtime, zoo
from folderdenoise.errors import ImageInputError, ModelError, SuspectResultError, UsageError
from folderdenoise.runtime import Graph
from folderdenoise.tiles import denoise_tiled
from tests import models

SCANS = Path(__file__).parents[1] / "examples" / "scans"
DTYPES = [np.uint8, np.uint16, np.float16, np.float32, np.float64]
needs_bf16 = pytest.mark.skipif(not runtime.has_bf16(), reason="this processor has no bf16")


def picture(height: int = 90, width: int = 110, channels: int | None = 3, seed: int = 0) -> np.ndarray:
    """Soft shapes with noise of 0.1, in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    soft = cv2.GaussianBlur(rng.random(shape), (0, 0), 5).reshape(shape)
    soft = (soft - soft.min()) / max(soft.max() - soft.min(), 1e-6)
    return (0.2 + 0.6 * soft + rng.normal(0, 0.1, shape)).clip(0, 1)


def to_dtype(unit: np.ndarray, dtype: type) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return unit.astype(dtype)
    return np.rint(unit * np.iinfo(dtype).max).astype(dtype)


def to_unit(image: np.ndarray) -> np.ndarray:
    return image / (np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0)


def blurred(image: np.ndarray) -> np.ndarray:
    """What the 5 × 5 model makes of it, worked out by OpenCV."""
    answer = cv2.blur(to_unit(image).astype(np.float64), (5, 5), borderType=cv2.BORDER_CONSTANT)
    return answer.reshape(image.shape)


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


@pytest.mark.parametrize("strength", [0.5, 1, 2])
def test_strength_is_given_to_a_model_that_takes_it(tmp_path, strength):
    denoiser = Denoiser(models.write_conditioned(tmp_path / "conditioned"))
    image = picture()
    result = denoiser.denoise(image, strength)
    np.testing.assert_allclose(result.pixels, image - 0.005 * strength, atol=1e-6)
    assert result.noise_level == pytest.approx(0.125)


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


# Precision


@needs_bf16
def test_auto_takes_bf16_for_8_bits_only(zoo_dir, monkeypatch):
    monkeypatch.setattr(graphs, "prefers_bf16", lambda: True)
    denoiser = Denoiser()
    assert denoiser.denoise(to_dtype(picture(), np.uint8)).precision == "bf16"
    assert denoiser.denoise(to_dtype(picture(), np.uint16)).precision == "f32"
    assert denoiser.denoise(to_dtype(picture(), np.float32)).precision == "f32"
    assert Denoiser(precision="f32").denoise(to_dtype(picture(), np.uint8)).precision == "f32"
    assert Denoiser(precision="bf16").denoise(to_dtype(picture(), np.uint16)).precision == "bf16"


@needs_bf16
def test_bf16_computes_the_change_in_bf16_but_keeps_the_image(zoo_dir):
    # With 8 bits of mantissa for the image itself, 16-bit values would move by up to 128.
    image = to_dtype(picture(), np.uint16)
    full = Denoiser(precision="f32")(image).astype(int)
    brief = Denoiser(precision="bf16")(image).astype(int)
    assert not np.array_equal(full, brief), "bf16 was asked for and not used"
    assert np.abs(full - brief).max() < 0.01 * 65535
    assert len(np.unique(brief)) > 0.5 * len(np.unique(full))
    assert np.array_equal(Denoiser("identity", precision="bf16")(image), image)


def test_without_bf16_auto_is_f32_and_bf16_is_an_error(zoo_dir, monkeypatch):
    monkeypatch.setattr(runtime, "has_bf16", lambda: False)
    monkeypatch.setattr(graphs, "has_bf16", lambda: False)
    runtime.prefers_bf16.cache_clear()
    assert Denoiser().denoise(to_dtype(picture(), np.uint8)).precision == "f32"
    with pytest.raises(UsageError, match="no bf16"):
        Denoiser(precision="bf16").preload(3)
    runtime.prefers_bf16.cache_clear()


@needs_bf16
@pytest.mark.parametrize("faster", ["f32", "bf16"])
def test_auto_takes_the_precision_that_is_faster_here(zoo_dir, monkeypatch, faster):
    # A clock that only moves while a graph of the slower precision runs.
    now = [0.0]
    compiled = runtime._core().compile_model

    class Timed:
        def __init__(self, model, target, config):
            self._request = compiled(model, target, config).create_infer_request()
            self._cost = 1.0 if config["INFERENCE_PRECISION_HINT"] == faster else 2.0

        def create_infer_request(self):
            return self

        def infer(self, feed):
            self._request.infer(feed)
            now[0] += self._cost

    class Core:
        compile_model = staticmethod(Timed)
        get_property = staticmethod(runtime._core().get_property)

    core = Core()
    monkeypatch.setattr(runtime, "_core", lambda: core)
    # Not the wall's, which other programs stop now and then.
    clock = "perf_counter" if sys.platform == "win32" else "thread_time"
    monkeypatch.setattr(runtime.time, clock, lambda: now[0])
    monkeypatch.setattr(runtime, "_first_processor", lambda: "vendor_id : AuthenticAMD")
    runtime.prefers_bf16.cache_clear()
    try:
        assert runtime.prefers_bf16() == (faster == "bf16")
    finally:
        runtime.prefers_bf16.cache_clear()


@needs_bf16
@pytest.mark.parametrize(
    ("flags", "expected"), [("avx512_bf16 amx_bf16 amx_tile", True), ("avx512f avx512_bf16", False)]
)
def test_what_linux_says_of_an_intel_processor_spares_the_trial(monkeypatch, flags, expected):
    monkeypatch.setattr(runtime, "_first_processor", lambda: f"vendor_id : GenuineIntel\nflags : {flags}\n")
    monkeypatch.setattr(runtime.time, "thread_time", lambda: pytest.fail("it was timed"))
    runtime.prefers_bf16.cache_clear()
    try:
        assert runtime.prefers_bf16() == expected
    finally:
        runtime.prefers_bf16.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/cpuinfo is Linux's")
def test_the_first_processor_is_one_processor():
    about = runtime._first_processor()
    assert about.count("processor") == 1
    assert "flags" in about or "Features" in about


@pytest.mark.parametrize(
    "options", [{"precision": "f16"}, {"tile": 0}, {"tile": -5}, {"threads": 0}], ids=lambda o: str(o)
)
def test_impossible_options(zoo_dir, options):
    with pytest.raises(UsageError, match="Received"):
        Denoiser(**options)


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


# Answers that cannot be true


@pytest.mark.parametrize("precision", ["f32", pytest.param("bf16", marks=needs_bf16)])
@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (models.write_nan, "NaN or infinite"),
        (models.write_constant, "constant plane"),
        (models.write_shifted, "mean moved by"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_answer_that_cannot_be_true_is_refused(tmp_path, write, complaint, precision, dtype):
    denoiser = Denoiser(write(tmp_path / "bad"), precision=precision)
    with pytest.raises(SuspectResultError, match=f"bad: .*{complaint}.* try another"):
        denoiser.denoise(to_dtype(picture(), dtype))


def test_a_constant_image_may_stay_constant(tmp_path):
    denoiser = Denoiser(models.write_constant(tmp_path / "constant", value=0.0))
    assert not denoiser(np.zeros((20, 30, 3), np.uint8)).any()


@needs_bf16
def test_a_bad_answer_in_bf16_is_tried_again_in_f32(zoo_dir, monkeypatch):
    bad = {"bf16"}
    infer = Graph.infer

    def failing(graph: Graph, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = infer(graph, feed)
        return {name: value * np.nan if graph.precision in bad else value for name, value in outputs.items()}

    monkeypatch.setattr(Graph, "infer", failing)
    monkeypatch.setattr(graphs, "prefers_bf16", lambda: True)
    image = to_dtype(picture(), np.uint8)
    result = Denoiser("rgb-leaky").denoise(image)
    assert result.precision == "f32"
    assert np.abs(to_unit(result.pixels) - blurred(image)).max() <= 0.6 / 255
    bad.add("f32")
    with pytest.raises(SuspectResultError):
        Denoiser("rgb-leaky").denoise(image)


# Eight answers


@pytest.mark.parametrize("channels", [1, 3])
def test_best_is_the_mean_over_all_turns_and_mirrors(channels):
    # Not square, and in more than one tile.
    image = picture(208, 152, channels)
    plain = Denoiser("gray-mse", precision="f32")
    answers = []
    for mirrored in (False, True):
        for turns in range(4):
            turned = np.rot90(image[:, ::-1] if mirrored else image, turns)
            answer = np.rot90(plain(np.ascontiguousarray(turned)), -turns)
            answers.append(answer[:, ::-1] if mirrored else answer)
    assert np.ptp(answers, axis=0).max() > 0.02, "the turns differ for this model"
    best = Denoiser("gray-mse", precision="f32", best=True, tile=96)(image)
    # What lies beyond the border is made up before an image is turned, so a few pixels there may differ.
    inside = np.abs(best - np.mean(answers, axis=0))[16:-16, 16:-16]
    assert inside.max() < 0.2 / 255


# Tiles


def random_sizes(seed: int, count: int) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    return [(*rng.integers(1, 420, 2).tolist(), int(rng.integers(1, 300))) for _ in range(count)]


def assert_tiled_is_untiled(card: zoo.ModelCard, image: np.ndarray, tile: int) -> None:
    """At f32, through the engine's own network; sizes that divide and sizes that do not."""
    answer = network.Network(Graph(card, "f32"), card.channels, 1.0, None)
    frame = {"overlap": card.overlap, "multiple": card.size_multiple}
    whole = denoise_tiled(image, answer, tile=10_000, **frame)
    tiled = denoise_tiled(image, answer, tile=tile, **frame)
    assert np.abs(whole - tiled).max() <= 1 / 255


def noisy_photograph(height: int, width: int, channels: int, sigma: float) -> np.ndarray:
    """Soft shapes, hard edges and noise, as a file would store them: in [0, 1] and steps of 1/255."""
    rng = np.random.default_rng(height * width)
    image = picture(height, width, channels, seed=height)
    image[height // 3 : height // 2] *= 0.3
    image[:, width // 2 :: 7] = 0.95
    return (np.rint(255 * (image + rng.normal(0, sigma, image.shape)).clip(0, 1)) / 255).astype(np.float32)


@pytest.mark.parametrize("card", zoo.available(), ids=lambda card: card.name)
def test_every_model_of_the_zoo_is_tiled_without_seams(card):
    for i, (height, width, tile) in enumerate(random_sizes(len(card.name), 6)):
        image = noisy_photograph(height, width, card.channels, sigma=(0.0, 0.06, 0.2)[i % 3])
        assert_tiled_is_untiled(card, image, tile)
    # The sizes above may all be of one tile for a model with a large overlap: these are not.
    side = 6 * card.overlap + 100
    image = noisy_photograph(side, side + 37, card.channels, sigma=0.1)
    assert_tiled_is_untiled(card, image, tile=1)


@pytest.mark.parametrize("write", [models.write_blur, models.write_strided_blur, models.write_identity])
def test_models_of_the_tests_are_tiled_without_seams(tmp_path, write):
    card = zoo.find(write(tmp_path / "model"))
    for height, width, tile in random_sizes(1, 12):
        assert_tiled_is_untiled(card, noisy_photograph(height, width, card.channels, 0.1), tile)


def test_too_small_an_overlap_is_noticed(tmp_path):
    card = zoo.find(models.write_blur(tmp_path / "model", overlap=0))
    # A cut at 0 overlap: the ramp begins at the very edge of a tile, where two pixels are wrong.
    with pytest.raises(AssertionError):
        assert_tiled_is_untiled(card, np.ones((300, 300, 3), np.float32), tile=64)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (7, 9)])
def test_tiny_images(zoo_dir, size):
    image = to_dtype(picture(*size), np.uint8)
    assert np.array_equal(denoise(image, "identity"), image)
    assert denoise(image).shape == image.shape


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
