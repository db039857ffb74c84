"""``--log`` and ``--health`` over a year: rotated logs, disks that fill up, folders that go away."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from folderdenoise import health
from folderdenoise.errors import OutputError
from folderdenoise.health import Health
from folderdenoise.logfile import LogFile


class TestLog:
    def test_every_line_says_when_with_the_offset_from_utc(self, tmp_path: Path) -> None:
        with LogFile(tmp_path / "run.log", verbose=True) as log:
            log.noted("two\nlines")
            log.skipped(tmp_path / "a.txt", "not an image")
        lines = (tmp_path / "run.log").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 2
        for line in lines:
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO ", line), line

    @pytest.mark.skipif(os.name == "nt", reason="renames a file that is open")
    def test_one_that_is_rotated_away_is_begun_anew(self, tmp_path: Path) -> None:
        with LogFile(tmp_path / "run.log", verbose=False) as log:
            log.noted("before")
            (tmp_path / "run.log").rename(tmp_path / "run.log.1")
            log.noted("after")
        assert "before" in (tmp_path / "run.log.1").read_text(encoding="utf-8")
        assert "after" in (tmp_path / "run.log").read_text(encoding="utf-8")

    @pytest.mark.skipif(os.name == "nt", reason="removes a file that is open")
    def test_one_that_cannot_be_written_is_complained_of_once_and_goes_on_when_it_can(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "logs"
        folder.mkdir()
        with LogFile(folder / "run.log", verbose=False) as log:
            log.noted("before")
            shutil.rmtree(folder)
            log.noted("lost")
            log.noted("lost, too")
            folder.mkdir()
            log.noted("after")
        assert "after" in (folder / "run.log").read_text(encoding="utf-8")
        assert capsys.readouterr().err.count(f"Warning: --log {folder / 'run.log'} cannot be written") == 1
        assert "lost" not in (folder / "run.log").read_text(encoding="utf-8")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
    def test_a_full_disk_ends_no_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        with LogFile(Path("/dev/full"), verbose=False) as log:
            log.noted("one")
            log.noted("two")
        assert capsys.readouterr().err.count("Warning: --log /dev/full cannot be written") == 1


class TestHealth:
    @pytest.fixture(autouse=True)
    def _at_every_tick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "_SECONDS", 0.0)

    def test_it_says_when_who_and_how_much(self, tmp_path: Path) -> None:
        path = tmp_path / "health.json"
        Health(path, lambda: {"done": 3}, pytest.fail).tick()
        facts = json.loads(path.read_text(encoding="utf-8"))
        assert facts["process"] == os.getpid()
        assert facts["done"] == 3
        assert datetime.fromisoformat(facts["started"]) <= datetime.fromisoformat(facts["updated"])
        assert [entry.name for entry in tmp_path.iterdir()] == ["health.json"]

    def test_a_place_that_is_wrong_from_the_start_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"--health .*Name another file"):
            Health(tmp_path / "not there" / "health.json", dict, pytest.fail).tick()

    def test_a_place_that_is_lost_later_is_told_once_and_ends_nothing(self, tmp_path: Path) -> None:
        place = tmp_path / "run"
        warnings: list[str] = []
        watched = Health(place / "health.json", dict, warnings.append)
        for _ in range(2):
            place.mkdir()
            watched.tick()
            shutil.rmtree(place)
            watched.tick()
            watched.tick()
        assert len(warnings) == 2
        assert str(place / "health.json") in warnings[0]
