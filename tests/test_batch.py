"""Files in, files out: what is published, what a row says, and what a bad file does to the others."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from folderdenoise import evidence, pages
from folderdenoise.batch import Outcome, Settings, process_file, run_batch
from folderdenoise.engine import Denoiser
from folderdenoise.errors import AbandonedError, ModelError, OutputError
from folderdenoise.folder import Task
from folderdenoise.publish import Gate

from . import models, pictures


def _task(tmp_path: Path, name: str = "a.png", reference: Path | None = None) -> Task:
    (tmp_path / "out").mkdir(exist_ok=True)
    return Task(tmp_path / "in" / name, name, tmp_path / "out" / name, reference)


@pytest.mark.usefixtures("zoo_dir")
def test_the_result_is_what_the_model_makes_of_the_pixels(tmp_path: Path) -> None:
    image = pictures.noisy(pictures.scene(), 20)
    task = _task(tmp_path)
    pictures.save(task.source, image)
    outcome = process_file(task, Denoiser(precision="f32"), Settings())
    assert outcome.status == "done"
    assert np.array_equal(pictures.load(task.output), Denoiser("rgb-leaky", precision="f32")(image))
    row = outcome.rows[0]
    assert (row.file, row.page, row.width, row.height, row.channels) == ("a.png", 1, 64, 48, 3)
    assert (row.bit_depth, row.model, row.strength) == (8, "rgb-leaky", 1.0)
    assert row.source_bytes == task.source.stat().st_size
    assert row.source_mtime_ns == task.source.stat().st_mtime_ns
    assert row.source_sha256 == hashlib.sha256(task.source.read_bytes()).hexdigest()
    assert row.noise_before == pytest.approx(20, rel=0.2)
    assert row.noise_after is not None
    assert row.noise_after < row.noise_before / 2


@pytest.mark.usefixtures("zoo_dir")
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_row_has_the_evidence_and_if_asked_the_estimate(tmp_path: Path, mode: str, strength: float) -> None:
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    image = pictures.noisy(pictures.scene(192, 256, channels), 20)
    task = _task(tmp_path, "a.tif")
    task.source.parent.mkdir()
    Image.frombytes(mode, (256, 192), image.tobytes()).save(task.source)
    row = process_file(task, Denoiser(precision="f32"), Settings(strength=strength)).rows[0]
    assert row.flat_noise_before == pytest.approx(20, rel=0.1)
    assert row.flat_noise_after is not None
    assert row.flat_noise_after < row.flat_noise_before * (0.7 if strength < 1 else 0.4)
    image, result = (pixels.reshape(192, 256, channels) for pixels in (image, pictures.load(task.output)))
    assert row.structure_removed == pytest.approx(evidence.residual_structure(image, result))
    assert row.estimated_psnr_gain is None
    row = process_file(task, Denoiser(precision="f32"), Settings(strength=strength, estimate=True)).rows[0]

    def denoise(pixels: np.ndarray, strength: float) -> np.ndarray:
        # At the edge the inks, which are denoised as light, see another zero.
        edge = float(channels == 4)
        means = cv2.blur(pixels - edge, (5, 5), borderType=cv2.BORDER_CONSTANT).reshape(pixels.shape) + edge
        return pixels + strength * (means - pixels)

    assert row.estimated_psnr_gain == pytest.approx(evidence.estimated_gain(image, denoise, strength), abs=0.01)


def test_the_estimate_does_not_depend_on_upper_bits_that_are_empty(tmp_path: Path) -> None:
    noisy = pictures.noisy(pictures.scene(192, 192), 20) / 255
    gains = []
    for index, white in enumerate((65535, 1023)):
        task = _task(tmp_path, f"{index}.tif")
        task.source.parent.mkdir(exist_ok=True)
        tifffile.imwrite(task.source, np.rint(noisy * white).astype(np.uint16), photometric="rgb")
        row = process_file(task, Denoiser("rgb-leaky", precision="f32", threads=1), Settings(estimate=True)).rows[0]
        gains.append(row.estimated_psnr_gain)
    assert gains[0] > 10
    assert gains[1] == pytest.approx(gains[0], abs=0.2)


@pytest.mark.usefixtures("zoo_dir")
def test_a_page_without_shades_has_no_evidence(tmp_path: Path) -> None:
    task = _task(tmp_path, "a.tif")
    task.source.parent.mkdir()
    Image.fromarray(pictures.scene(192, 256, 1) > 128).save(task.source)
    row = process_file(task, Denoiser(), Settings(estimate=True)).rows[0]
    assert row.status == "done"
    assert (row.flat_noise_before, row.structure_removed, row.estimated_psnr_gain) == (None, None, None)


@pytest.mark.usefixtures("zoo_dir")
def test_every_page_of_a_file_is_denoised_and_has_a_row(tmp_path: Path) -> None:
    task = _task(tmp_path, "book.tif")
    task.source.parent.mkdir()
    pages = [Image.fromarray(pictures.noisy(pictures.scene(channels=1, seed=seed), 20)) for seed in range(3)]
    pages[0].save(task.source, save_all=True, append_images=pages[1:])
    outcome = process_file(task, Denoiser(), Settings())
    assert [(row.page, row.model) for row in outcome.rows] == [(1, "gray-leaky"), (2, "gray-leaky"), (3, "gray-leaky")]
    with Image.open(task.output) as written:
        assert written.n_frames == 3
        for index, page in enumerate(pages):
            written.seek(index)
            assert np.asarray(written).std() < np.asarray(page).std()


@pytest.mark.usefixtures("zoo_dir")
def test_alpha_is_neither_denoised_nor_lost(tmp_path: Path) -> None:
    task = _task(tmp_path)
    image = np.dstack([pictures.noisy(pictures.scene(), 20), np.random.default_rng(3).integers(0, 256, (48, 64))])
    pictures.save(task.source, image.astype(np.uint8))
    assert process_file(task, Denoiser(), Settings()).status == "done"
    assert np.array_equal(pictures.load(task.output)[..., 3], image[..., 3])


@pytest.mark.usefixtures("zoo_dir")
def test_scores_against_a_reference_are_those_of_an_independent_computation(tmp_path: Path) -> None:
    clean = pictures.scene(height=64)
    reference = pictures.save(tmp_path / "clean" / "a.png", clean)
    task = _task(tmp_path, reference=reference)
    noisy = pictures.noisy(clean, 25)
    pictures.save(task.source, noisy)
    row = process_file(task, Denoiser(), Settings()).rows[0]
    before = np.mean((noisy / 255 - clean / 255) ** 2)
    after = np.mean((pictures.load(task.output) / 255 - clean / 255) ** 2)
    assert row.mse == pytest.approx(after)
    assert row.psnr == pytest.approx(10 * np.log10(1 / after))
    assert row.psnr_gain == pytest.approx(10 * np.log10(before / after))
    assert row.mae == pytest.approx(np.abs(pictures.load(task.output) / 255 - clean / 255).mean())
    assert row.ssim is not None
    assert row.ssim_gain is not None
    assert 0 < row.ssim_gain < row.ssim < 1


@pytest.mark.usefixtures("zoo_dir")
def test_pages_that_the_reference_lacks_are_noted(tmp_path: Path) -> None:
    task = _task(tmp_path, "a.tif", reference=tmp_path / "clean.tif")
    task.source.parent.mkdir()
    page = Image.fromarray(pictures.scene())
    page.save(task.source, save_all=True, append_images=[page])
    page.save(tmp_path / "clean.tif")
    outcome = process_file(task, Denoiser(), Settings())
    assert [row.psnr is None for row in outcome.rows] == [False, True]
    assert "the reference has 1 pages, this file 2" in outcome.notes


@pytest.mark.usefixtures("zoo_dir")
@pytest.mark.parametrize("fault", ["missing", "corrupt", "size"])
def test_a_bad_reference_is_noted_and_the_file_done_all_the_same(tmp_path: Path, fault: str) -> None:
    reference = tmp_path / "clean" / "a.png"
    pictures.save(reference, pictures.scene(height=20))
    if fault == "missing":
        reference.unlink()
    elif fault == "corrupt":
        reference.write_bytes(reference.read_bytes()[:100])
    task = _task(tmp_path, reference=reference)
    pictures.save(task.source, pictures.scene())
    outcome = process_file(task, Denoiser(), Settings())
    assert outcome.status == "done"
    assert task.output.exists()
    assert outcome.rows[0].psnr is None
    assert ("not compared" if fault == "size" else "no reference") in outcome.notes


BAD_FILES = {
    "empty.png": b"",
    "text.png": b"this is no image\n" * 20,
    "zeros.tif": bytes(5000),
    "raw.cr2": b"II*\0 some camera data",
}


@pytest.mark.usefixtures("zoo_dir")
@pytest.mark.parametrize("name", [*BAD_FILES, "cut.jpg", "cut.png", "cut.tif", "gone.png"])
def test_a_bad_file_is_a_failed_row_that_names_it_and_publishes_nothing(tmp_path: Path, name: str) -> None:
    task = _task(tmp_path, name)
    if name.startswith("cut"):
        pictures.save(task.source, pictures.noisy(pictures.scene(), 20))
        data = task.source.read_bytes()
        task.source.write_bytes(data[: len(data) * 2 // 3])
    elif name != "gone.png":
        task.source.parent.mkdir(exist_ok=True)
        task.source.write_bytes(BAD_FILES[name])
    outcome = process_file(task, Denoiser(), Settings())
    assert outcome.status == "failed"
    assert len(outcome.rows) == 1
    assert name in outcome.notes
    assert len(outcome.notes) > len(str(task.source)) + 15
    assert not list((tmp_path / "out").iterdir())


def test_a_result_that_cannot_be_right_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.write_constant(tmp_path / "zoo" / "constant")
    task = _task(tmp_path)
    pictures.save(task.source, pictures.scene())
    outcome = process_file(task, Denoiser(tmp_path / "zoo" / "constant"), Settings())
    assert outcome.status == "failed"
    assert str(task.source) in outcome.notes
    assert "constant" in outcome.notes
    assert not task.output.exists()


@pytest.mark.usefixtures("zoo_dir")
def test_a_file_that_changes_while_it_is_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = _task(tmp_path)
    pictures.save(task.source, pictures.scene())
    read = pages.images.read

    def read_while_growing(path: Path, **options: Any) -> object:
        file = read(path, **options)
        with path.open("ab") as more:
            more.write(b"more")
        return file

    monkeypatch.setattr(pages.images, "read", read_while_growing)
    outcome = process_file(task, Denoiser(), Settings())
    assert outcome.status == "failed"
    assert "changed while it was read" in outcome.notes
    assert not task.output.exists()


@pytest.mark.usefixtures("zoo_dir")
def test_a_file_that_is_being_stored_when_its_run_ends_is_abandoned_and_did_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task(tmp_path)
    pictures.save(task.source, pictures.scene())
    gate = Gate()
    verify = pages.images.verify

    def verify_too_late(*given: Any) -> object:
        gate.close()
        return verify(*given)

    monkeypatch.setattr(pages.images, "verify", verify_too_late)
    with gate.enter(), pytest.raises(AbandonedError, match=r"a\.png: abandoned"):
        process_file(task, Denoiser(), Settings())
    assert list(task.out.iterdir()) == []


@pytest.mark.usefixtures("zoo_dir")
def test_a_source_that_is_gone_by_the_time_its_result_is_stored_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the time of the result that of the original as it was read counts; one to be copied is a failed row."""
    shades, bilevel = _task(tmp_path), _task(tmp_path, "b.tif")
    pictures.save(shades.source, pictures.scene())
    Image.fromarray(pictures.scene(192, 256, 1) > 128).save(bilevel.source)
    stamp = shades.source.stat().st_mtime_ns
    published = pages.published

    def remove_first(output: Path, below: Path) -> object:
        (tmp_path / "in" / output.name).unlink()
        return published(output, below)

    monkeypatch.setattr(pages, "published", remove_first)
    outcomes = [process_file(task, Denoiser(), Settings(keep_times=True)) for task in (shades, bilevel)]
    assert [outcome.status for outcome in outcomes] == ["done", "failed"]
    assert shades.output.stat().st_mtime_ns == stamp
    assert f"{bilevel.source}: cannot be opened" in outcomes[1].notes
    assert [path.name for path in shades.out.iterdir()] == ["a.png"]


@pytest.mark.usefixtures("zoo_dir")
def test_the_original_stays_as_it_is(tmp_path: Path) -> None:
    task = _task(tmp_path, "a.jpg")
    pictures.save(task.source, pictures.noisy(pictures.scene(), 20))
    before = task.source.read_bytes(), task.source.stat().st_mtime_ns
    process_file(task, Denoiser(), Settings())
    assert (task.source.read_bytes(), task.source.stat().st_mtime_ns) == before


@pytest.mark.usefixtures("zoo_dir")
def test_strength_zero_gives_the_same_pixels(tmp_path: Path) -> None:
    task = _task(tmp_path)
    image = pictures.noisy(pictures.scene(), 20)
    pictures.save(task.source, image)
    process_file(task, Denoiser(), Settings(strength=0.0))
    assert np.array_equal(pictures.load(task.output), image)


@pytest.mark.usefixtures("zoo_dir")
def test_a_fault_of_ours_is_a_failed_row_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = _task(tmp_path)
    pictures.save(task.source, pictures.scene())
    monkeypatch.setattr(pages.quality, "noise_level", lambda pixels, whole: 1 // 0)
    outcome = process_file(task, Denoiser(), Settings())
    assert outcome.status == "failed"
    assert "ZeroDivisionError" in outcome.notes


class TestRunBatch:
    @pytest.fixture
    def tasks(self, tmp_path: Path, zoo_dir: Path) -> list[Task]:
        names = [f"{index}.png" for index in range(6)]
        for name in names:
            pictures.save(tmp_path / "in" / name, pictures.noisy(pictures.scene(), 20))
        return [_task(tmp_path, name) for name in names]

    def test_all_files_are_done_once_and_reported_in_the_calling_thread(self, tasks: list[Task]) -> None:
        seen: list[Outcome] = []
        threads = set()

        def listen(outcome: Outcome) -> None:
            seen.append(outcome)
            threads.add(threading.get_ident())

        run_batch(tasks, Denoiser(), Settings(), listen, jobs=3)
        assert sorted(outcome.task.relative for outcome in seen) == [task.relative for task in tasks]
        assert {outcome.status for outcome in seen} == {"done"}
        assert threads == {threading.get_ident()}

    def test_one_bad_file_does_not_stop_the_others(self, tasks: list[Task]) -> None:
        tasks[2].source.write_bytes(b"junk")
        seen: dict[str, str] = {}
        run_batch(tasks, Denoiser(), Settings(), lambda o: seen.update({o.task.relative: o.status}), jobs=2)
        assert seen == {task.relative: "failed" if index == 2 else "done" for index, task in enumerate(tasks)}

    def test_a_stop_finishes_what_is_under_way_and_starts_nothing_more(self, tasks: list[Task]) -> None:
        stop = threading.Event()
        seen: list[Outcome] = []

        def listen(outcome: Outcome) -> None:
            seen.append(outcome)
            stop.set()

        run_batch(tasks, Denoiser(), Settings(), listen, jobs=1, stop=stop)
        assert 1 <= len(seen) < len(tasks)
        assert sorted(o.task.output for o in seen) == sorted(t.output for t in tasks if t.output.exists())

    def test_an_unwritable_output_ends_the_run_after_delivering_what_is_done(
        self, tasks: list[Task], tmp_path: Path
    ) -> None:
        (tmp_path / "blocked").write_bytes(b"a file where a folder should be")
        tasks[3] = replace(tasks[3], output=tmp_path / "blocked" / "3.png")
        seen: list[str] = []
        with pytest.raises(OutputError, match="blocked"):
            run_batch(tasks, Denoiser(), Settings(), lambda o: seen.append(o.task.relative), jobs=1)
        assert seen[:3] == ["0.png", "1.png", "2.png"]
        assert {path.name for path in (tmp_path / "out").iterdir()} == set(seen)

    def test_a_damaged_model_ends_the_run(self, tasks: list[Task], zoo_dir: Path) -> None:
        graph = zoo_dir / "rgb-leaky" / "model.onnx"
        graph.write_bytes(graph.read_bytes() + b"x")
        with pytest.raises(ModelError, match=r"model\.onnx"):
            run_batch(tasks, Denoiser(), Settings(), lambda outcome: None, jobs=2)

    def test_only_a_few_tasks_are_drawn_ahead(self, tasks: list[Task]) -> None:
        drawn = 0
        lead = []

        def counted() -> object:
            nonlocal drawn
            for task in tasks:
                drawn += 1
                yield task

        done = 0

        def listen(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            lead.append(drawn - done)

        run_batch(counted(), Denoiser(), Settings(), listen, jobs=2)  # type: ignore[arg-type]
        assert max(lead) <= 3
