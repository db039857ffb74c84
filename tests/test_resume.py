"""Running the same command again: what is done again, and what is not."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from folderdenoise import job
from folderdenoise.errors import UsageError
from folderdenoise.folder import Selection
from folderdenoise.ledger import read_records
from folderdenoise.order import Order
from folderdenoise.table import COLUMNS, read

from . import models, pictures
from .running import Heard, again


def test_print_colours_are_not_done_twice(order: Order) -> None:
    image = pictures.scene(channels=3)
    Image.fromarray(image).convert("CMYK").save(order.source / "print.tif")
    assert again(order).files == {"print.tif": "done"}
    assert again(order).files == {}


def test_a_folder_that_can_be_listed_again_has_no_failed_row_any_more(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures.save(order.source / "=box" / "c.png", pictures.scene())
    pictures.save(order.source / "gone" / "d.png", pictures.scene())
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name in ("=box", "gone"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        assert again(order).files == {"=box": "failed", "gone": "failed"}
    shutil.rmtree(order.source / "gone")
    assert again(order).files == {"=box/c.png": "done"}
    assert {row["file"] for row in read(order.out / "metrics.csv") if row["status"] == "failed"} == {"bad.png", "gone"}


def test_nothing_is_done_twice(order: Order) -> None:
    heard = again(order)
    assert heard.files == {}
    assert "already done" in heard.reasons["a.png"]
    assert again(order, Selection(overwrite=True)).files == {"a.png": "done", "b.png": "done", "gray.png": "done"}


def test_a_missing_result_is_made_again(order: Order) -> None:
    (order.out / "a.png").unlink()
    assert again(order).files == {"a.png": "done"}


def test_a_changed_source_is_done_again_whatever_gives_it_away(order: Order) -> None:
    source = order.source / "a.png"
    before = source.stat()
    data = source.read_bytes()
    pictures.save(source, pictures.noisy(pictures.scene(), 25))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_size != before.st_size
    assert again(order).files == {"a.png": "done"}, "size"
    source.write_bytes(data[:-12] + bytes([data[-12] ^ 1]) + data[-11:])
    again(order)
    source.write_bytes(data)
    assert again(order).files == {"a.png": "done"}, "same size, another time and content"


def test_a_source_that_was_only_touched_is_read_once_and_not_done_again(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(order.source / "a.png", ns=(1, 1))
    assert again(order).files == {}
    assert {row["file"]: row["source_mtime_ns"] for row in read(order.out / "metrics.csv")}["a.png"] == "1"
    monkeypatch.setattr("folderdenoise.resume.sha256_of", lambda path: pytest.fail(f"{path} is hashed again"))
    assert again(order).files == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"strength": 0.5}, {"a.png", "b.png", "gray.png"}),
        ({"model": "identity"}, {"a.png", "b.png", "gray.png"}),
        ({"precision": "auto"}, {"a.png", "b.png", "gray.png"}),
        ({"best": True}, {"a.png", "b.png", "gray.png"}),
        ({"tile": 64, "jobs": 1, "max_megapixels": 5.0, "estimate": True}, set()),
    ],
)
def test_settings_that_change_pixels_do_all_again_and_others_nothing(
    order: Order, change: dict[str, object], expected: set[str]
) -> None:
    changed = replace(order, **change)  # type: ignore[arg-type]
    assert set(again(changed).files) == expected
    assert again(changed).files == {}


def test_the_estimate_is_had_for_files_that_are_done_by_doing_them_again(order: Order) -> None:
    asking = replace(order, estimate=True)
    assert again(asking).files == {}
    assert {row["estimated_psnr_gain"] for row in read(order.out / "metrics.csv")} == {""}
    again(asking, Selection(overwrite=True))
    done = [row for row in read(order.out / "metrics.csv") if row["status"] == "done"]
    assert all(0 <= float(row["estimated_psnr_gain"]) < 20 for row in done)


def test_a_table_from_before_the_evidence_is_continued(order: Order) -> None:
    table = order.out / "metrics.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    before = rows[0].index("flat_noise_before")
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(row[:before] for row in rows)
    assert again(order).files == {}
    assert table.read_text("utf-8").splitlines()[0] == ",".join(COLUMNS)
    pictures.save(order.source / "new.png", pictures.noisy(pictures.scene(128, 128), 20))
    assert again(order).files == {"new.png": "done"}
    noise = {row["file"]: row["flat_noise_before"] for row in read(table)}
    assert float(noise.pop("new.png")) == pytest.approx(20, rel=0.2)
    assert set(noise.values()) == {""}
    assert {name: row.status for name, row in read_records(table).items()}["bad.png"] == "failed"


def test_a_new_model_of_the_same_name_does_its_files_again(order: Order, zoo_dir: Path) -> None:
    models.write_identity(zoo_dir / "gray-leaky", channels=1)
    assert again(order).files == {"gray.png": "done"}


def test_failed_files_are_tried_again_and_alone_if_asked(order: Order) -> None:
    bad = order.source / "bad.png"
    bad.write_bytes(b"still bad")
    (order.out / "a.png").unlink()
    pictures.save(order.source / "new.png", pictures.scene())
    assert again(order, Selection(retry_failed=True)).files == {"bad.png": "failed"}
    pictures.save(bad, pictures.scene())
    assert again(order, Selection(retry_failed=True)).files == {"bad.png": "done"}
    assert again(order, Selection(retry_failed=True)).files == {}
    assert again(order).files == {"a.png": "done", "new.png": "done"}


def test_a_result_without_a_row_as_a_crash_leaves_it_is_made_again(order: Order) -> None:
    table = order.out / "metrics.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if not line.startswith("b.png,")))
    assert again(order).files == {"b.png": "done"}


def test_what_a_killed_run_left_is_removed_but_not_what_belongs_to_another(order: Order) -> None:
    (order.out / "sub").mkdir()
    left, scratch = (order.out / "sub" / f".{name}.folderdenoise-part" for name in ("0123456789abcdef", "x1_abcde"))
    left.write_bytes(b"half")
    scratch.touch()
    other = order.out / "another run"
    shutil.copytree(order.out, other)
    own = order.out / "note.folderdenoise-part"
    own.write_bytes(b"somebody's")
    job.run(order, Selection(), Heard())
    assert not left.exists()
    assert not scratch.exists()
    assert (other / "sub" / left.name).exists()
    assert own.exists()


def test_files_that_are_no_results_of_ours_are_not_replaced(order: Order) -> None:
    for path in order.out.iterdir():
        path.unlink()
    (order.out / "a.png").write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"a\.png.*--overwrite"):
            job.run(order, Selection(), Heard())
        assert (order.out / "a.png").read_bytes() == b"mine"
        assert [path.name for path in order.out.iterdir()] == ["a.png"]
    assert again(order, Selection(overwrite=True)).files == {"a.png": "done", "b.png": "done", "gray.png": "done"}


class TestTwoInputsIntoOneFolder:
    @pytest.fixture
    def other(self, order: Order, tmp_path: Path) -> Order:
        """Another folder with a picture of the same name, and one of its own."""
        pictures.save(tmp_path / "other" / "a.png", pictures.noisy(pictures.scene(seed=9), 20))
        pictures.save(tmp_path / "other" / "z.png", pictures.noisy(pictures.scene(seed=8), 20))
        return replace(order, source=tmp_path / "other")

    def test_the_second_is_refused_where_it_would_replace_a_result_of_the_first(
        self, order: Order, other: Order
    ) -> None:
        before = {path: path.read_bytes() for path in order.out.iterdir()}
        with pytest.raises(UsageError, match=r"a\.png: is the result of another a\.png.*--out.*--overwrite") as caught:
            again(other)
        assert str(order.source) in str(caught.value)
        assert {path: path.read_bytes() for path in order.out.iterdir()} == before
        assert again(other, Selection(overwrite=True)).files == {"a.png": "done", "z.png": "done"}
        with pytest.raises(UsageError, match="another"):
            again(order)

    def test_one_file_alone_is_another_input(self, order: Order, other: Order) -> None:
        with pytest.raises(UsageError, match="another"):
            again(replace(other, source=other.source / "a.png"))

    def test_other_names_are_no_trouble_and_each_is_resumed(self, order: Order, other: Order) -> None:
        assert again(other, Selection(exclude=["a.png"])).files == {"z.png": "done"}
        assert again(order).files == {}
        assert again(other, Selection(exclude=["a.png"])).files == {}

    def test_a_folder_that_was_moved_is_not_another(self, order: Order, tmp_path: Path) -> None:
        moved = replace(order, source=order.source.rename(tmp_path / "moved"))
        assert again(moved).files == {}
        assert set(again(replace(moved, strength=0.5)).files) == {"a.png", "b.png", "gray.png"}
        pictures.save(moved.source / "a.png", pictures.scene(seed=4))
        assert again(replace(moved, strength=0.5)).files == {"a.png": "done"}, "its rows know the new place"


@pytest.mark.usefixtures("zoo_dir")
class TestResultsOfOtherNames:
    """The first run stores one/a.tif as out/a.png."""

    @pytest.fixture
    def first(self, tmp_path: Path, zoo_dir: Path) -> Order:
        pictures.save(tmp_path / "one" / "a.tif", pictures.noisy(pictures.scene(), 20))
        first = Order(tmp_path / "one", tmp_path / "out", precision="f32", format="png")
        assert job.run(first, Selection(), Heard()) == 0
        return first

    @pytest.mark.parametrize(("name", "format"), [("a.bmp", "png"), ("a.png", None)])
    def test_they_are_not_replaced(self, first: Order, tmp_path: Path, name: str, format: str | None) -> None:
        stored = (tmp_path / "out" / "a.png").read_bytes()
        pictures.save(tmp_path / "two" / name, pictures.noisy(pictures.scene(seed=2), 20))
        second = replace(first, source=tmp_path / "two", format=format)
        with pytest.raises(UsageError, match=r"a\.png: is the result of a\.tif, and .*Rename one of the two"):
            job.run(second, Selection(), Heard())
        assert (tmp_path / "out" / "a.png").read_bytes() == stored
        assert job.run(second, Selection(overwrite=True), Heard()) == 0
        assert (tmp_path / "out" / "a.png").read_bytes() != stored

    def test_a_name_that_is_given_up_is_free(self, first: Order, tmp_path: Path) -> None:
        pictures.save(tmp_path / "one" / "a.png", pictures.noisy(pictures.scene(seed=2), 20))
        heard = Heard()
        assert job.run(replace(first, format=None), Selection(), heard) == 0
        assert heard.files == {"a.png": "done", "a.tif": "done"}


def test_a_run_that_is_interrupted_before_its_first_file_does_not_say_that_there_was_nothing_to_do(
    order: Order,
) -> None:
    (order.out / "a.png").unlink()
    heard, stop = Heard(), job.Stop()
    stop.set()
    assert job.run(order, Selection(), heard, stop) == job.INTERRUPTED
    assert heard.summary.startswith("0 done, 1 not done, 2 skipped; ")
    assert job.run(order, Selection(), heard) == 0
    assert heard.summary.startswith("1 done, 2 skipped; ")
    assert job.run(order, Selection(), heard) == 0
    assert heard.summary.startswith("Nothing to do: 3 skipped")
