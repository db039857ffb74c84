"""In which precision a network computes, and answers of it that are not true."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from folderdenoise import Denoiser, graphs, runtime
from folderdenoise.errors import SuspectResultError, UsageError
from folderdenoise.runtime import Graph
from tests import models
from tests.engine_pictures import blurred, needs_bf16, picture, to_dtype, to_unit

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
