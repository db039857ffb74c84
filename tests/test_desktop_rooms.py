"""What the window is made of and needs no window: texts, sources, what is computed next, how it is started."""

from __future__ import annotations

import itertools
import os
import string
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from folderdenoise import zoo
from folderdenoise.batch import Outcome, Settings, run_batch
from folderdenoise.desktop import app, estimate, pieces, plain, texts
from folderdenoise.desktop.choices import choices
from folderdenoise.desktop.launch import Way, decide
from folderdenoise.desktop.sources import Source, Sources
from folderdenoise.engine import Denoiser
from folderdenoise.errors import OutputBusyError, OutputError, UsageError
from folderdenoise.folder import Task, make_plan
from folderdenoise.images import read
from folderdenoise.screen import Turn, to_screen

from . import pictures
from .conftest import why_no_qt


def test_all_languages_say_the_same_things() -> None:
    english = texts.LANGUAGES["en"].texts
    for code, language in texts.LANGUAGES.items():
        assert language.texts.keys() == english.keys(), code
        for key, text in language.texts.items():
            assert _placeholders(text) == _placeholders(english[key]), (code, key)
            assert text.strip(), (code, key)


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_summaries_that_are_translated_are_those_of_the_models() -> None:
    said = {f"{card.summary.partition('. ')[0].rstrip('.')}." for card in zoo.available()}
    assert texts.LANGUAGES["de"].summaries.keys() <= said


def test_numbers_and_times_are_written_as_the_language_does() -> None:
    try:
        texts.use("de-AT")
        assert (texts.decimal(12.34, 1), estimate.in_words(130)) == ("12,3", "etwa 2 Minuten")
        texts.use("fr_FR")
        assert (texts.decimal(12.34, 1), estimate.in_words(20)) == ("12.3", "less than a minute")
        assert estimate.in_words(2 * 3600 + 300) == "about 2 h 5 min"
    finally:
        texts.use("en")


def test_automatic_is_offered_first_and_models_for_other_pictures_last() -> None:
    offered = choices()
    assert offered[0].name == "auto"
    photographs = [card for card in zoo.available() if card.domain == "photographs"]
    names = [card.name for card in sorted(photographs, key=lambda card: -card.channels)]
    assert [choice.name for choice in offered[1 : 1 + len(photographs)]] == names
    assert all("nly for" in choice.title for choice in offered[1 + len(photographs) :])
    strengths = {choice.name: choice.most for choice in offered}
    assert (strengths["rgb-leaky"], strengths["rgb-relu"]) == (2, 1)


def test_folders_and_files_are_taken_once(tmp_path: Path) -> None:
    box = tmp_path / "box"
    pictures.save(box / "inner" / "a.png", pictures.scene())
    pictures.save(tmp_path / "b.png", pictures.scene())
    sources = Sources()
    assert sources.add([box / "inner"]) == [Source(box / "inner")]
    assert sources.add([box, box / "inner"]) == [Source(box)]
    # There may be more in it by now.
    assert sources.add([box / "inner" / "a.png", box]) == [Source(box)]
    assert sources.add([tmp_path / "b.png"]) == [Source(tmp_path, frozenset({"b.png"}))]
    assert list(sources) == [Source(box), Source(tmp_path, frozenset({"b.png"}))]
    assert sources.outs(None) == {box: tmp_path / "box-denoised", tmp_path: Path(f"{tmp_path}-denoised")}


def test_results_of_namesakes_never_go_into_one_folder(tmp_path: Path) -> None:
    roots = [tmp_path / year / "scans" for year in ("1906", "1907")]
    for root in roots:
        root.mkdir(parents=True)
    sources = Sources()
    sources.add(roots)
    place = tmp_path / "clean"
    assert list(sources.outs(place).values()) == [place / "1906 - scans-denoised", place / "1907 - scans-denoised"]


def test_only_the_files_that_were_chosen_are_planned(tmp_path: Path) -> None:
    for name in ("[a].png", "b.png", "inner/[a].png"):
        pictures.save(tmp_path / "in" / name, pictures.scene())
    sources = Sources()
    [source] = sources.add([tmp_path / "in" / "[a].png"])
    plan = make_plan(source.root, tmp_path / "out", source.selection)
    assert [task.relative for task in plan.tasks] == ["[a].png"]


def test_what_is_looked_at_is_computed_first_then_all_of_the_rest() -> None:
    width, height = 4000, 3000
    done = pieces.cells_for(width, height)
    looked_at = (1500, 1000, 2100, 1800)
    first = pieces.next_piece(done, [looked_at], width, height)
    assert first is not None
    assert first[0] <= looked_at[0]
    assert first[1] <= looked_at[1]
    assert first[2] >= looked_at[2]
    assert first[3] >= looked_at[3]
    assert (first[2] - first[0]) * (first[3] - first[1]) < 1.2 * 600 * 800
    covered = np.zeros((height, width), np.uint8)
    for _ in range(100):
        piece = pieces.next_piece(done, [looked_at], width, height)
        if piece is None:
            break
        covered[piece[1] : piece[3], piece[0] : piece[2]] += 1
        pieces.mark(done, piece)
        assert (piece[2] - piece[0]) * (piece[3] - piece[1]) <= 1300 * 1024
    assert covered.min() == 1
    assert covered.mean() < 1.05


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_shown_is_found_in_what_is_stored(orientation: int) -> None:
    stored = np.arange(5 * 7).reshape(5, 7)
    turn = Turn.of(orientation)
    shown = turn(stored)
    width, height = turn.size(7, 5)
    assert shown.shape == (height, width)
    left, top, right, bottom = turn.to_stored((1, 2, 4, 5), width, height)
    assert np.array_equal(turn(stored[top:bottom, left:right]), shown[2:5, 1:4])


def test_orientation_6_is_shown_turned_to_the_right() -> None:
    assert np.array_equal(Turn.of(6)(np.array([[1, 2], [3, 4]])), [[3, 1], [4, 2]])
    assert np.array_equal(Turn.of(8)(np.array([[1, 2], [3, 4]])), [[2, 4], [1, 3]])


def test_all_kinds_of_pixels_come_to_the_screen() -> None:
    gray = np.array([[[0], [65535]]], np.uint16)
    assert to_screen(gray, None, None).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert to_screen(np.array([[[-0.5], [2.0]]], np.float32), None, None)[0, :, 0].tolist() == [0, 255]
    paper = to_screen(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), None)
    assert paper.min() > 200
    inks = to_screen(np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), None, None)
    assert inks[0, 0].min() > 240
    assert inks[0, 1].max() < 80
    # A profile that is none: shown as if it were not there.
    assert to_screen(np.full((1, 1, 3), 9, np.uint8), None, b"none").tolist() == [[[9, 9, 9]]]


def test_time_that_was_paused_does_not_count() -> None:
    now = itertools.count(step=10).__next__
    clock = estimate.Estimate(lambda: float(now()))
    clock.expect(100)
    assert clock.seconds_left is None
    clock.run()  # at 0
    clock.pause()  # at 10
    clock.run()  # at 20
    clock.advance(50)
    assert clock.share == 0.5
    assert clock.seconds_left == 20  # at 30: worked for 20


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "empty"), (b"GIF89a", "damaged"), (b"some text", "not a picture"), (b"%PDF-1.7", "Save it as TIFF")],
)
def test_why_a_file_failed_is_said_in_plain_words(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"a\.jpg") as caught:
        read(path)
    said = plain.about_file(str(caught.value))
    assert words in said
    assert plain.about_error(caught.value) == said


def test_why_a_run_ended_is_said_in_plain_words_without_options_of_the_command_line(tmp_path: Path) -> None:
    errors = [
        OutputBusyError("x: another folderdenoise ... choose another --out."),
        OutputError("x: cannot be written, the disk is full. Make free space on it."),
        OutputError("x: the output folder is gone: removed"),
        UsageError("x: is there already, but no metrics.csv says ... --overwrite."),
        ValueError("--boom"),
    ]
    said = [plain.about_error(error) for error in errors]
    assert len(set(said)) == len(said)
    assert not any("--" in words for words in said)


def test_double_click_drag_onto_the_icon_and_terminal_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "scans").mkdir()
    picture = pictures.save(tmp_path / "a.png", pictures.scene())
    commands = {"run", "watch"}
    assert decide([], commands) is Way.WINDOW
    assert decide([str(tmp_path / "scans")], commands) is Way.DENOISE
    assert decide([str(picture), str(tmp_path / "run")], commands) is Way.DENOISE
    assert decide(["run", "scans"], commands) is Way.COMMAND
    assert decide(["run"], commands) is Way.COMMAND
    assert decide(["--help"], commands) is Way.COMMAND
    assert decide([str(tmp_path / "gone")], commands) is Way.COMMAND


def test_without_pyside_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"in the folder of folderdenoise: pip install '\.\[desktop\]'"):
        app.run([])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_the_command_says_so() -> None:
    if reason := why_no_qt():
        pytest.skip(reason)
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    command = [sys.executable, "-m", "folderdenoise", "gui"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert result.returncode == 2
    assert "no display" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems bring all that Qt needs")
def test_a_library_that_qt_lacks_is_named_and_qt_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := why_no_qt():
        pytest.skip(reason)

    def load(name: str) -> None:
        assert Path(name).name == "libqxcb.so"
        raise OSError("libxcb-icccm.so.4: cannot open shared object file")

    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(app.ctypes, "CDLL", load)
    with pytest.raises(UsageError, match=r"libxcb-icccm\.so\.4: cannot.*apt install .*libxcb-icccm4"):
        app.run([])


@pytest.mark.usefixtures("zoo_dir")
def test_a_paused_run_waits_and_then_goes_on(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    tasks = []
    for name in ("a.png", "b.png", "c.png"):
        source = pictures.save(tmp_path / "in" / name, pictures.noisy(pictures.scene(), 20))
        tasks.append(Task(source, name, tmp_path / "out" / name))
    go = threading.Event()
    ticks = 0
    outcomes: list[Outcome] = []

    def on_tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 5:
            assert outcomes == []
            go.set()

    run_batch(tasks, Denoiser(), Settings(), outcomes.append, jobs=2, go=go, on_tick=on_tick)
    assert sorted(outcome.task.relative for outcome in outcomes) == ["a.png", "b.png", "c.png"]
    assert ticks >= 5
