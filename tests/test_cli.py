"""The program as its user meets it: a real process, real files, exit codes, what is printed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from folderdenoise.batch import Outcome
from folderdenoise.console import describe
from folderdenoise.folder import Task
from folderdenoise.table import Row

from . import models, pictures


def _run(*arguments: object, cwd: Path | None = None, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "folderdenoise", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        command, capture_output=True, encoding=encoding, cwd=cwd, check=False, timeout=120, env=environment
    )


def _rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture
def scans(tmp_path: Path, zoo_dir: Path) -> Path:
    """Two good images and one bad in a tree with something else in it."""
    folder = tmp_path / "scans"
    pictures.save(folder / "a.png", pictures.noisy(pictures.scene(), 20))
    pictures.save(folder / "box" / "b.tif", pictures.noisy(pictures.scene(channels=1), 20))
    (folder / "box" / "bad.jpg").write_bytes(b"no image")
    (folder / "list.txt").write_text("a list")
    return folder


def test_a_folder_is_done_and_the_bad_file_told(scans: Path) -> None:
    result = _run("run", scans)
    out = scans.with_name("scans-denoised")
    assert result.returncode == 1
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "a.png",
        "box/b.tif",
        "metrics.csv",
    }
    rows = _rows(out)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.png": "done",
        "box/b.tif": "done",
        "box/bad.jpg": "failed",
    }
    assert rows["a.png"]["model"] == "rgb-leaky"
    assert rows["box/b.tif"]["model"] == "gray-leaky"
    assert "bad.jpg" in rows["box/bad.jpg"]["notes"]
    assert "bad.jpg" in result.stderr
    assert "2 done, 1 failed, 1 skipped" in result.stdout
    assert "/3] a.png, " in result.stdout  # plain lines where there is no terminal


def test_the_second_run_does_only_what_is_missing(scans: Path) -> None:
    (scans / "box" / "bad.jpg").unlink()
    assert _run("run", scans).returncode == 0
    out = scans.with_name("scans-denoised")
    (out / "a.png").unlink()
    stamp = (out / "box" / "b.tif").stat().st_mtime_ns
    second = _run("run", scans)
    assert second.returncode == 0
    assert "1 done, 2 skipped" in second.stdout
    assert (out / "box" / "b.tif").stat().st_mtime_ns == stamp
    assert sorted(_rows(out)) == ["a.png", "box/b.tif"]
    third = _run("run", scans)
    assert third.returncode == 0
    assert "Nothing to do" in third.stdout
    again = _run("run", scans, "--overwrite")
    assert "2 done" in again.stdout
    assert sorted(_rows(out)) == ["a.png", "box/b.tif"]


def test_dry_run_prints_the_plan_and_touches_nothing(scans: Path) -> None:
    before = sorted(path for path in scans.parent.rglob("*"))
    result = _run("run", scans, "--dry-run", "-v")
    assert result.returncode == 0
    assert f"{scans / 'a.png'} -> {scans.with_name('scans-denoised') / 'a.png'}" in result.stdout
    assert "list.txt: not an image" in result.stderr
    assert "3 to do" in result.stdout
    assert sorted(path for path in scans.parent.rglob("*")) == before


def test_json_is_one_object_a_file_and_nothing_else(scans: Path) -> None:
    result = _run("run", scans, "--json")
    objects = {item["file"]: item for item in map(json.loads, result.stdout.splitlines())}
    assert {name: item["status"] for name, item in objects.items()} == {
        "a.png": "done",
        "box/b.tif": "done",
        "box/bad.jpg": "failed",
    }
    assert objects["a.png"]["pages"][0]["width"] == 64
    assert "2 done, 1 failed" in result.stderr


def test_json_is_valid_where_nothing_changed(tmp_path: Path, zoo_dir: Path) -> None:
    pictures.save(tmp_path / "in" / "a.png", pictures.scene())
    result = _run("run", tmp_path / "in", "--strength", 0, "--reference", tmp_path / "in", "--json")
    page = json.loads(result.stdout)["pages"][0]
    assert "no clean version" not in result.stderr
    assert page["psnr"] is None  # infinite, which JSON cannot say
    assert page["mse"] == 0


def test_quiet_says_nothing_when_all_is_well(tmp_path: Path, zoo_dir: Path) -> None:
    pictures.save(tmp_path / "in" / "a.png", pictures.scene())
    result = _run("run", tmp_path / "in", "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_one_file_and_options_that_reach_the_pixels(tmp_path: Path, zoo_dir: Path) -> None:
    image = pictures.noisy(pictures.scene(), 20)
    source = pictures.save(tmp_path / "photo.png", image)
    result = _run("run", source, "--out", tmp_path / "o", "--model", "identity", "--precision", "f32", "--tile", 64)
    assert result.returncode == 0
    assert (pictures.load(tmp_path / "o" / "photo.png") == image).all()
    row = _rows(tmp_path / "o")["photo.png"]
    assert row["model"] == "identity"
    assert row["settings"] == "precision=f32 tile=64"


def test_best_is_another_result_and_the_row_says_so(tmp_path: Path) -> None:
    source = pictures.save(tmp_path / "photo.png", pictures.noisy(pictures.scene(), 20))
    results = []
    for options, settings in (((), ""), (("--best",), " best")):
        result = _run("run", source, "--out", tmp_path / "o", "--model", "gray-mse", "--precision", "f32", *options)
        assert result.returncode == 0
        assert _rows(tmp_path / "o")["photo.png"]["settings"] == "precision=f32 tile=auto" + settings
        results.append(pictures.load(tmp_path / "o" / "photo.png"))
    assert (results[0] != results[1]).any()


def test_a_reference_fills_the_scores(scans: Path, tmp_path: Path) -> None:
    pictures.save(tmp_path / "clean" / "a.png", pictures.scene())
    result = _run("run", scans, "--reference", tmp_path / "clean")
    rows = _rows(scans.with_name("scans-denoised"))
    assert float(rows["a.png"]["psnr"]) > 20
    assert rows["a.png"]["psnr_gain"]
    assert rows["box/b.tif"]["psnr"] == ""
    assert "no reference" in rows["box/b.tif"]["notes"]
    [said] = [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]
    assert f"--reference {tmp_path / 'clean'}: no clean version for 1 of 2 files; their scores are empty" in said


def test_an_estimate_is_made_where_it_is_asked_for(scans: Path) -> None:
    _run("run", scans, "--estimate")
    gains = {name: row["estimated_psnr_gain"] for name, row in _rows(scans.with_name("scans-denoised")).items()}
    assert gains.pop("box/bad.jpg") == ""
    assert all(0 < float(gain) < 20 for gain in gains.values())


def test_include_exclude_and_no_recursive(scans: Path, tmp_path: Path) -> None:
    for options, expected in (
        (("--no-recursive",), {"a.png"}),
        (("--include", "box/*", "--exclude", "*.jpg"), {"box/b.tif"}),
    ):
        out = tmp_path / options[0].strip("-")
        assert _run("run", scans, "--out", out, *options).returncode == 0
        assert set(_rows(out)) == expected


class TestExitCodes:
    def test_missing_input_is_2(self, tmp_path: Path, zoo_dir: Path) -> None:
        result = _run("run", tmp_path / "gone")
        assert result.returncode == 2
        assert str(tmp_path / "gone") in result.stderr
        assert "Traceback" not in result.stderr

    def test_input_as_output_is_2(self, scans: Path) -> None:
        result = _run("run", scans, "--out", scans)
        assert result.returncode == 2
        assert "--out" in result.stderr

    @pytest.mark.parametrize(
        "option",
        [
            ("--strength", "2.5"),
            ("--strength", "nan"),
            ("--precision", "f16"),
            ("--nonsense",),
            ("--memory", "nan"),
            ("--memory", "inf"),
            ("--max-megapixels", "nan"),
            ("--quality", "80", "--format", "png"),
        ],
    )
    def test_wrong_options_are_2(self, scans: Path, option: tuple[str, ...]) -> None:
        result = _run("run", scans, *option)
        assert result.returncode == 2
        assert option[0] in result.stderr
        assert not scans.with_name("scans-denoised").exists()

    @pytest.mark.parametrize(("command", "option"), [("run", "--log"), ("watch", "--log"), ("watch", "--health")])
    @pytest.mark.parametrize("name", ["a.png", "metrics.csv"])
    def test_nothing_else_is_written_over_pictures_and_tables(
        self, scans: Path, command: str, option: str, name: str
    ) -> None:
        before = (scans / "a.png").read_bytes()
        result = _run(command, scans, option, scans / name, *(["--once"] if command == "watch" else []))
        assert result.returncode == 2
        assert option in result.stderr
        assert (scans / "a.png").read_bytes() == before

    def test_more_strength_than_the_model_takes_is_2_before_any_work(self, scans: Path) -> None:
        result = _run("run", scans, "--strength", "1.5")
        assert result.returncode == 2
        assert "takes a strength between 0 and 1" in result.stderr
        assert not scans.with_name(f"{scans.name}-denoised").exists()

    def test_a_folder_without_images_is_0_with_a_message(self, scans: Path, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for arguments in ((tmp_path / "in",), (scans, "--include", "*.txt"), (scans, "--exclude", "*")):
            result = _run("run", *arguments)
            assert result.returncode == 0
            assert result.stdout.startswith("No images found. Check the folder, ")
        assert not (tmp_path / "in-denoised").exists()
        assert _run("run", tmp_path / "in", "--json").stderr.startswith("Nothing to do")

    @pytest.mark.skipif(os.name == "nt", reason="needs /proc or POSIX permissions")
    def test_an_output_that_cannot_be_made_is_4(self, scans: Path) -> None:
        # Not even root may make a folder in /proc; where there is none, / is closed to others.
        place = "/proc/denoised" if Path("/proc").is_dir() else "/denoised"
        result = _run("run", scans, "--out", place)
        assert result.returncode == 4
        assert place in result.stderr
        assert "--out" in result.stderr

    def test_an_unknown_model_is_5_and_the_nearest_named(self, scans: Path) -> None:
        result = _run("run", scans, "--model", "rgb-leeky")
        assert result.returncode == 5
        assert "rgb-leaky" in result.stderr

    def test_a_damaged_model_is_5_before_any_work(self, scans: Path, zoo_dir: Path) -> None:
        graph = zoo_dir / "rgb-leaky" / "model.onnx"
        graph.write_bytes(graph.read_bytes()[:-1])
        result = _run("run", scans)
        assert result.returncode == 5
        assert "SHA-256" in result.stderr
        assert not scans.with_name("scans-denoised").exists()

    @pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
    def test_ctrl_c_is_130_and_what_is_done_is_kept(self, tmp_path: Path, zoo_dir: Path) -> None:
        for index in range(40):
            pictures.save(tmp_path / "in" / f"{index:02}.png", pictures.noisy(pictures.scene(400, 400), 20))
        command = [sys.executable, "-m", "folderdenoise", "run", str(tmp_path / "in"), "--jobs", "1", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
        done = {json.loads(line)["file"] for line in [first, *rest.splitlines()]}
        assert process.returncode == 130
        assert "Interrupted" in errors
        out = tmp_path / "in-denoised"
        assert 1 <= len(done) < 40
        assert set(_rows(out)) == done == {path.name for path in out.glob("*.png")}
        assert f"{len(done)} done, {40 - len(done)} not done" in errors

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_list_that_cannot_be_written_is_4_and_what_is_done_is_kept(self, scans: Path) -> None:
        command = [sys.executable, "-m", "folderdenoise", "run", str(scans), "--json", "--jobs", "1"]
        with Path("/dev/full").open("wb") as full:
            result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
        assert result.returncode == 4
        assert "standard output" in result.stderr
        assert "Traceback" not in result.stderr
        rows = _rows(scans.with_name("scans-denoised"))
        assert rows["a.png"]["status"] == "done"
        assert _run("run", scans).stdout.startswith("[")

    @pytest.mark.skipif(os.name == "nt", reason="Windows says it otherwise")
    def test_a_reader_that_goes_away_ends_the_run_with_a_word_about_it(self, tmp_path: Path, zoo_dir: Path) -> None:
        for index in range(40):
            pictures.save(tmp_path / "in" / f"{index:02}.png", pictures.noisy(pictures.scene(400, 400), 20))
        command = [sys.executable, "-m", "folderdenoise", "run", str(tmp_path / "in"), "--jobs", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            errors = process.stderr.read()
        assert process.returncode == 4
        assert errors.startswith("Error: standard output: cannot be written")
        assert len(errors.splitlines()) == 1
        assert {row["status"] for row in _rows(tmp_path / "in-denoised").values()} == {"done"}


def test_a_model_for_digits_warns_once(tmp_path: Path, zoo_dir: Path) -> None:
    models.write_blur(zoo_dir / "digits", domain="digits")
    pictures.save(tmp_path / "in" / "a.png", pictures.scene())
    pictures.save(tmp_path / "in" / "b.png", pictures.scene())
    result = _run("run", tmp_path / "in", "--model", "digits")
    assert result.returncode == 0
    assert result.stderr.count("made for digits") == 1


class TestModels:
    def test_the_list_says_what_each_is_for(self, zoo_dir: Path) -> None:
        result = _run("models")
        assert result.returncode == 0
        line = next(line for line in result.stdout.splitlines() if line.startswith("gray-leaky"))
        assert "gray" in line
        assert "A model for tests." in line

    def test_a_card(self, zoo_dir: Path) -> None:
        assert "Apache-2.0" in _run("models", "rgb-leaky").stdout
        assert json.loads(_run("models", "rgb-leaky", "--json").stdout)["channels"] == 3
        assert {"identity", "rgb-leaky"} <= {card["name"] for card in json.loads(_run("models", "--json").stdout)}
        assert _run("models", "nonesuch").returncode == 5


def test_help_and_models_load_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from folderdenoise.cli import main; "
        "assert CliRunner().invoke(main, ['run', '--help']).exit_code == 0; "
        "assert CliRunner().invoke(main, ['models']).exit_code == 0; "
        "print([m for m in ('numpy', 'openvino', 'cv2', 'pyvips', 'skimage', 'rich', 'keras') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_names_that_no_terminal_can_print(tmp_path: Path, zoo_dir: Path) -> None:
    names = ["-rf.png", "new\nline.png", "smile 😀.png", "=cmd.png"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.png"))
    for name in names:
        pictures.save(tmp_path / "in" / "ok.png", pictures.scene()).rename(tmp_path / "in" / name)
    result = _run("run", tmp_path / "in", "-v")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "in-denoised").glob("*.png")) == sorted(names)
    # Again, where each line says why nothing is done, and to a pipe of a Western Windows.
    for encoding in ("utf-8", "cp1252"):
        again = _run("run", tmp_path / "in", "-v", encoding=encoding)
        assert again.returncode == 0, again.stderr
        assert len(again.stdout.splitlines()) == len(names) + 1
        assert "new\\nline.png (--overwrite" in again.stdout
    assert "smile \\U0001f600.png" in again.stdout


def test_a_damaged_file_is_named_once_whatever_its_name(tmp_path: Path, zoo_dir: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "new\nline.png").write_bytes(b"no image")
    result = _run("run", tmp_path / "in")
    assert result.returncode == 1
    assert result.stderr.count("line.png") == 1


def test_quiet_is_quiet_with_verbose_which_is_then_for_the_log(scans: Path, tmp_path: Path) -> None:
    (scans / "box" / "bad.jpg").unlink()
    result = _run("run", scans, "-q", "-v", "--log", tmp_path / "run.log")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "list.txt: skipped, not an image" in (tmp_path / "run.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(6, 6, "0.000036"), (640, 480, "0.31"), (2000, 3000, "6"), (4000, 3000, "12"), (12000, 10000, "120")],
)
def test_sizes_are_told_without_exponents(tmp_path: Path, width: int, height: int, expected: str) -> None:
    row = Row(file="a.png", width=width, height=height)
    outcome = Outcome(Task(tmp_path / "a.png", "a.png", tmp_path / "out" / "a.png"), (row,))
    assert describe(outcome, verbose=False).startswith(f"a.png, {expected} MP, ")


def test_what_is_too_large_is_told_by_its_true_size(tmp_path: Path, zoo_dir: Path) -> None:
    pictures.save(tmp_path / "in" / "a.png", pictures.scene(200, 200))
    result = _run("run", tmp_path / "in", "--max-megapixels", "0.01")
    assert "(0.04 megapixels) are more than the limit of 0.01 megapixels" in result.stderr


@pytest.mark.parametrize(("options", "leaves"), [([], [0]), (["--once"], [])])
def test_a_watch_that_was_stopped_does_not_wait_for_what_it_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], leaves: list[int]
) -> None:
    from click.testing import CliRunner

    from folderdenoise.cli import main

    left: list[int] = []
    monkeypatch.setattr("folderdenoise.watch.watch", lambda *asked: 0)
    monkeypatch.setattr("folderdenoise.cli._leave_at_once", left.append)
    assert CliRunner().invoke(main, ["watch", str(tmp_path), *options]).exit_code == 0
    assert left == leaves
