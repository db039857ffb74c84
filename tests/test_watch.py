"""A watched folder as its users fill it: real processes write, a real process watches."""

from __future__ import annotations

import json
import plistlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from folderdenoise import cli, watch
from folderdenoise.errors import UsageError
from folderdenoise.folder import Selection
from folderdenoise.habits import Habits
from folderdenoise.order import Order

from . import models, pictures
from .watching import PATIENCE, Watching, picture, rows


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
    picture(folder / "there before.png")
    return folder


@pytest.fixture(scope="module")
def watching(inbox: Path, zoo: Path) -> Iterator[Watching]:
    with Watching(inbox, "--out", inbox / "results", zoo=zoo) as watching:
        watching.until_watching()
        yield watching
        assert watching.end() == 0
        # Whatever went on: one row for each page, results of nothing but what people put there, nothing left over.
        found = rows(inbox / "results")
        assert len(found) == len({row[:2] for row in found})
        assert not [row for row in found if row[0].startswith("results")]
        assert not [path for path in inbox.rglob(".*")]


class TestWriters:
    """One watch, and each kind of writer that people have."""

    def test_what_was_there_at_the_start(self, watching: Watching, inbox: Path) -> None:
        watching.until_done("there before.png")
        assert (inbox / "results" / "there before.png").is_file()

    def test_a_copy(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        subprocess.run(["cp", picture(tmp_path / "copied.png"), inbox], check=True)
        watching.until_done("copied.png")

    def test_a_move(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        picture(tmp_path / "moved.png").rename(inbox / "moved.png")
        watching.until_done("moved.png")

    def test_a_folder_moved_and_one_made(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        picture(tmp_path / "box" / "deep" / "a.png")
        (tmp_path / "box").rename(inbox / "box")
        picture(inbox / "new" / "deep" / "b.png")
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
        _write(code, picture(tmp_path / "slow.png"), inbox / "slow.png")
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
        _write(code, picture(tmp_path / "loaded.png"), inbox / "loaded.png")
        watching.until_done("loaded.png")
        assert not (inbox / "results" / "loaded.png.part").exists()

    def test_unzipping(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        names = [f"album/{index}.png" for index in range(5)]
        with zipfile.ZipFile(tmp_path / "album.zip", "w") as archive:
            for index, name in enumerate(names):
                archive.write(picture(tmp_path / "x.png", index), name)
        subprocess.run([sys.executable, "-m", "zipfile", "-e", tmp_path / "album.zip", inbox], check=True)
        watching.until_done(*names)

    def test_one_that_is_replaced_is_done_again(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        picture(inbox / "again.png")
        watching.until_done("again.png")
        first = (inbox / "results" / "again.png").read_bytes()
        picture(tmp_path / "other.png", seed=5).rename(inbox / "again.png")
        watching.until(lambda: watching.states("again.png") == [("done", 1)] * 2, "done again")
        assert (inbox / "results" / "again.png").read_bytes() != first

    def test_one_that_never_decodes_is_told_of_once(self, watching: Watching, inbox: Path, tmp_path: Path) -> None:
        data = picture(tmp_path / "whole.png").read_bytes()
        (inbox / "half.png").write_bytes(data[: len(data) // 2])
        watching.until_done("half.png", status="failed")
        (inbox / "half.png").touch()
        picture(inbox / "after.png")
        watching.until_done("after.png")
        assert watching.states("half.png") == [("failed", 1)]
        (inbox / "half.png").write_bytes(data)
        watching.until_done("half.png")

    def test_one_that_is_deleted_is_forgotten(self, watching: Watching, inbox: Path) -> None:
        (inbox / "passing.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (inbox / "passing.png").unlink()
        picture(inbox / "sentinel.png")
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
        picture(inbox / f"{index}.png", index)
    (inbox / "bad.png").write_bytes(b"text")
    with Watching(inbox, "--health", health, zoo=zoo) as watching:
        watching.until_done("bad.png", status="failed")
        watching.until_done(*(f"{index}.png" for index in range(4)))
        watching.process.kill()
    picture(inbox / "4.png", 4)
    picture(inbox / "1.png", 9)
    with Watching(inbox, "--health", health, zoo=zoo) as watching:
        watching.until_done("1.png", "4.png")
        assert watching.end(signal.SIGINT) == 130
        assert {item["file"] for item in watching.outcomes} == {"1.png", "4.png"}
    assert sorted(rows(out)) == sorted(
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
    picture(inbox / "sub" / "a.png")
    picture(good / "sub" / "a.png", seed=3)
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


def test_what_failed_is_tried_again_where_that_is_asked_for_and_new_files_are_taken(tmp_path: Path, zoo: Path) -> None:
    inbox = tmp_path / "inbox"
    picture(inbox / "a.png")
    (inbox / "bad.png").write_bytes(b"no image")
    with Watching(inbox, "--once", "--retry-failed", zoo=zoo, settle=0.1) as watching:
        assert watching.wait() == 1
    picture(inbox / "new.png")
    for options, taken in (([], {"new.png"}), (["--retry-failed"], {"bad.png"})):
        with Watching(inbox, "--once", *options, zoo=zoo, settle=0.1) as watching:
            watching.wait()
        assert {item["file"] for item in watching.outcomes} == taken


def test_a_dry_run_tells_what_this_watch_would_take_and_touches_nothing(
    tmp_path: Path, zoo_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox = tmp_path / "inbox"
    picture(inbox / "a.png")
    picture(inbox / "done" / "old.png")
    (inbox / "bad.png").write_bytes(b"no image")
    with Watching(inbox, "--once", "--include", "bad.png", zoo=zoo_dir, settle=0.1) as watching:
        assert watching.wait() == 1
    before = sorted(tmp_path.rglob("*"))

    def planned(*options: str) -> list[str]:
        arguments = ["watch", str(inbox), "--dry-run", "--json", "--move-done", str(inbox / "done"), *options]
        assert cli.main(arguments, standalone_mode=False) is None
        return [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]

    assert planned() == ["a.png"]
    assert planned("--retry-failed") == ["a.png", "bad.png"]
    assert planned("--no-existing") == []
    with pytest.raises(UsageError, match="is a file"):
        watch.plan(Order(inbox / "a.png", tmp_path / "out"), Selection(), Habits())
    assert sorted(tmp_path.rglob("*")) == before


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
    assert sorted(rows(tmp_path / "inbox-denoised")) == [(name, "1", "done") for name in names]


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
