"""A watched folder as its users fill it: real processes write, a real process watches."""

from __future__ import annotations

import errno
import json
import logging
import os
import plistlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from watchdog.observers.api import BaseObserver

from folderdenoise import cli, events, job, watch
from folderdenoise import inbox as inbox_room
from folderdenoise.batch import Outcome, Report
from folderdenoise.errors import UsageError
from folderdenoise.events import Events
from folderdenoise.folder import Plan, Selection, Task
from folderdenoise.habits import Habits
from folderdenoise.job import Order, Stop
from folderdenoise.shelf import put_away
from folderdenoise.table import read

from . import models, pictures
from .watching import PATIENCE, Watching


def _picture(path: Path, seed: int = 0) -> Path:
    return pictures.save(path, pictures.noisy(pictures.scene(seed=seed), 20))


def _rows(out: Path) -> list[tuple[str, str, str]]:
    return [(row["file"], row["page"], row["status"]) for row in read(out / "metrics.csv")]


def _write(code: str, *arguments: object) -> None:
    """Run a writer to its end, in a process of its own."""
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    models.write_blur(folder / "rgb-leaky", channels=3)
    models.write_blur(folder / "gray-leaky", channels=1)
    return folder


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched") / "inbox"
    _picture(folder / "there before.png")
    return folder


@pytest.fixture(scope="module")
def watching(inbox: Path, zoo: Path) -> Iterator[Watching]:
    with Watching(inbox, "--out", inbox / "results", zoo=zoo) as watching:
        watching.until_watching()
        yield watching
        assert watching.end() == 0
        # Whatever went on: one row for each page, results of nothing but what people put there, nothing left over.
        rows = _rows(inbox / "results")
        assert len(rows) == len({row[:2] for row in rows})
        assert not [row for row in rows if row[0].startswith("results")]
        assert not [path for path in inbox.rglob(".*")]


class TestWriters:
    """One watch, and each kind of writer that people have."""

    def test_what_was_there_at_the_start(self, watching: Watching, inbox: Path) -> None:
        watching.until_done("there before.png")
        assert (inbox / "results" / "there before.png").is_file()

    def test_a_copy(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        subprocess.run(["cp", _picture(tmp_path / "copied.png"), inbox], check=True)
        watching.until_done("copied.png")

    def test_a_move(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        _picture(tmp_path / "moved.png").rename(inbox / "moved.png")
        watching.until_done("moved.png")

    def test_a_folder_moved_and_one_made(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        _picture(tmp_path / "box" / "deep" / "a.png")
        (tmp_path / "box").rename(inbox / "box")
        _picture(inbox / "new" / "deep" / "b.png")
        watching.until_done("box/deep/a.png", "new/deep/b.png")

    def test_a_slow_write(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        # Pauses longer than the settle time among them: what is there then has settled, and does not decode.
        code = (
            "import sys, time\n"
            "data = open(sys.argv[1], 'rb').read()\n"
            "with open(sys.argv[2], 'wb') as file:\n"
            "    for start, pause in ((0, .1), (1, .1), (2, .8), (3, .1)):\n"
            "        file.write(data[start * len(data) // 4 : (start + 1) * len(data) // 4])\n"
            "        file.flush()\n"
            "        time.sleep(pause)\n"
        )
        _write(code, _picture(tmp_path / "slow.png"), inbox / "slow.png")
        watching.until_done("slow.png")
        assert watching.states("slow.png") == [("done", 1)]

    def test_a_scanner_that_pauses_between_the_pages_of_a_growing_tiff(self, watching: Watching, inbox: Path) -> None:
        code = (
            "import sys, time, numpy, tifffile\n"
            "for page in range(4):\n"
            "    rows = numpy.random.default_rng(page).integers(80, 160, (40, 50), numpy.uint8)\n"
            "    tifffile.imwrite(sys.argv[1], rows, append=page > 0)\n"
            "    time.sleep(.1 if page != 1 else .8)\n"
        )
        _write(code, inbox / "book.tif")
        watching.until_done("book.tif", pages=4)
        assert {status for status, _ in watching.states("book.tif")} == {"done"}
        with Image.open(inbox / "results" / "book.tif") as result:
            assert result.n_frames == 4

    def test_a_download_that_is_renamed_at_the_end(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        code = (
            "import os, sys\n"
            "with open(sys.argv[2] + '.part', 'wb') as file:\n"
            "    file.write(open(sys.argv[1], 'rb').read())\n"
            "os.rename(sys.argv[2] + '.part', sys.argv[2])\n"
        )
        _write(code, _picture(tmp_path / "loaded.png"), inbox / "loaded.png")
        watching.until_done("loaded.png")
        assert not (inbox / "results" / "loaded.png.part").exists()

    def test_unzipping(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        names = [f"album/{index}.png" for index in range(5)]
        with zipfile.ZipFile(tmp_path / "album.zip", "w") as archive:
            for index, name in enumerate(names):
                archive.write(_picture(tmp_path / "x.png", index), name)
        subprocess.run([sys.executable, "-m", "zipfile", "-e", tmp_path / "album.zip", inbox], check=True)
        watching.until_done(*names)

    def test_one_that_is_replaced_is_done_again(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        _picture(inbox / "again.png")
        watching.until_done("again.png")
        first = (inbox / "results" / "again.png").read_bytes()
        _picture(tmp_path / "other.png", seed=5).rename(inbox / "again.png")
        watching.until(lambda: watching.states("again.png") == [("done", 1)] * 2, "done again")
        assert (inbox / "results" / "again.png").read_bytes() != first

    def test_one_that_never_decodes_is_told_of_once(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        data = _picture(tmp_path / "whole.png").read_bytes()
        (inbox / "half.png").write_bytes(data[: len(data) // 2])
        watching.until_done("half.png", status="failed")
        (inbox / "half.png").touch()
        _picture(inbox / "after.png")
        watching.until_done("after.png")
        assert watching.states("half.png") == [("failed", 1)]
        (inbox / "half.png").write_bytes(data)
        watching.until_done("half.png")

    def test_one_that_is_deleted_is_forgotten(self, watching: Watching, inbox: Path) -> None:
        (inbox / "passing.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (inbox / "passing.png").unlink()
        _picture(inbox / "sentinel.png")
        watching.until_done("sentinel.png")
        assert watching.states("passing.png") == []

    def test_no_run_gets_between(self, watching: Watching, inbox: Path, zoo: Path) -> None:
        command = [sys.executable, "-m", "folderdenoise", "run", str(inbox), "--out", str(inbox / "results")]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert result.returncode == 4
        assert f"process {watching.process.pid}" in result.stderr
        assert "folderdenoise watch" in result.stderr


def test_ctrl_c_and_kill_and_going_on(tmp_path: Path, zoo: Path) -> None:
    inbox, out, health = tmp_path / "inbox", tmp_path / "inbox-denoised", tmp_path / "health.json"
    for index in range(4):
        _picture(inbox / f"{index}.png", index)
    (inbox / "bad.png").write_bytes(b"text")
    with Watching(inbox, "--health", health, zoo=zoo) as watching:
        watching.until_done("bad.png", status="failed")
        watching.until_done(*(f"{index}.png" for index in range(4)))
        watching.process.kill()
    _picture(inbox / "4.png", 4)
    _picture(inbox / "1.png", 9)
    with Watching(inbox, "--health", health, zoo=zoo) as watching:
        watching.until_done("1.png", "4.png")
        assert watching.end(signal.SIGINT) == 130
        assert {item["file"] for item in watching.outcomes} == {"1.png", "4.png"}
    assert sorted(_rows(out)) == sorted(
        [*((f"{index}.png", "1", "done") for index in range(5)), ("bad.png", "1", "failed")]
    )
    facts = json.loads(health.read_text())
    assert (facts["done"], facts["failed"], facts["waiting"]) == (2, 0, 0)
    with Watching(inbox, "--once", "--retry-failed", zoo=zoo) as watching:
        assert watching.wait() == 1
        assert watching.states("bad.png") == [("failed", 1)]
        assert len(watching.outcomes) == 1


def test_once_with_everything_put_away(tmp_path: Path, zoo: Path) -> None:
    inbox, good, bad = tmp_path / "inbox", tmp_path / "inbox" / "done", tmp_path / "failed"
    _picture(inbox / "sub" / "a.png")
    _picture(good / "sub" / "a.png", seed=3)
    taken = (good / "sub" / "a.png").read_bytes()
    (inbox / "b.png").write_bytes(b"no image")
    (inbox / "notes.txt").write_text("stays")
    with Watching(inbox, "--once", "--move-done", good, "--move-failed", bad, zoo=zoo, settle=0.1) as watching:
        assert watching.wait() == 1
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        "failed/b.png",
        "inbox-denoised/metrics.csv",
        "inbox-denoised/sub/a.png",
        "inbox/done/sub/a (2).png",
        "inbox/done/sub/a.png",
        "inbox/notes.txt",
    ]
    assert (good / "sub" / "a.png").read_bytes() == taken


def test_another_disk_is_no_obstacle_to_putting_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _picture(tmp_path / "a.png")
    data, stamp = source.read_bytes(), source.stat().st_mtime_ns

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", refuse)
    target = put_away(source, "sub/a.png", tmp_path / "shelf")
    assert (target.read_bytes(), target.stat().st_mtime_ns) == (data, stamp)
    assert not source.exists()
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]


class Heard:
    """A listener that ends the watch when it has heard enough."""

    def __init__(self, stop: Stop, enough: int) -> None:
        self._stop, self._enough = stop, enough
        self.files: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.code = -1
        self.changed = b""
        self.reasons: dict[str, str] = {}

    def started(self, plan: Plan) -> None:
        pass

    def skipped(self, path: Path, reason: str) -> None:
        self.reasons[path.name] = reason

    def noted(self, message: str) -> None:
        pass

    def warned(self, message: str) -> None:
        self.warnings.append(message)

    def finished_file(self, outcome: Outcome) -> None:
        self.files.append((outcome.task.relative, outcome.status))
        if len(self.files) == self._enough:
            self._stop.set()

    def finished(self, report: Report, interrupted: bool) -> None:
        pass


def _watch(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    habits: Habits,
    enough: int = 0,
    inbox: str = "in",
    **order: object,
) -> Heard:
    """Watch in this process until ``enough`` files are done."""
    stop = Stop()

    @contextmanager
    def interruptible() -> Iterator[Stop]:
        yield stop

    monkeypatch.setattr(job, "interruptible", interruptible)
    heard = Heard(stop, enough)
    alarm = threading.Timer(PATIENCE, stop.set)
    alarm.start()
    chosen = Order(tmp_path / inbox, tmp_path / "out", **order)  # type: ignore[arg-type]
    heard.code = watch.watch(chosen, Selection(), habits, heard)
    alarm.cancel()
    return heard


@pytest.mark.usefixtures("zoo_dir")
class TestWithoutEvents:
    def test_lost_ones_lose_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(inbox_room, "_RESCAN_SECONDS", 0.05)
        monkeypatch.setattr(Events, "take", lambda self: [])
        original = Heard.finished_file

        def next_one(self: Heard, outcome: Outcome) -> None:
            _picture(tmp_path / "in" / "sub" / "b.png")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", next_one)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("sub/b.png", "done")]

    def test_a_queue_that_overflows_is_explained_and_loses_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _picture(tmp_path / "in" / "0.png")
        monkeypatch.setattr(inbox_room, "_RESCAN_SECONDS", 1e6)
        monkeypatch.setattr(Events, "take", lambda self: [])
        original = Heard.finished_file

        def next_one(self: Heard, outcome: Outcome) -> None:
            _picture(tmp_path / "in" / f"{len(self.files) + 1}.png")
            logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", next_one)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=3)
        assert heard.files == [(f"{index}.png", "done") for index in range(3)]
        assert len(heard.warnings) == 1
        assert "max_queued_events" in heard.warnings[0]

    def test_a_folder_that_came_whole_needs_no_word_of_its_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _picture(tmp_path / "in" / "a.png")
        _picture(tmp_path / "box" / "deep" / "b.png")
        (tmp_path / "box" / ".hidden").mkdir()
        _picture(tmp_path / "box" / ".hidden" / "c.png")
        box = tmp_path / "in" / "box"
        monkeypatch.setattr(inbox_room, "_RESCAN_SECONDS", 1e6)
        monkeypatch.setattr(Events, "take", lambda self: [box] if box.exists() else [])
        original = Heard.finished_file

        def next_one(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                (tmp_path / "box").rename(box)
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", next_one)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("box/deep/b.png", "done")]

    def test_an_inbox_that_goes_away_is_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(inbox_room, "_RESCAN_SECONDS", 0.05)
        monkeypatch.setattr(inbox_room, "_POLL_SECONDS", 0.05)
        original = Heard.finished_file

        def go_away(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                (tmp_path / "in").rename(tmp_path / "gone")
            original(self, outcome)

        def come_back(self: Heard, message: str) -> None:
            self.warnings.append(message)
            if "cannot be listed" in message:
                _picture(tmp_path / "gone" / "b.png")
                (tmp_path / "gone").rename(tmp_path / "in")

        monkeypatch.setattr(Heard, "finished_file", go_away)
        monkeypatch.setattr(Heard, "warned", come_back)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("b.png", "done")]
        assert "gone for now" in heard.warnings[0]

    def test_a_system_that_stops_telling_is_told_of_and_polled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(inbox_room, "_RESCAN_SECONDS", 1e6)
        monkeypatch.setattr(inbox_room, "_POLL_SECONDS", 0.05)
        original = Heard.finished_file

        def stop_telling(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                for thread in threading.enumerate():
                    if isinstance(thread, BaseObserver):
                        thread.stop()
                        thread.join()
                _picture(tmp_path / "in" / "b.png")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", stop_telling)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("b.png", "done")]
        assert "stopped telling of changes" in heard.warnings[0]

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the kinds of its drives in a file")
    @pytest.mark.parametrize(("kind", "is_polled"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False)])
    def test_a_network_drive_is_known_by_its_kind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_polled: bool
    ) -> None:
        folder = tmp_path / "a drive" / "in"
        folder.mkdir(parents=True)
        place = str(folder.parent).replace(" ", "\\040")
        mounts = f"/dev/vda / ext4 rw 0 0\nserver:/scans {place} {kind} rw 0 0\nproc /proc proc rw 0 0\n"
        monkeypatch.setattr(Path, "read_text", lambda self, *arguments: mounts)
        watched = Events(folder, threading.Event(), recursive=True)
        reason = watched.start()
        watched.stop()
        assert (reason is not None and kind in reason) == is_polled

    def test_a_drive_that_sends_none_is_told_and_polled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(Events, "on_any_event", lambda self, event: None)
        monkeypatch.setattr(events, "_PROBE_SECONDS", 0.1)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=1)
        assert heard.files == [("a.png", "done")]
        assert "events do not arrive here" in heard.warnings[0]
        assert "every 5 s" in heard.warnings[0]
        assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"], "the probe is gone"

    def test_the_systems_limit_is_explained_and_polled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")

        def refuse(*arguments: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("watchdog.observers.api.BaseObserver.start", refuse)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05), enough=1)
        assert heard.files == [("a.png", "done")]
        assert "max_user_watches" in heard.warnings[0]

    def test_polling_when_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(Events, "start", lambda self: pytest.fail("events were begun"))
        assert _watch(monkeypatch, tmp_path, Habits(settle=0.05, poll=0.05), enough=1).warnings == []


@pytest.mark.usefixtures("zoo_dir")
@pytest.mark.parametrize("is_there", [True, False])
def test_all_is_not_well_without_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    _picture(tmp_path / "in" / "a.png")
    health = tmp_path / "health.json"
    original = Heard.finished_file

    def unplug(self: Heard, outcome: Outcome) -> None:
        health.unlink()
        if not is_there:
            (tmp_path / "out").rename(tmp_path / "unplugged")
        original(self, outcome)

    monkeypatch.setattr(Heard, "finished_file", unplug)
    _watch(monkeypatch, tmp_path, Habits(settle=0.05, health=health), enough=1)
    assert health.exists() == is_there


def test_hundreds_dropped_at_once_are_all_done_once(tmp_path: Path, zoo: Path) -> None:
    names = [f"{index:03}.png" for index in range(300)]
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    image = pictures.save(tmp_path / "x.png", pictures.noisy(pictures.scene(20, 20), 20))
    with Watching(inbox, zoo=zoo, settle=0.2) as watching:
        watching.until_watching()
        for name in names:
            shutil.copy(image, inbox / name)
        watching.until(lambda: len(watching.outcomes) >= len(names), "all done")
        assert watching.end() == 0
    assert sorted((item["file"], item["status"]) for item in watching.outcomes) == [(name, "done") for name in names]
    assert sorted(_rows(tmp_path / "inbox-denoised")) == [(name, "1", "done") for name in names]


@pytest.mark.usefixtures("zoo_dir")
class TestOnce:
    def test_many_files_each_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        image = _picture(tmp_path / "one.png")
        for index in range(60):
            (tmp_path / "in" / str(index % 3)).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, tmp_path / "in" / str(index % 3) / f"{index}.png")
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        assert len(heard.files) == len(set(heard.files)) == 60

    def test_not_what_is_there_if_not_wanted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True, existing=False))
        assert heard.files == []

    def test_what_comes_while_the_last_one_is_done_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _picture(tmp_path / "in" / "a.png")
        original = Heard.finished_file

        def one_more(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                _picture(tmp_path / "in" / "b.png")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", one_more)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.5, once=True))
        assert heard.files == [("a.png", "done"), ("b.png", "done")]

    def test_a_new_modification_time_of_the_same_content_is_noted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = _picture(tmp_path / "in" / "a.png")
        _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        os.utime(source, ns=(1, 1))
        assert _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True)).files == []
        assert [row["source_mtime_ns"] for row in read(tmp_path / "out" / "metrics.csv")] == ["1"]

    def test_one_that_vanishes_before_it_is_read_a_last_time_leaves_no_row(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = _picture(tmp_path / "in" / "a.png")
        source.write_bytes(source.read_bytes()[:-100])
        original = inbox_room.Inbox.__next__
        tries: list[Task] = []

        def vanishing(self: inbox_room.Inbox) -> Task:
            tries.append(original(self))
            if len(tries) == 2:
                source.unlink()
            return tries[-1]

        monkeypatch.setattr(inbox_room.Inbox, "__next__", vanishing)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        assert (heard.files, heard.code) == ([], 0)
        assert _rows(tmp_path / "out") == []

    def test_one_that_changed_since_it_was_read_is_not_put_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = _picture(tmp_path / "in" / "a.png")
        original = Heard.finished_file

        def change(self: Heard, outcome: Outcome) -> None:
            if not self.files:
                _picture(source, seed=6)
                self.changed = source.read_bytes()
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", change)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True, move_done=tmp_path / "originals"))
        assert heard.files == [("a.png", "done")] * 2
        assert [path.name for path in (tmp_path / "originals").iterdir()] == ["a.png"]
        assert (tmp_path / "originals" / "a.png").read_bytes() == heard.changed

    def test_what_is_left_alone_is_told_with_the_reason(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _picture(tmp_path / "in" / "a.png")
        (tmp_path / "in" / "list.txt").write_text("a list")
        (tmp_path / "in" / "._a.png").write_bytes(b"junk")
        _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True))
        assert heard.files == []
        assert heard.reasons.keys() == {"a.png", "list.txt"}
        assert "already done" in heard.reasons["a.png"]

    def test_a_second_file_with_the_same_result_fails_and_the_first_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _picture(tmp_path / "in" / "a.bmp")
        _picture(tmp_path / "in" / "a.tif", seed=4)
        heard = _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True), format="png")
        assert sorted(heard.files) == [("a.bmp", "done"), ("a.tif", "failed")]
        notes = {row["file"]: row["notes"] for row in read(tmp_path / "out" / "metrics.csv")}
        assert "a.bmp" in notes["a.tif"]

    def test_somebody_elses_files_among_the_results_are_not_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _picture(tmp_path / "in" / "a.png")
        _picture(tmp_path / "out" / "a.png", seed=7)
        for _ in range(2):
            with pytest.raises(UsageError, match=r"a\.png"):
                _watch(monkeypatch, tmp_path, Habits(settle=0.05, once=True))


@pytest.mark.usefixtures("zoo_dir")
def test_results_of_another_inbox_are_not_replaced_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _picture(tmp_path / "another" / "a.png")
    _picture(tmp_path / "in" / "a.png", seed=3)
    once = Habits(settle=0.05, once=True)
    _watch(monkeypatch, tmp_path, once, inbox="another")
    first = (tmp_path / "out" / "a.png").read_bytes()
    _picture(tmp_path / "in" / "b.png")
    for files in ([("b.png", "done")], []):
        heard = _watch(monkeypatch, tmp_path, once)
        assert heard.files == files
        assert len(heard.warnings) == 1
        assert "result of another a.png" in heard.warnings[0]
        assert heard.code == 1
    assert (tmp_path / "out" / "a.png").read_bytes() == first
    assert [row["file"] for row in read(tmp_path / "out" / "metrics.csv")] == ["a.png", "b.png"]


@pytest.mark.parametrize("place", ["in", "out", "out/sub", "in/a.png"])
@pytest.mark.usefixtures("zoo_dir")
def test_originals_are_not_moved_among_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    _picture(tmp_path / "in" / "a.png")
    with pytest.raises(UsageError, match="--move-done"):
        _watch(monkeypatch, tmp_path, Habits(once=True, move_done=tmp_path / place))


def test_the_services_in_the_docs_are_well_formed_and_use_options_that_exist() -> None:
    text = (Path(__file__).parents[1] / "docs" / "watch.md").read_text(encoding="utf-8")
    start, end = text.index("    <?xml"), text.index("</plist>") + len("</plist>")
    service = plistlib.loads(textwrap.dedent(text[start:end]).encode())
    assert service["ProgramArguments"][1] == "watch"
    known = {name for parameter in cli.watch.params for name in (*parameter.opts, *parameter.secondary_opts)}
    commands = re.findall(r"folderdenoise(?:\.exe)? watch (?:.*\\\n)*.*", text)
    assert len(commands) >= 3
    words = " ".join([*commands, *service["ProgramArguments"]]).replace('"', " ").split()
    assert {word for word in words if word.startswith("-")} <= known
