"""Tiled equals untiled, for any size, and every pixel is counted once."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folderdenoise.tiles import DEFAULT_CORE, RAMP, denoise_tiled, layout

DTYPES = [np.uint8, np.uint16, np.float32]


class ConvolutionNet:
    """Convolution, step, convolution with zero padding: what is near a cut is wrong to a depth of 6 pixels.

    Every second pixel has another filter, as in a network with strides: tiles must begin at even pixels.
    """

    receptive_field = 13
    overlap = 6
    multiple = 2

    def __init__(self, channels: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.kernels = rng.normal(0, 0.3, (3, channels, 7, 7)).astype(np.float32)
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        assert tile.dtype == np.float32
        assert tile.shape[0] == 1
        assert tile.shape[1] % self.multiple == 0
        assert tile.shape[2] % self.multiple == 0
        self.shapes.add(tile.shape)
        planes = [self._plane(plane, i) for i, plane in enumerate(np.moveaxis(tile[0], 2, 0))]
        return np.stack(planes, axis=2)[np.newaxis]

    def _plane(self, plane: np.ndarray, i: int) -> np.ndarray:
        hidden = np.tanh(self._convolve(plane, self.kernels[0, i]))
        odd = np.tanh(self._convolve(plane, self.kernels[1, i]))
        hidden[::2, 1::2] = odd[::2, 1::2]
        return plane + 0.2 * np.tanh(self._convolve(hidden, self.kernels[2, i]))

    @staticmethod
    def _convolve(plane: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return cv2.filter2D(np.ascontiguousarray(plane), cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)


def random_image(seed: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    unit = np.random.default_rng(seed).random(shape)
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    return (unit * white).astype(dtype)


def untiled(image: np.ndarray, network: ConvolutionNet) -> np.ndarray:
    """The network on the whole image at once, in float, padded by numpy's reflection."""
    height, width = image.shape[:2]
    white = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    bottom, right = -height % network.multiple, -width % network.multiple
    padded = np.pad(image / np.float32(white), ((0, bottom), (0, right), (0, 0)), "reflect")
    return network(padded.astype(np.float32)[np.newaxis])[0, :height, :width]


def as_float(image: np.ndarray) -> np.ndarray:
    return image / (np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    tile=st.integers(1, 160),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 10**6),
)
def test_tiled_equals_untiled(height, width, tile, channels, dtype, seed):
    network = ConvolutionNet(channels)
    image = random_image(seed, (height, width, channels), dtype)
    before = image.copy()

    result = denoise_tiled(image, network, tile=tile, overlap=network.overlap, multiple=network.multiple)

    assert result.shape == image.shape
    assert result.dtype == image.dtype
    assert np.array_equal(image, before)
    assert len(network.shapes) == 1, "tiles of one image have one shape"
    whole = untiled(image, network)
    expected = whole if dtype == np.float32 else whole.clip(0, 1)
    rounding = 0 if dtype == np.float32 else 0.5 / np.iinfo(dtype).max
    assert np.abs(as_float(result) - expected).max() <= rounding + 1e-5


@pytest.mark.parametrize("overlap", [0, 2])
def test_too_small_an_overlap_shows(overlap):
    # Without this, the test above might pass because it cannot see a seam.
    network = ConvolutionNet(1)
    image = random_image(0, (150, 170, 1), np.float32)
    result = denoise_tiled(image, network, tile=70, overlap=overlap, multiple=network.multiple)
    assert np.abs(result - untiled(image, network)).max() > 2 / 255


@settings(deadline=None, max_examples=300)
@given(
    length=st.integers(1, 5000),
    tile=st.one_of(st.none(), st.integers(1, 1500)),
    overlap=st.integers(0, 90),
    multiple=st.sampled_from([1, 2, 4, 8, 16, 32]),
)
def test_layout_counts_every_pixel_once_and_none_near_a_cut(length, tile, overlap, multiple):
    size, spans = layout(length, tile, overlap, multiple)

    total = np.zeros(length)
    tiles_at = np.zeros(length, int)
    for span in spans:
        assert span.weights.shape == (span.stop - span.start,)
        assert span.origin % multiple == 0
        total[span.start : span.stop] += span.weights
        tiles_at[span.start : span.stop] += 1
        assert span.start - span.origin >= (overlap if span is not spans[0] else 0)
        assert span.origin + size - span.stop >= (overlap if span is not spans[-1] else 0)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert tiles_at.max() <= 2
    assert size % multiple == 0
    assert spans[0].origin == 0
    assert spans[-1].origin + size == -(-length // multiple) * multiple
    smallest = 2 * overlap + 3 * RAMP + 5 * multiple
    limit = max(tile, smallest) if tile else DEFAULT_CORE + smallest
    assert size < limit + multiple


def test_an_image_smaller_than_a_tile_is_not_padded_to_one():
    assert layout(100, 1000, 32, 8)[0] == 104
    assert layout(1, None, 32, 8)[0] == 8


def test_overlap_wastes_under_15_percent_of_a_12_megapixel_photograph():
    down, rows = layout(3000, None, 32, 8)
    across, columns = layout(4000, None, 32, 8)
    assert down * len(rows) * across * len(columns) < 1.15 * 3000 * 4000


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 400, 1), (400, 1, 3), (2, 3, 1), (5, 300, 3)])
def test_thin_images(shape, dtype):
    # More padding than there is image: 1 becomes 8, 2 becomes 8, ...
    image = random_image(3, shape, dtype)
    result = denoise_tiled(image, lambda tile: tile, tile=100, overlap=6, multiple=8)
    np.testing.assert_allclose(result, image, rtol=1e-6)  # exact for integers
    assert result.dtype == dtype


def test_integers_are_rounded_to_nearest_and_clipped():
    image = np.array([[[0], [100], [200], [255]]], np.uint8)
    brighter = denoise_tiled(image, lambda tile: tile + np.float32(0.6 / 255), overlap=0)
    assert brighter.ravel().tolist() == [1, 101, 201, 255]
    darker = denoise_tiled(image, lambda tile: tile - np.float32(0.4 / 255), overlap=0)
    assert darker.ravel().tolist() == [0, 100, 200, 255]
    deep = np.array([[[0], [1], [65534], [65535]]], np.uint16)
    assert np.array_equal(denoise_tiled(deep, lambda tile: tile, overlap=0), deep)


def test_floats_outside_0_to_1_are_kept():
    image = np.array([[[-0.5], [0.25], [7.5]]], np.float32)
    assert np.array_equal(denoise_tiled(image, lambda tile: tile, overlap=0), image)


def test_a_view_with_strides_and_foreign_byte_order():
    image = random_image(5, (90, 80, 3), np.uint16).astype(">u2")[::-2, ::2, ::-1]
    result = denoise_tiled(image, lambda tile: tile, tile=64, overlap=0)
    assert np.array_equal(result, image)


def test_memory_is_a_few_tiles_and_one_row_of_them():
    image = np.zeros((6000, 2000, 1), np.uint8)
    denoise_tiled(image[:10], lambda tile: tile, tile=128, overlap=8)
    tracemalloc.start()
    denoise_tiled(image, lambda tile: tile, tile=128, overlap=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    row_of_tiles = 128 * 2000 + 3 * RAMP * 2000 * 4
    assert peak < image.nbytes + row_of_tiles + 8 * (128 * 128 * 4), "a float copy would be 48 MB"


def test_a_network_may_reuse_its_output_buffer(rng):
    buffer = np.empty((1, 200, 200, 1), np.float32)

    def reusing(tile: np.ndarray) -> np.ndarray:
        view = buffer[:, : tile.shape[1], : tile.shape[2]]
        view[...] = tile
        return view

    image = rng.random((500, 300, 1)).astype(np.float32)
    np.testing.assert_allclose(denoise_tiled(image, reusing, tile=100, overlap=4), image, atol=1e-6)
