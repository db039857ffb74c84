"""A watch that is not told of what changes: events lost, overflowing, forbidden, or of a drive that sends none."""

from __future__ import annotations

import errno
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from watchdog.observers.api import BaseObserver

from folderdenoise import events, lookout
from folderdenoise.batch import Outcome
from folderdenoise.events import Events
from folderdenoise.habits import Habits

from .watching import Heard, picture, watch_here


@pytest.mark.usefixtures("zoo_dir")
def at_first_file(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let ``act`` happen when the watch has finished its first file, before that is told."""
    original = Heard.finished_file

    def acting(self: Heard, outcome: Outcome) -> None:
        if not self.files:
            act()
        original(self, outcome)

    monkeypatch.setattr(Heard, "finished_file", acting)


class TestWithoutEvents:
    def test_lost_ones_lose_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(lookout, "_RESCAN_SECONDS", 0.05)
        monkeypatch.setattr(Events, "take", lambda self: [])
        original = Heard.finished_file

        def next_one(self: Heard, outcome: Outcome) -> None:
            picture(tmp_path / "in" / "sub" / "b.png")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", next_one)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("sub/b.png", "done")]

    def test_a_queue_that_overflows_is_explained_and_loses_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "0.png")
        monkeypatch.setattr(lookout, "_RESCAN_SECONDS", 1e6)
        monkeypatch.setattr(Events, "take", lambda self: [])
        original = Heard.finished_file

        def next_one(self: Heard, outcome: Outcome) -> None:
            picture(tmp_path / "in" / f"{len(self.files) + 1}.png")
            logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
            original(self, outcome)

        monkeypatch.setattr(Heard, "finished_file", next_one)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=3)
        assert heard.files == [(f"{index}.png", "done") for index in range(3)]
        assert len(heard.warnings) == 1
        assert "max_queued_events" in heard.warnings[0]

    def test_a_folder_that_came_whole_needs_no_word_of_its_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "a.png")
        picture(tmp_path / "box" / "deep" / "b.png")
        (tmp_path / "box" / ".hidden").mkdir()
        picture(tmp_path / "box" / ".hidden" / "c.png")
        box = tmp_path / "in" / "box"
        monkeypatch.setattr(lookout, "_RESCAN_SECONDS", 1e6)
        monkeypatch.setattr(Events, "take", lambda self: [box] if box.exists() else [])
        at_first_file(monkeypatch, lambda: (tmp_path / "box").rename(box))
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("box/deep/b.png", "done")]

    def test_an_inbox_that_goes_away_is_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(lookout, "_RESCAN_SECONDS", 0.05)
        monkeypatch.setattr(lookout, "_POLL_SECONDS", 0.05)

        def come_back(self: Heard, message: str) -> None:
            self.warnings.append(message)
            if "cannot be listed" in message:
                picture(tmp_path / "gone" / "b.png")
                (tmp_path / "gone").rename(tmp_path / "in")

        at_first_file(monkeypatch, lambda: (tmp_path / "in").rename(tmp_path / "gone"))
        monkeypatch.setattr(Heard, "warned", come_back)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
        assert heard.files == [("a.png", "done"), ("b.png", "done")]
        assert "gone for now" in heard.warnings[0]

    def test_a_system_that_stops_telling_is_told_of_and_polled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(lookout, "_RESCAN_SECONDS", 1e6)
        monkeypatch.setattr(lookout, "_POLL_SECONDS", 0.05)

        def stop_telling() -> None:
            for thread in threading.enumerate():
                if isinstance(thread, BaseObserver):
                    thread.stop()
                    thread.join()
            picture(tmp_path / "in" / "b.png")

        at_first_file(monkeypatch, stop_telling)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=2)
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
        picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(Events, "on_any_event", lambda self, event: None)
        monkeypatch.setattr(events, "_PROBE_SECONDS", 0.1)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=1)
        assert heard.files == [("a.png", "done")]
        assert "events do not arrive here" in heard.warnings[0]
        assert "every 5 s" in heard.warnings[0]
        assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"], "the probe is gone"

    def test_the_systems_limit_is_explained_and_polled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "in" / "a.png")

        def refuse(*arguments: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("watchdog.observers.api.BaseObserver.start", refuse)
        heard = watch_here(monkeypatch, tmp_path, Habits(settle=0.05), enough=1)
        assert heard.files == [("a.png", "done")]
        assert "max_user_watches" in heard.warnings[0]

    def test_polling_when_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "in" / "a.png")
        monkeypatch.setattr(Events, "start", lambda self: pytest.fail("events were begun"))
        assert watch_here(monkeypatch, tmp_path, Habits(settle=0.05, poll=0.05), enough=1).warnings == []
