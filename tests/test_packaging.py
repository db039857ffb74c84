"""What goes into the packaged program and how it is tried. Nothing is built: packaging/smoke.py tries the real one."""

from __future__ import annotations

import configparser
import importlib.util
import re
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PACKAGING / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def contents() -> ModuleType:
    return _script("contents")


@pytest.fixture
def smoke() -> ModuleType:
    return _script("smoke")


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, contents: ModuleType) -> ModuleType:
    # A script finds its neighbours by itself.
    monkeypatch.setitem(sys.modules, "contents", contents)
    return _script("build")


def test_every_model_and_the_report_go_in(contents: ModuleType) -> None:
    inside = {f"{folder}/{Path(source).name}" for source, folder in contents.datas()}
    shipped = {card.parent.name for card in (ROOT / "models").glob("*/card.json")}
    assert inside >= {f"folderdenoise/models/{name}/{file}" for name in shipped for file in ("model.onnx", "card.json")}
    assert inside >= {f"folderdenoise/report/report.{suffix}" for suffix in ("html.j2", "css", "js")}
    assert not [name for name in inside if name.endswith((".keras", ".py"))]


def test_every_file_that_the_tool_reads_beside_its_code_goes_in(contents: ModuleType) -> None:
    sources = {Path(source) for source, _ in contents.datas()}
    for path in (ROOT / "folderdenoise").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert path in sources, f"{path} would be missing in the packaged program"


@pytest.mark.parametrize(
    "name",
    [
        "openvino/libs/libopenvino.so.2641",
        "openvino/libs/libopenvino_intel_cpu_plugin.so",
        "openvino/libs/libopenvino_onnx_frontend.so.2641",
        "openvino/libs/libtbb.so.12",
        "openvino\\libs\\openvino.dll",
        "openvino\\libs\\tbb12.dll",
        "openvino/libs/libopenvino.2641.dylib",
        "openvino/libs/libopenvino_arm_cpu_plugin.so",
        "openvino/_pyopenvino.cpython-311-x86_64-linux-gnu.so",
        "openvino/__init__.py",
        "PySide6/QtWidgets.abi3.so",
        "PySide6\\QtWidgets.pyd",
        "PySide6/Qt/lib/libQt6XcbQpa.so.6",
        "PySide6/Qt/lib/libicudata.so.73",
        "PySide6/Qt/lib/QtGui.framework/Versions/A/QtGui",
        "PySide6\\Qt6Core.dll",
        "PySide6/Qt/plugins/platforms/libqxcb.so",
        "PySide6\\plugins\\platforms\\qwindows.dll",
        "PySide6/Qt/plugins/platforms/libqcocoa.dylib",
        "PySide6/Qt/translations/qtbase_de.qm",
        "shiboken6/libshiboken6.abi3.so.6.11",
        "pyvips_binary.libs/libvips-e42572c0.so.42",
        "libxcb-cursor.so.0",
    ],
)
def test_what_the_program_needs_goes_in(contents: ModuleType, name: str) -> None:
    assert contents.wanted(name)


@pytest.mark.parametrize(
    "name",
    [
        "openvino/libs/libopenvino_intel_npu_plugin.so",
        "openvino/libs/libopenvino_pytorch_frontend.so.2641",
        "openvino\\libs\\openvino_tensorflow_frontend.dll",
        "openvino/libs/tbb.pc",
        "libopenvino_paddle_frontend.so.2641",
        "PySide6/QtNetwork.abi3.so",
        "PySide6/Qt/lib/libQt6Quick.so.6",
        "libQt6Pdf.so.6",
        "PySide6\\Qt6Svg.dll",
        "PySide6\\opengl32sw.dll",
        "PySide6/Qt/lib/QtNetwork.framework/Versions/A/QtNetwork",
        "PySide6/Qt/lib/QtNetwork.framework/Resources/Info.plist",
        "PySide6/Qt/plugins/platformthemes/libqgtk3.so",
        "PySide6/Qt/plugins/sqldrivers/libqsqlite.so",
        "PySide6/Qt/qml/QtQuick/qmldir",
        "PySide6/Qt/translations/qtbase_fr.qm",
        "cv2\\opencv_videoio_ffmpeg500_64.dll",
    ],
)
def test_what_it_does_not_need_stays_out(contents: ModuleType, name: str) -> None:
    assert not contents.wanted(name)


def test_what_is_left_out_is_imported_nowhere(contents: ModuleType) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "folderdenoise").rglob("*.py"))
    imported = set(re.findall(r"^ *(?:from|import) ([\w.]+)", code, flags=re.MULTILINE))
    # Of extras, for graphics cards and for clusters, which the packaged program does without.
    assert not imported & (set(contents.EXCLUDED_MODULES) - {"onnxruntime", "dask", "distributed", "fsspec"})


def test_the_parts_add_up_to_the_whole(build: ModuleType, tmp_path: Path) -> None:
    for name, size in {
        "folderdenoise": 10,
        "_internal/cv2/cv2.so": 300,
        "_internal/opencv_python_headless.libs/libavcodec.so": 200,
        "_internal/libstdc++.so.6": 40,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    parts = build.parts(tmp_path)
    assert parts["cv2"] == 500
    assert parts.total() == 550
    assert parts.most_common(1)[0][0] == "cv2"


def _program(folder: Path) -> Path:
    (folder / "_internal").mkdir(parents=True)
    (folder / "folderdenoise").write_bytes(b"x" * 100)
    (folder / "folderdenoise").chmod(0o755)
    (folder / "_internal" / "library").write_bytes(b"y" * 1000)
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the archive of Linux")
def test_what_was_packed_comes_out_again(build: ModuleType, smoke: ModuleType, tmp_path: Path) -> None:
    program = _program(tmp_path / "dist" / "folderdenoise")
    (program / "_internal" / "link").symlink_to("library")
    archive = build.pack(program, tmp_path / "folderdenoise-1.2-linux-x86_64")
    assert archive.name == "folderdenoise-1.2-linux-x86_64.tar.xz"
    with tarfile.open(archive) as opened:
        assert {entry.uname for entry in opened} == {"root"}
    (tmp_path / "Ünter wegs").mkdir()
    unpacked = smoke.install(archive, tmp_path / "Ünter wegs")
    assert unpacked == tmp_path / "Ünter wegs" / "folderdenoise"
    assert (unpacked / "_internal" / "link").readlink() == Path("library")
    assert smoke.executable(unpacked).stat().st_mode & 0o111
    assert smoke.size(unpacked) == build.parts(unpacked).total() == 1100


def test_a_program_that_is_too_heavy_is_unfit(
    smoke: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _program(tmp_path / "folderdenoise")
    assert "0 MB unpacked" in smoke.weigh(program, program)
    monkeypatch.setattr(smoke, "LIMIT_UNPACKED", 1099)
    with pytest.raises(smoke.UnfitError, match="more than"):
        smoke.weigh(program, program)


def test_licences_go_in_whoever_brings_the_text(build: ModuleType, smoke: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(smoke.UnfitError, match=r"LICENSE, README.txt, LGPL-3\.0\.txt.*openvino"):
        smoke.check_papers(tmp_path)
    build.add_licences(tmp_path / "licences")
    (tmp_path / "LICENSE").touch()
    assert "texts" in smoke.check_papers(tmp_path)
    # Qt's wheels bring none.
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in (tmp_path / "licences" / "LGPL-3.0.txt").read_text(encoding="utf-8")
    assert "PYTHON SOFTWARE FOUNDATION" in (tmp_path / "licences/Python/LICENSE.txt").read_text(encoding="utf-8")


def test_texts_of_one_name_do_not_replace_each_other(build: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.0.dist-info"
    files = ["licenses/LICENSE.md", "licenses/vendored/LICENSE.md", "NOTICE", "METADATA"]
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("Name: thing\n" if name == "METADATA" else name, encoding="utf-8")
    record = "".join(f"{folder.name}/{name},,\n" for name in files)
    (folder / "RECORD").write_text(f"{record}thing/LICENSE,,\n", encoding="utf-8")
    texts = build.licence_texts(metadata.Distribution.at(folder))
    assert texts.keys() == {"LICENSE.md", "vendored/LICENSE.md", "NOTICE"}
    assert texts["vendored/LICENSE.md"].read_text(encoding="utf-8") == "licenses/vendored/LICENSE.md"


def test_a_package_without_a_licence_text_ends_the_build(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "licence_texts", lambda found: {})
    with pytest.raises(SystemExit, match=r"has no licence text.*packaging/licences"):
        build.add_licences(tmp_path)


def test_the_deb_names_who_stands_behind_it(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"\S.* <\S+@\S+>", build.maintainer())
    monkeypatch.setattr(build.metadata, "metadata", lambda name: {"Author-email": "A. B. <a@b.example>"})
    assert build.maintainer() == "A. B. <a@b.example>"
    assert "{maintainer}" in (PACKAGING / "control").read_text(encoding="utf-8")


def test_one_unfit_step_is_told_and_the_others_are_taken(smoke: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def unfit() -> str:
        raise smoke.UnfitError("no result")

    assert smoke.attempt([unfit, lambda: "models: 8"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "UNFIT no result" in printed[0]
    assert "ok    models: 8" in printed[1]
    assert smoke.attempt([lambda: "models: 8"]) == 0


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a.png,done,14.0,1.5,", None),
        ("a.png,failed,,,cut short", "cut short"),
        ("a.png,done,14.0,13.9,", "noise"),
        ("b.png,done,14.0,1.5,", "no row"),
    ],
)
def test_results_are_checked(smoke: ModuleType, tmp_path: Path, row: str, complaint: str | None) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    for folder in (scans, out):
        folder.mkdir()
        (folder / "a.png").write_bytes(b"")
    (out / "metrics.csv").write_text(f"file,status,noise_before,noise_after,notes\n{row}\n", encoding="utf-8")
    if complaint is None:
        assert smoke.check_results(scans, out) == "1 files done"
    else:
        with pytest.raises(smoke.UnfitError, match=complaint):
            smoke.check_results(scans, out)


def test_nothing_of_the_environment_is_left(smoke: ModuleType) -> None:
    assert set(smoke.environment()) <= {"SYSTEMROOT"}


def test_the_menu_entry_takes_folders() -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[method-assign, assignment]
    entry.read(PACKAGING / "folderdenoise.desktop", encoding="utf-8")
    entry_of_menu = entry["Desktop Entry"]
    assert entry_of_menu["Exec"] == "folderdenoise %F"
    assert "inode/directory" in entry_of_menu["MimeType"].split(";")


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_name_three_systems_and_files_that_exist(name: str) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the workflows")
    workflow = ROOT / ".github" / "workflows" / f"{name}.yml"
    if not workflow.is_file():
        pytest.skip("an unpacked sdist has no workflows")
    text = workflow.read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    systems = {
        system.split("-")[0]
        for job in jobs.values()
        for system in job.get("strategy", {}).get("matrix", {}).get("os", ())
    }
    assert systems == {"ubuntu", "windows", "macos"}
    for path in re.findall(r"(?:packaging[/\\]|\.ci/)[\w.]+", text):
        assert (ROOT / path.replace("\\", "/")).is_file(), path


def test_the_entry_script_starts_the_launcher() -> None:
    text = (PACKAGING / "start.py").read_text(encoding="utf-8")
    module = re.search(r"^from ([\w.]+) import main", text, flags=re.MULTILINE)
    assert module is not None
    assert callable(importlib.import_module(module[1]).main)
