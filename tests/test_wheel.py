"""The wheel as its user gets it: installed in an environment of its own, run from another folder."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from . import pictures

REPOSITORY = Path(__file__).parents[1]


def _call(*command: object, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # No isolation: the build backend of the test environment, so that no network is needed.
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, REPOSITORY]
    _call(*build, cwd=folder, PIP_DISABLE_PIP_VERSION_CHECK="1")
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel in it; dependencies are seen, not installed again."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _call(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    packages = _call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # Searched after the environment's own packages: the wheel's folderdenoise comes first.
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_tool_workshop_and_models(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {folder.parent.name for folder in (REPOSITORY / "models").glob("*/card.json")}
    assert shipped >= {"rgb-leaky", "gray-leaky"}
    for model in shipped:
        assert f"folderdenoise/models/{model}/model.onnx" in names
        assert f"folderdenoise/models/{model}/card.json" in names
    assert "train/recipes.py" in names
    assert {f"folderdenoise/report/report.{suffix}" for suffix in ("html.j2", "css", "js")} <= set(names)
    # The figures of the studies are for readers of the repository.
    left_out = ("tests/", "examples/", "models/", "folderdenoise/models/study/", "folderdenoise/models/STUDY.md")
    assert not [name for name in names if name.startswith(left_out)]


def test_it_runs_from_another_folder_with_its_own_models(python: Path, tmp_path: Path) -> None:
    where = _call(python, "-c", "import folderdenoise; print(folderdenoise.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    pictures.save(tmp_path / "scans" / "sub" / "a.jpg", pictures.noisy(pictures.scene(90, 70), 25))
    program = python.parent / ("folderdenoise.exe" if os.name == "nt" else "folderdenoise")
    assert "1 done" in _call(program, "run", "scans", "--model", "rgb-leaky", cwd=tmp_path, FOLDERDENOISE_MODELS="")
    with (tmp_path / "scans-denoised" / "metrics.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["file"], row["status"], row["model"]) == ("sub/a.jpg", "done", "rgb-leaky")
    assert float(row["noise_after"]) < float(row["noise_before"]) / 2


def test_the_tool_never_imports_the_workshop(python: Path, tmp_path: Path) -> None:
    pictures.save(tmp_path / "scans" / "a.png", pictures.scene())
    code = (
        "import sys; from click.testing import CliRunner; from folderdenoise.cli import main; "
        "assert CliRunner().invoke(main, ['run', 'scans']).exit_code == 0; "
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'train', 'onnx')])"
    )
    assert _call(python, "-c", code, cwd=tmp_path).strip() == "[]"
