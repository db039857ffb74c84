"""What happens to a run that is killed, interrupted, or loses its disk: real processes, real faults."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from folderdenoise.table import read

from . import models, pictures

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals, permissions and mounts")

COUNT = 8
PATIENCE = 120


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "folderdenoise", "run", *map(str, arguments)]


def _finish(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, check=False, timeout=PATIENCE)


class Running:
    """A run that is under way, with ``--json``."""

    def __init__(self, *arguments: object, prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, *_command(*arguments, "--json")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def until_files(self, count: int) -> None:
        """Wait until so many files more are done."""
        assert self.process.stdout is not None
        for _ in range(count):
            assert self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    models.write_blur(folder / "rgb-leaky", channels=3)
    models.write_blur(folder / "gray-leaky", channels=1)
    models.write_slow(folder / "slow")
    return folder


@pytest.fixture(autouse=True)
def _models(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDERDENOISE_MODELS", str(zoo))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scans"
    for index in range(COUNT):
        image = pictures.noisy(pictures.scene(200, 200, seed=index), 20)
        pictures.save(folder / str(index % 2) / f"{index:02}.png", image)
    return folder


@pytest.fixture(scope="module")
def never_killed(scans: Path, zoo: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDERDENOISE_MODELS", str(zoo))
        assert _finish(scans).returncode == 0
    return scans.with_name("scans-denoised")


def _assert_whole(out: Path, never_killed: Path) -> None:
    """Every result as a run that was never killed makes it, one row each, nothing else."""
    expected = {path.relative_to(never_killed): path for path in never_killed.rglob("*.png")}
    found = {path.relative_to(out): path for path in out.rglob("*") if path.is_file()}
    assert found.pop(Path("metrics.csv")).is_file()
    assert found.keys() == expected.keys()
    for name, path in found.items():
        assert path.read_bytes() == expected[name].read_bytes(), name
    rows = [(row["file"], row["page"], row["status"]) for row in read(out / "metrics.csv")]
    assert sorted(rows) == sorted((name.as_posix(), "1", "done") for name in expected)


def test_a_killed_run_goes_on_where_it_was(scans: Path, never_killed: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    for files in (0, 1, 2):
        with Running(scans, "--out", out) as running:
            running.until_files(files)
            running.process.kill()
    result = _finish(scans, "--out", out)
    assert result.returncode == 0, result.stderr
    assert "skipped" in result.stdout, "what was done is not done again"
    _assert_whole(out, never_killed)


def test_a_run_killed_while_it_does_all_again_goes_on(scans: Path, never_killed: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    assert _finish(scans, "--out", out, "--strength", 0.5).returncode == 0
    for files in (1, 3):
        with Running(scans, "--out", out) as running:
            running.until_files(files)
            running.process.kill()
        assert len(list(read(out / "metrics.csv"))) >= COUNT, "no row goes missing meanwhile"
    assert _finish(scans, "--out", out).returncode == 0
    _assert_whole(out, never_killed)


class TestCtrlC:
    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """One file that takes tens of seconds, behind one that takes none."""
        pictures.save(tmp_path / "in" / "a.png", pictures.scene(20, 20))
        pictures.save(tmp_path / "in" / "b.bmp", pictures.scene(1500, 1500))
        return tmp_path / "in"

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_file_that_takes_long_is_abandoned(self, large: Path, times: int) -> None:
        with Running(large, "--model", "slow", "--jobs", 2, "--threads", 2) as running:
            running.until_files(1)
            for _ in range(times):
                running.process.send_signal(signal.SIGINT)
            code, errors = running.end()
        assert code == 130
        assert "Interrupted" in errors
        out = large.with_name("in-denoised")
        assert sorted(path.name for path in out.rglob("*")) == ["a.png", "metrics.csv"]
        assert [row["file"] for row in read(out / "metrics.csv")] == ["a.png"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for some of the results."""
    place = tmp_path / "small disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(scans: Path, never_killed: Path, small_disk: Path) -> None:
    out = small_disk / "out"
    result = _finish(scans, "--out", out)
    assert result.returncode == 4
    assert "disk is full" in result.stderr
    assert "Traceback" not in result.stderr
    done = {row["file"] for row in read(out / "metrics.csv")}
    assert done == {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    assert 0 < len(done) < COUNT
    again = _finish(scans, "--out", out)
    assert again.returncode == 4, "still full"
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    result = _finish(scans, "--out", out)
    assert result.returncode == 0, result.stderr
    assert f"{len(done)} skipped" in result.stdout
    _assert_whole(out, never_killed)


def test_an_output_folder_that_goes_away_ends_the_run(scans: Path, never_killed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Running(scans, "--out", out, "--jobs", 1) as running:
        running.until_files(2)
        out.rename(tmp_path / "elsewhere")
        code, errors = running.end()
    assert code == 4
    assert str(out) in errors
    assert not out.exists(), "it is not made anew, without what was done"
    (tmp_path / "elsewhere").rename(out)
    result = _finish(scans, "--out", out)
    assert result.returncode == 0, result.stderr
    _assert_whole(out, never_killed)


def test_an_output_folder_that_is_emptied_ends_the_run(scans: Path, never_killed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Running(scans, "--out", out, "--jobs", 1) as running:
        running.until_files(2)
        shutil.rmtree(out)
        code, errors = running.end()
    assert code == 4
    assert str(out) in errors
    assert _finish(scans, "--out", out).returncode == 0
    _assert_whole(out, never_killed)


def test_a_lost_permission_ends_the_run(scans: Path, never_killed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Root may write everywhere, unless it is without the capability to.
    without = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    if without and not shutil.which("setpriv"):
        pytest.skip("needs setpriv, or an ordinary user")
    with Running(scans, "--out", out, "--jobs", 1, prefix=without) as running:
        running.until_files(1)
        for folder in (out, out / "0", out / "1"):
            if folder.exists():
                folder.chmod(0o555)
        code, errors = running.end()
    assert code == 4
    assert "ermission" in errors
    for folder in (out, *out.iterdir()):
        if folder.is_dir():
            folder.chmod(0o755)
    assert _finish(scans, "--out", out).returncode == 0
    _assert_whole(out, never_killed)


def test_a_log_has_a_line_for_each_file_that_names_it(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    pictures.save(scans / "sub" / "a.png", pictures.scene())
    (scans / "bad\n.png").write_bytes(b"no image")
    (scans / "list.txt").write_text("a list")
    log = tmp_path / "run.log"
    assert _finish(scans, "--log", log, "-v", "-q").returncode == 1
    assert _finish(scans, "--log", log, "-v", "-q").returncode == 1
    lines = log.read_text(encoding="utf-8").splitlines()
    for path in scans.rglob("*.png"):
        shown = str(path).replace("\n", "\\n")
        words = [line.split(f"{shown}: ")[1].split(",")[0] for line in lines if f"{shown}: " in line]
        expected = ["failed", "failed"] if "bad" in path.name else ["done", "skipped"]
        assert words[:1] + words[-1:] == expected, path
    assert sum("list.txt: skipped, not an image" in line for line in lines) == 2
    assert all(str(tmp_path) in line or "done" in line for line in lines)


def test_a_log_that_cannot_be_written_is_wrong_usage(scans: Path, tmp_path: Path) -> None:
    result = _finish(scans, "--log", tmp_path / "not there" / "run.log")
    assert result.returncode == 2
    assert "--log" in result.stderr
