"""Which files are taken, where results go, and that originals are out of reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from folderdenoise import naming
from folderdenoise.errors import UsageError
from folderdenoise.folder import Selection, default_out, make_plan
from folderdenoise.ledger import Ledger


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def _relatives(source: Path, out: Path, selection: Selection | None = None) -> list[str]:
    return [task.relative for task in make_plan(source, out, selection or Selection()).tasks]


def test_the_tree_is_mirrored_in_the_order_of_names(tmp_path: Path) -> None:
    _touch(tmp_path / "in", "b.png", "a.JPG", "box 2/c.tiff", "box 2/deep/d.webp")
    plan = make_plan(tmp_path / "in", tmp_path / "out", Selection())
    assert [task.relative for task in plan.tasks] == ["a.JPG", "b.png", "box 2/c.tiff", "box 2/deep/d.webp"]
    assert [task.output for task in plan.tasks] == [tmp_path / "out" / task.relative for task in plan.tasks]


def test_junk_is_ignored_in_silence_and_other_files_with_a_reason(tmp_path: Path) -> None:
    _touch(tmp_path, "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir/a.png", ".stfolder/a.png")
    _touch(tmp_path, ".0123456789abcdef.folderdenoise-part", "letter.txt", "a.png", ".hidden/a.png", "__MACOSX/a.png")
    plan = make_plan(tmp_path, tmp_path.with_name("out"), Selection())
    assert [task.relative for task in plan.tasks] == ["a.png"]
    assert [(skipped.path.name, skipped.reason) for skipped in plan.skipped] == [("letter.txt", "not an image (.txt)")]


def test_kinds_that_need_converting_are_tasks_so_that_they_get_a_row(tmp_path: Path) -> None:
    _touch(tmp_path, "photo.CR2", "drawing.svg")
    assert _relatives(tmp_path, tmp_path.with_name("out")) == ["drawing.svg", "photo.CR2"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(recursive=False), ["a.png", "b.tif"]),
        (Selection(include=["*.TIF"]), ["b.tif", "box1/c.tif"]),
        (Selection(include=["box1/*"]), ["box1/c.tif"]),
        (Selection(exclude=["*.tif"]), ["a.png"]),
        (Selection(include=["*.tif"], exclude=["box1/*"]), ["b.tif"]),
    ],
)
def test_selection(tmp_path: Path, selection: Selection, expected: list[str]) -> None:
    _touch(tmp_path, "a.png", "b.tif", "box1/c.tif")
    assert _relatives(tmp_path, tmp_path.with_name("out"), selection) == expected


def test_what_needs_no_doing_is_skipped_with_the_reason(tmp_path: Path) -> None:
    _touch(tmp_path / "in", "a.png", "b.png")
    reasons = {"a.png": "done"}
    plan = make_plan(
        tmp_path / "in", tmp_path / "out", Selection(), reason_to_skip=lambda task: reasons.get(task.relative)
    )
    assert [task.relative for task in plan.tasks] == ["b.png"]
    assert [(skipped.path, skipped.reason) for skipped in plan.skipped] == [(tmp_path / "in" / "a.png", "done")]


def test_results_of_another_run_inside_the_input_are_not_taken_as_input(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "older/a.png", "older/sub/b.png", "data/c.png")
    Ledger(tmp_path / "older" / "metrics.csv").close()
    (tmp_path / "data" / "metrics.csv").write_text("sample,dose\n1,2\n")  # somebody else's table
    plan = make_plan(tmp_path, tmp_path / "newer", Selection())
    assert [task.relative for task in plan.tasks] == ["a.png", "data/c.png"]
    assert ("older", True) in [
        (skipped.path.name, "results of this tool" in skipped.reason) for skipped in plan.skipped
    ]


def test_two_files_with_one_result_are_found_before_work_starts(tmp_path: Path) -> None:
    _touch(tmp_path / "in", "a.jpg", "sub/a.tif", "sub/a.jpeg", "sub/a.cr2", "b.jpg")
    with pytest.raises(UsageError, match=r"sub/a\.jpeg and sub/a\.tif") as caught:
        make_plan(tmp_path / "in", tmp_path / "out", Selection(), suffix=".png")
    assert "b.jpg" not in str(caught.value)
    plan = make_plan(tmp_path / "in", tmp_path / "out", Selection(exclude=["*.tif", "*.cr2"]), suffix=".png")
    assert [task.output.relative_to(tmp_path / "out").as_posix() for task in plan.tasks] == [
        "a.png",
        "b.png",
        "sub/a.png",
    ]


@pytest.mark.parametrize("folds", [True, False])
def test_names_equal_but_for_case_collide_on_a_disk_that_does_not_tell_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: bool
) -> None:
    _touch(tmp_path / "in", "a.png", "b/Café.png")
    _touch(tmp_path / "in", "A.png")
    if len(list((tmp_path / "in").iterdir())) < 3:
        pytest.skip("this disk does not tell A from a: such names cannot be made")
    monkeypatch.setattr(naming, "ignores_case", lambda folder: folds)
    if folds:
        with pytest.raises(UsageError, match=r"A\.png and a\.png"):
            make_plan(tmp_path / "in", tmp_path / "out", Selection())
    else:
        assert len(make_plan(tmp_path / "in", tmp_path / "out", Selection()).tasks) == 3


def test_the_disk_is_asked_about_case_without_being_written_to(tmp_path: Path) -> None:
    (tmp_path / "Upper").mkdir()
    assert naming.ignores_case(tmp_path / "Upper" / "not there") == (tmp_path / "uPPER").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["Upper"]


@pytest.mark.parametrize(
    ("relative", "suffix", "expected"),
    [
        ("sub/a.jpg", None, "sub/a.jpg"),
        ("sub/a.b.JPG", ".png", "sub/a.b.png"),
        ("a.jpeg", ".jpg", "a.jpeg"),
        ("a.TIFF", ".tif", "a.TIFF"),
    ],
)
def test_the_name_of_a_result(relative: str, suffix: str | None, expected: str) -> None:
    assert naming.output_name(relative, suffix) == expected


def test_results_inside_the_input_are_not_taken_as_input(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "results/a.png")
    assert _relatives(tmp_path, tmp_path / "results", Selection(overwrite=True)) == ["a.png"]


def test_one_file_goes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    _touch(tmp_path, "scan.page.png", "other.png")
    source = tmp_path / "scan.page.png"
    assert default_out(source) == tmp_path / "scan.page-denoised"
    assert [task.output for task in make_plan(source, default_out(source), Selection()).tasks] == [
        tmp_path / "scan.page-denoised" / "scan.page.png"
    ]


def test_the_default_output_stands_beside_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box.1").mkdir()
    assert default_out(tmp_path / "box.1") == tmp_path / "box.1-denoised"
    monkeypatch.chdir(tmp_path / "box.1")
    assert default_out(Path()) == tmp_path / "box.1-denoised"


def _link(target: Path, link: Path) -> None:
    try:
        link.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this system does not let us make symbolic links")


def test_windows_junctions_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are folders to all that look, and no symbolic links."""
    _touch(tmp_path / "in", "a.png", "sub/b.png", "loop/c.png")
    lstat = Path.lstat

    def windows(self: Path) -> object:
        tag = 0xA0000003 if self.name == "loop" else 0
        return SimpleNamespace(st_mode=lstat(self).st_mode, st_reparse_tag=tag)

    monkeypatch.setattr(Path, "lstat", windows)
    plan = make_plan(tmp_path / "in", tmp_path / "out", Selection())
    assert [task.relative for task in plan.tasks] == ["a.png", "sub/b.png"]
    assert [(skipped.path.name, "not followed" in skipped.reason) for skipped in plan.skipped] == [("loop", True)]


@pytest.mark.parametrize("where", ["same", "dotted", "link", "below link"])
def test_the_input_itself_is_refused_as_output(tmp_path: Path, where: str) -> None:
    source = tmp_path / "in"
    _touch(source, "a.png")
    _link(source, tmp_path / "link")
    outs = {"same": source, "dotted": tmp_path / "x" / ".." / "in", "link": tmp_path / "link"}
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError, match="--out"):
        make_plan(source, outs.get(where, tmp_path / "link" / "sub"), Selection())


def test_an_output_that_reaches_an_original_through_a_link_inside_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path / "in", "sub/a.png")
    (tmp_path / "out").mkdir()
    _link(tmp_path / "in" / "sub", tmp_path / "out" / "sub")
    with pytest.raises(UsageError, match="originals"):
        make_plan(tmp_path / "in", tmp_path / "out", Selection(overwrite=True))


def test_an_output_above_the_input_must_not_land_on_another_original(tmp_path: Path) -> None:
    _touch(tmp_path, "in/in/a.png", "in/a.png")
    with pytest.raises(UsageError, match="originals"):
        make_plan(tmp_path / "in", tmp_path, Selection(overwrite=True))


def test_links_that_lead_out_of_the_folder_or_in_circles_are_not_followed(tmp_path: Path) -> None:
    _touch(tmp_path, "elsewhere/secret.png", "in/a.png")
    _link(tmp_path / "elsewhere", tmp_path / "in" / "away")
    _link(tmp_path / "in", tmp_path / "in" / "circle")
    _link(tmp_path / "elsewhere" / "secret.png", tmp_path / "in" / "b.png")
    plan = make_plan(tmp_path / "in", tmp_path / "out", Selection())
    assert [task.relative for task in plan.tasks] == ["a.png"]
    assert sorted(skipped.path.name for skipped in plan.skipped) == ["away", "b.png", "circle"]


def test_links_are_followed_on_demand_but_not_in_circles_or_into_the_results(tmp_path: Path) -> None:
    _touch(tmp_path, "elsewhere/deep/far.png", "one.png", "in/a.png", "out/earlier.png")
    _link(tmp_path / "elsewhere", tmp_path / "in" / "away")
    _link(tmp_path / "one.png", tmp_path / "in" / "b.png")
    _link(tmp_path / "in", tmp_path / "in" / "circle")
    _link(tmp_path / "in", tmp_path / "elsewhere" / "deep" / "around")
    _link(tmp_path, tmp_path / "in" / "all")
    plan = make_plan(tmp_path / "in", tmp_path / "out", Selection(follow_links=True))
    names = [task.relative for task in plan.tasks]
    assert names[:2] == ["a.png", "b.png"]
    assert "away/deep/far.png" in names
    assert "all/elsewhere/deep/far.png" in names
    assert not any("circle" in name or "around" in name or "earlier" in name for name in names)
    assert {"circle", "around"} <= {skipped.path.name for skipped in plan.skipped}
    assert all("circle" in skipped.reason for skipped in plan.skipped if skipped.path.name in ("circle", "around"))


def test_references_by_the_same_path_or_the_same_stem(tmp_path: Path) -> None:
    _touch(tmp_path / "in", "a.jpg", "sub/b.jpg", "c.jpg")
    _touch(tmp_path / "clean", "a.jpg", "a.png", "sub/b.png")
    plan = make_plan(tmp_path / "in", tmp_path / "out", Selection(), tmp_path / "clean")
    assert [task.reference for task in plan.tasks] == [
        tmp_path / "clean" / "a.jpg",
        tmp_path / "clean" / "c.jpg",  # is missing: the row will say so
        tmp_path / "clean" / "sub" / "b.png",
    ]


@pytest.mark.parametrize("missing", ["source", "reference"])
def test_missing_folders_are_named(tmp_path: Path, missing: str) -> None:
    source = tmp_path / ("gone" if missing == "source" else "in")
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match=r"gone.*no such"):
        make_plan(source, tmp_path / "out", Selection(), tmp_path / "gone" if missing == "reference" else None)


def test_a_file_as_reference_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.png", "clean.png")
    with pytest.raises(UsageError, match=r"--reference .*clean\.png: is a file\. Name the folder that holds it"):
        make_plan(tmp_path / "in", tmp_path / "out", Selection(), tmp_path / "clean.png")


@pytest.mark.parametrize("name", ["scan0001", "notes.txt"])
def test_one_file_without_a_suffix_of_an_image_is_refused(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, name, "photo.CR2")
    with pytest.raises(UsageError, match=rf"{name}: is not taken, .* {name}\.tif\."):
        make_plan(tmp_path / name, tmp_path / "out", Selection())
    assert _relatives(tmp_path / "photo.CR2", tmp_path / "out") == ["photo.CR2"], "its row says what to do"


def test_a_file_as_output_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.png", "out")
    with pytest.raises(UsageError, match="is a file"):
        make_plan(tmp_path / "in", tmp_path / "out", Selection())


@contextmanager
def _ordinary_user(folder: Path) -> Iterator[None]:
    """Root may read everything: be nobody for a while, as far as files go, with the way to ``folder`` open."""
    if os.name == "nt":
        pytest.skip("needs POSIX permissions")
    if os.geteuid() != 0:
        yield
        return
    modes = {path: path.stat().st_mode for path in (folder, *folder.parents)}
    for path, mode in modes.items():
        path.chmod(mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


def test_unreadable_folders_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "in"
    _touch(root, "a.png", "locked/b.png")
    (root / "locked").chmod(0)
    with _ordinary_user(root):
        plan = make_plan(root, tmp_path / "out", Selection())
        with pytest.raises(UsageError, match="cannot be read"):
            make_plan(root / "locked", tmp_path / "out", Selection())
    assert [task.relative for task in plan.tasks] == ["a.png"]
    assert [folder.path for folder in plan.unreadable] == [root / "locked"]
    assert "permission" in plan.unreadable[0].reason
