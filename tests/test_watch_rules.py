"""What a watch takes, leaves alone, puts away and does not replace."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from folderdenoise import inbox as inbox_room
from folderdenoise.batch import Outcome
from folderdenoise.errors import OutputError, UsageError
from folderdenoise.folder import Task
from folderdenoise.habits import Habits
from folderdenoise.job import Stop
from folderdenoise.shelf import put_away
from folderdenoise.table import Row, read

from .watching import Heard, picture, rows, watch_here


def test_another_disk_is_no_obstacle_to_putting_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture(tmp_path / "a.png")
    data, stamp = source.read_bytes(), source.stat().st_mtime_ns

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", refuse)
    target = put_away(source, "sub/a.png", tmp_path / "shelf")
    assert (target.read_bytes(), target.stat().st_mtime_ns) == (data, stamp)
    assert not source.exists()
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]


def test_what_cannot_be_removed_from_another_disk_is_not_put_away_and_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inbox may be read, not changed; or, on Windows, another program looks at the file."""
    source = picture(tmp_path / "a.png")
    unlink = Path.unlink

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def keep(self: Path, missing_ok: bool = False) -> None:
        if self == source:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(Path, "unlink", keep)
    with pytest.raises(OutputError, match=r"a\.png: cannot be moved.*It stays"):
        put_away(source, "a.png", tmp_path / "shelf")
    assert source.exists()
    assert list((tmp_path / "shelf").iterdir()) == []


@pytest.mark.usefixtures("zoo_dir")
@pytest.mark.parametrize("is_there", [True, False])
def test_all_is_not_well_without_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    picture(tmp_path / "in" / "a.png")
    health = tmp_path / "health.json"
    original = Heard.finished_file

    def unplug(self: Heard, outcome: Outcome) -> None:
        health.unlink()
        if not is_there:
            (tmp_path / "out").rename(tmp_path / "unplugged")
        original(self, outcome)

    monkeypatch.setattr(Heard, "finished_file", unplug)
    watch_here(monkeypatch, tmp_path, Habits(settle=0.05, health=health), enough=1)
    assert health.exists() == is_there


@pytest.mark.usefixtures("zoo_dir")
class TestOnce:
    def test_many_files_each_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        image = picture(tmp_path / "one.png")
        for index in range(60):
            (tmp_path / "in" / str(index % 3)).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, tmp_path / "in" / str(index % 3) / f"{index}.png")
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        assert len(heard.files) == len(set(heard.files)) == 60

    def test_not_what_is_there_if_not_wanted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "in" / "a.png")
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True, existing=False))
        assert heard.files == []

    def test_what_comes_while_the_last_one_is_done_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "a.png")
        original = Heard.finished_file

        def one_more(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                picture(tmp_path / "in" / "b.png")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", one_more)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.5, once=True))
        assert heard.files == [("a.png", "done"), ("b.png", "done")]

    def test_a_new_modification_time_of_the_same_content_is_noted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = picture(tmp_path / "in" / "a.png")
        watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        os.utime(source, ns=(1, 1))
        assert watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True)).files == []
        assert [row["source_mtime_ns"] for row in read(tmp_path / "out" / "metrics.csv")] == ["1"]

    def test_one_that_vanishes_before_it_is_read_a_last_time_leaves_no_row(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = picture(tmp_path / "in" / "a.png")
        source.write_bytes(source.read_bytes()[:-100])
        original = inbox_room.Inbox.__next__
        tries: list[Task] = []

        def vanishing(self: inbox_room.Inbox) -> Task:
            tries.append(original(self))
            if len(tries) == 2:
                source.unlink()
            return tries[-1]

        monkeypatch.setattr(inbox_room.Inbox, "__next__", vanishing)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        assert (heard.files, heard.code) == ([], 0)
        assert rows(tmp_path / "out") == []

    def test_one_that_changed_since_it_was_read_is_not_put_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = picture(tmp_path / "in" / "a.png")
        original = Heard.finished_file

        def change(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                picture(source, seed=6)
                self.changed = source.read_bytes()
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", change)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True, move_done=tmp_path / "originals"))
        assert heard.files == [("a.png", "done")] * 2
        assert [path.name for path in (tmp_path / "originals").iterdir()] == ["a.png"]
        assert (tmp_path / "originals" / "a.png").read_bytes() == heard.changed

    def test_what_is_left_alone_is_told_with_the_reason(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "in" / "a.png")
        (tmp_path / "in" / "list.txt").write_text("a list")
        (tmp_path / "in" / "._a.png").write_bytes(b"junk")
        watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        assert heard.files == []
        assert heard.reasons.keys() == {"a.png", "list.txt"}
        assert "already done" in heard.reasons["a.png"]

    def test_a_second_file_with_the_same_result_fails_and_the_first_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "a.bmp")
        picture(tmp_path / "in" / "a.tif", seed=4)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True), format="png")
        assert sorted(heard.files) == [("a.bmp", "done"), ("a.tif", "failed")]
        notes = {row["file"]: row["notes"] for row in read(tmp_path / "out" / "metrics.csv")}
        assert "a.bmp" in notes["a.tif"]

    def test_somebody_elses_files_among_the_results_are_not_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "a.png")
        picture(tmp_path / "out" / "a.png", seed=7)
        for _ in range(2):
            with pytest.raises(UsageError, match=r"a\.png"):
                watch_here(monkeypatch, tmp_path, Habits(settle=0.05, once=True))


@pytest.mark.usefixtures("zoo_dir")
def test_one_that_is_made_anew_while_it_is_under_way_waits_until_the_old_one_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = picture(tmp_path / "in" / "a.png")
    given: list[Task | None] = []

    def by_hand(inbox: inbox_room.Inbox, *others: object, stop: Stop, **more: object) -> None:
        task = next(inbox)
        source.unlink()
        inbox._look_at(source)
        picture(source, seed=1)
        inbox._look_at(source)
        given.append(next(inbox, None))
        inbox._finished(Outcome(task, (Row(file="a.png"),)))
        given.append(next(inbox, None))
        stop.set()

    monkeypatch.setattr(inbox_room.batch, "run_batch", by_hand)
    watch_here(monkeypatch, tmp_path, Habits(settle=0.0))
    assert given[0] is None
    assert given[1] is not None
    assert given[1].source == source


@pytest.mark.usefixtures("zoo_dir")
class TestResultsOfOtherNames:
    def test_a_watch_that_is_started_again_does_not_replace_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        once = Habits(settle=0.05, once=True)
        picture(tmp_path / "in" / "b.tif")
        watch_here(monkeypatch, tmp_path, once, format="png")
        first = (tmp_path / "out" / "b.png").read_bytes()
        # It comes before the other one by its name.
        picture(tmp_path / "in" / "b.bmp", seed=4)
        for _ in range(2):
            heard = watch_here(monkeypatch, tmp_path, once, format="png")
            assert heard.files == [("b.bmp", "failed")]
        notes = {row["file"]: row["notes"] for row in read(tmp_path / "out" / "metrics.csv")}
        assert "b.tif has a result of the same name" in notes["b.bmp"]
        assert (tmp_path / "out" / "b.png").read_bytes() == first

    def test_nor_does_a_watch_that_puts_originals_away_until_somebody_takes_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "a.tif")
        result = tmp_path / "out" / "a.png"
        original = Heard.finished_file

        def one_more(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                picture(tmp_path / "in" / "a.bmp", seed=4)
            elif len(self.files) == 1:
                result.unlink()
                picture(tmp_path / "in" / "a.tiff", seed=5)
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", one_more)
        habits = Habits(settle=0.05, once=True, move_done=tmp_path / "shelf", move_failed=tmp_path / "failed")
        heard = watch_here(monkeypatch, tmp_path, habits, format="png")
        assert heard.files == [("a.tif", "done"), ("a.bmp", "failed"), ("a.tiff", "done")]
        assert result.exists()


@pytest.mark.usefixtures("zoo_dir")
def test_results_of_another_inbox_are_not_replaced_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "another" / "a.png")
    picture(tmp_path / "in" / "a.png", seed=3)
    once = Habits(settle=0.05, once=True)
    watch_here(monkeypatch, tmp_path, once, inbox="another")
    first = (tmp_path / "out" / "a.png").read_bytes()
    picture(tmp_path / "in" / "b.png")
    for files in ([("b.png", "done")], []):
        heard = watch_here(monkeypatch, tmp_path, once)
        assert heard.files == files
        assert len(heard.warnings) == 1
        assert "result of another a.png" in heard.warnings[0]
        assert heard.code == 1
    assert (tmp_path / "out" / "a.png").read_bytes() == first
    assert [row["file"] for row in read(tmp_path / "out" / "metrics.csv")] == ["a.png", "b.png"]


@pytest.mark.parametrize("place", ["in", "out", "out/sub", "in/a.png"])
@pytest.mark.usefixtures("zoo_dir")
def test_originals_are_not_moved_among_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    picture(tmp_path / "in" / "a.png")
    with pytest.raises(UsageError, match="--move-done"):
        watch_here(monkeypatch, tmp_path, Habits(once=True, move_done=tmp_path / place))
