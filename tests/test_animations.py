"""Every frame of a moving picture, as it is shown and for as long."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.codecs.containers import chunk

from . import pictures
from .cases import ALPHA, GRAY, RGB, RGB16
from .processed import SHARED, denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

AS_IT_IS = Settings(strength=0.0)
STEPS = [pictures.noisy(np.roll(RGB, 9 * i, axis=1), 12, seed=i) for i in range(4)]


def png_frames(path: Path, frames: list[np.ndarray], **options: Any) -> None:
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, "png", save_all=True, append_images=others, duration=[40, 70, 1000, 20], loop=3, **options)


def as_shown(path: Path) -> list[np.ndarray]:
    """The frames, put together by OpenCV. (Pillow goes wrong where a frame is disposed of to what was before.)"""
    found, animation = cv2.imreadanimation(str(path))
    assert found
    return [frame.astype(int) for frame in animation.frames]


def times(path: Path) -> list[float]:
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            found.append(image.info.get("duration"))
        return found


@pytest.mark.parametrize("hidden", [False, True])
def test_every_frame_of_a_png_animation_is_denoised_and_keeps_its_time(hidden: bool, tmp_path: Path) -> None:
    source = tmp_path / "moving.png"
    png_frames(source, STEPS, default_image=hidden) if not hidden else png_frames(source, [STEPS[0], *STEPS],
                                                                                  default_image=True)  # fmt: skip
    outcome, result = denoised(source)
    assert len(outcome.rows) == len(STEPS) + hidden, outcome.notes
    assert times(result) == times(source)
    with Image.open(source) as before, Image.open(result) as after:
        assert (after.n_frames, after.info["loop"]) == (before.n_frames, 3)
        for index in range(before.n_frames):
            before.seek(index)
            after.seek(index)
            old, new = (np.asarray(image.convert("RGB")).astype(float) for image in (before, after))
            assert np.abs(np.diff(new, axis=1)).mean() < 0.8 * np.abs(np.diff(old, axis=1)).mean()
            assert np.abs(new - old).mean() < 20


@pytest.mark.parametrize("blend", [0, 1])
@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_frames_that_are_stored_as_changes_are_shown_as_they_were(blend: int, disposal: int, tmp_path: Path) -> None:
    """Smaller frames of half transparent colour, laid over each other or in the place of what was there."""
    source = tmp_path / "changes.png"
    rng = np.random.default_rng(1)
    control = [(97, 101, 0, 0), (30, 40, 10, 20), (50, 20, 40, 50), (30, 40, 15, 25)]
    frames = [rng.integers(0, 256, (height, width, 4), np.uint8) for width, height, _, _ in control]
    number, data = 0, b""
    for index, ((width, height, left, top), frame) in enumerate(zip(control, frames, strict=True)):
        fields = (number, width, height, left, top, 1, 10, disposal, blend if index else 0)
        data += chunk(b"fcTL", struct.pack(">IIIIIHHBB", *fields))
        number += 1
        body = packed(frame)
        if index:
            data += chunk(b"fdAT", struct.pack(">I", number) + body)
            number += 1
        else:
            data += chunk(b"IDAT", body)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 97, 101, 8, 6, 0, 0, 0)) + chunk(b"acTL", struct.pack(">II", 4, 0))
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    result = done(source, AS_IT_IS)
    for old, new in zip(as_shown(source), as_shown(result), strict=True):
        visible = old[..., 3] > 32  # of hardly visible colours, rounding leaves nothing to compare
        assert np.abs(old[..., 3] - new[..., 3]).max() <= 3  # OpenCV rounds down, frame by frame
        assert np.abs(old - new)[visible].max() <= 8


def packed(frame: np.ndarray) -> bytes:
    """The pixels as a PNG compresses them, without any filter."""
    rows = frame.astype(frame.dtype.newbyteorder(">")).reshape(len(frame), -1).view(np.uint8)
    return zlib.compress(np.hstack([np.zeros((len(rows), 1), np.uint8), rows]).tobytes())


def test_sixteen_bits_of_a_png_animation_stay(tmp_path: Path) -> None:
    source = tmp_path / "deep.png"
    control = struct.pack(">IIIIHHBB", 101, 97, 0, 0, 1, 10, 0, 0)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 101, 97, 16, 2, 0, 0, 0)), (b"acTL", struct.pack(">II", 2, 0)),
        (b"fcTL", struct.pack(">I", 0) + control), (b"IDAT", packed(RGB16)),
        (b"fcTL", struct.pack(">I", 1) + control), (b"fdAT", struct.pack(">I", 2) + packed(65535 - RGB16)),
        (b"IEND", b""),
    ]  # fmt: skip
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    result = done(source, AS_IT_IS)
    assert result.read_bytes()[24] == 16
    assert len(times(result)) == 2
    stored = cv2.cvtColor(cv2.imread(str(result), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(stored, RGB16)
    np.testing.assert_array_equal(images.read(result).pages[1].pixels, 65535 - RGB16)


@pytest.mark.parametrize("damage", ["order", "count", "cut"])
def test_a_damaged_png_animation_is_a_failure_and_never_its_first_frame(damage: str, tmp_path: Path) -> None:
    source = tmp_path / "moving.png"
    png_frames(source, STEPS)
    data = source.read_bytes()
    second = data.rindex(b"fcTL") - 4
    if damage == "order":
        changed = struct.unpack(">I", data[second + 8 : second + 12])[0] + 1
        body = struct.pack(">I", changed) + data[second + 12 : second + 34]
        data = data[:second] + chunk(b"fcTL", body) + data[second + 38 :]
    elif damage == "count":
        data = data[:second] + data[-12:]
    else:
        data = data[: second + 300] + data[-12:]
    source.write_bytes(data)
    outcome, result = denoised(source)
    assert (outcome.status, result.exists()) == ("failed", False)
    assert "damaged" in outcome.notes


def test_equal_frames_of_a_webp_stay_frames_of_their_own(tmp_path: Path) -> None:
    source = tmp_path / "still.webp"
    frames = []
    for array in (RGB, np.dstack([GRAY] * 3), np.dstack([GRAY] * 3)):
        encoded = io.BytesIO()
        Image.fromarray(array).save(encoded, "webp", lossless=True)
        frames.append(encoded.getvalue())
    # What programs write that do not look for equal frames: each whole.
    header = struct.pack("<I", 2) + struct.pack("<I", 100)[:3] + struct.pack("<I", 96)[:3]
    data = riff(b"VP8X", header) + riff(b"ANIM", bytes([1, 2, 3, 4, 5, 0]))
    for ms, frame in zip((100, 5, 0), frames, strict=True):
        data += riff(b"ANMF", bytes(6) + header[4:] + struct.pack("<I", ms)[:3] + b"\2" + frame[12:])
    source.write_bytes(b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data)
    result = done(source, AS_IT_IS)
    assert times(result) == times(source) == [100, 5, 0]
    with Image.open(result) as image:
        assert (image.info["loop"], image.info["background"]) == (5, (3, 2, 1, 4))
        image.seek(2)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.dstack([GRAY] * 3))


def riff(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def test_a_webp_animation_keeps_transparency_profile_and_exif(tmp_path: Path) -> None:
    source = tmp_path / "moving.webp"
    first, *others = (Image.fromarray(np.dstack([step, ALPHA])) for step in STEPS)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    first.save(source, save_all=True, append_images=others, duration=50, lossless=True, exact=True, exif=exif,
               icc_profile=b"a profile", xmp=b"<x/>")  # fmt: skip
    with Image.open(done(source)) as after:
        assert after.getexif()[0x010F] == "Maker"
        assert (after.info["icc_profile"], after.info["xmp"]) == (b"a profile", b"<x/>")
        for index in range(4):
            after.seek(index)
            np.testing.assert_array_equal(np.asarray(after)[..., 3], ALPHA)


@pytest.mark.parametrize(
    "pixels", [RGB, GRAY, np.dstack([RGB, ALPHA]), STEPS[0]], ids=["rgb", "gray", "alpha", "noise"]
)
@pytest.mark.parametrize("quality", [20, 50, 75, 80, 95, 100])
def test_a_lossy_webp_is_stored_with_the_quality_that_it_had(quality: int, pixels: np.ndarray, tmp_path: Path) -> None:
    source, moving = tmp_path / "a.webp", tmp_path / "moving.webp"
    Image.fromarray(pixels).save(source, quality=quality)
    outcome, result = denoised(source)
    assert (outcome.status, outcome.notes) == ("done", "")
    for path in (source, result):
        assert abs((images.read(path).encoding.quality or 0) - quality) <= 2
    Image.fromarray(pixels).save(
        moving, save_all=True, append_images=[Image.fromarray(255 - pixels)], duration=50, quality=quality
    )
    assert abs((images.read(moving).encoding.quality or 0) - quality) <= 2


def test_the_comment_of_a_gif_stays(tmp_path: Path) -> None:
    source = tmp_path / "made.gif"
    first, *others = (Image.fromarray(step) for step in STEPS)
    first.save(source, save_all=True, append_images=others, comment="made by hand")
    with Image.open(done(source)) as after:
        assert after.info["comment"] == b"made by hand"
        assert after.n_frames == 4


@pytest.mark.parametrize(("count", "loop"), [(1, None), (2, None), (2, 0), (2, 3)])
def test_a_gif_is_shown_as_often_as_it_said(count: int, loop: int | None, tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    first, *others = [Image.fromarray(pictures.scene(40, 60, seed=seed)) for seed in range(count)]
    first.save(
        source, "gif", save_all=True, append_images=others, duration=50, **({} if loop is None else {"loop": loop})
    )
    result = done(source)
    with Image.open(result) as image:
        assert (image.n_frames, image.info.get("loop")) == (count, loop)
    assert (b"NETSCAPE" in result.read_bytes()) == (loop is not None)


def test_a_gif_without_its_closing_mark_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    first, *others = (Image.fromarray(step) for step in STEPS)
    first.save(source, save_all=True, append_images=others)
    source.write_bytes(source.read_bytes().removesuffix(b";"))
    assert len(denoised(source)[0].rows) == 4


@pytest.mark.parametrize(
    ("name", "target"), [("a.gif", "png"), ("a.png", "webp"), ("a.webp", "png"), ("a.png", "tiff")]
)
def test_animations_as_another_format(name: str, target: str, tmp_path: Path) -> None:
    source = tmp_path / name
    first, *others = (Image.fromarray(step) for step in STEPS)
    first.save(source, save_all=True, append_images=others, duration=120)
    outcome, result = denoised(source, Settings(format=target), "result")
    assert outcome.status == "done", outcome.notes
    with Image.open(result) as after:
        assert after.n_frames == 4
    assert "256" not in outcome.notes, "said of a GIF that is no longer one"
    if target == "tiff":
        assert "timing of its frames was dropped" in outcome.notes
    else:
        assert set(times(result)) == {120}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of odd files is not here")
@pytest.mark.parametrize("name", ["pillow/iss634.apng", "pillow/split_fdat.png", "pillow/blend_op_over.png"])
def test_real_png_animations_are_shown_as_they_were(name: str, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes((SHARED / name).read_bytes())
    result = done(source, AS_IT_IS)
    assert times(result) == times(source)
    for old, new in zip(as_shown(source), as_shown(result), strict=True):
        assert np.array_equal(old, new)
