"""Build the packaged program: a folder that runs on machines without Python, and an archive of it.

    python packaging/build.py --out dist

Run it with a Python that has nothing else installed: `pip install '.[desktop,package]'` in a new virtual environment.
On Linux a .deb is made, too, where dpkg-deb is there; on macOS a folderdenoise.app. README.md here explains all of it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import metadata
from pathlib import Path

import contents
from packaging.requirements import Requirement

PACKAGING = Path(__file__).resolve().parent
SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the program and its archive")
    parser.add_argument("--fast", action="store_true", help="only the folder: no archive, no .deb")
    options = parser.parse_args()
    out = options.out.resolve()
    if not options.fast:
        refuse_incomplete()
    freeze(out)
    program = place(out)
    add_papers(out, program)
    made = [] if options.fast else [pack(program, out / f"folderdenoise-{label()}")]
    if not options.fast and shutil.which("dpkg-deb"):
        made.append(deb(program, out))
    print(describe(program))
    for path in made:
        print(f"{megabytes(path.stat().st_size):>9}  {path.name}  sha256 {digest(path)}")


def refuse_incomplete() -> None:
    """End the build where a library is missing that goes in from this system: PyInstaller would leave it out."""
    from folderdenoise.desktop.app import missing_library

    if library := missing_library():
        sys.exit(f"The window of the program would not open: {library}. README.md beside this says what to install.")


def freeze(out: Path) -> None:
    """Run PyInstaller. Its own working files stay out of the way."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"]
        command += ["--distpath", str(out), "--workpath", work, str(PACKAGING / "folderdenoise.spec")]
        # The icon is drawn by Qt, which needs no display for it.
        subprocess.run(command, check=True, env=os.environ | {"QT_QPA_PLATFORM": "offscreen"})


def place(out: Path) -> Path:
    """What a user gets: the folder, or on macOS the application."""
    application = out / "folderdenoise.app"
    return application if application.is_dir() else out / "folderdenoise"


def add_papers(out: Path, program: Path) -> None:
    """Licences of what is inside; on Linux also the icon and the menu entry."""
    beside = program / "Contents" / "Resources" if program.suffix == ".app" else program
    add_licences(beside / "licences")
    shutil.copyfile(contents.ROOT / "LICENSE", beside / "LICENSE")
    if program.suffix == ".app":
        # What was added would make the signature of PyInstaller wrong.
        subprocess.run(["codesign", "--force", "--deep", "--sign", "-", program], check=True)
    if sys.platform.startswith("linux"):
        from folderdenoise.desktop.icon import draw

        draw(256).save(str(program / "folderdenoise.png"))
        shutil.copyfile(PACKAGING / "folderdenoise.desktop", program / "folderdenoise.desktop")


def add_licences(folder: Path) -> None:
    """The licence texts of Python and of every package inside. Ends the build where there is none for one of them."""
    texts = {path.name: path for path in (PACKAGING / "licences").iterdir()} | {"Python/LICENSE.txt": python_licence()}
    for name, found in inside("folderdenoise", {"", "desktop"}).items():
        own = licence_texts(found)
        if not own and name not in contents.LICENSED_HERE:
            sys.exit(f"{name}: has no licence text. Put it into packaging/licences, and the name into contents.py.")
        texts |= {f"{name}/{inner}": path for inner, path in own.items()}
    for inner, path in texts.items():
        target = folder / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def inside(name: str, extras: set[str]) -> dict[str, metadata.Distribution]:
    """What a package is installed with, by normalised name, itself included."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(name, extras)]
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        for text in found[name].requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append((needed.name, {"", *needed.extras}))
    return found


def licence_texts(found: metadata.Distribution) -> dict[str, Path]:
    """The licences and notices that a package was installed with, by a path that tells them apart."""
    texts = {}
    for file in found.files or ():
        folder, *inner = file.parts
        if not folder.endswith(".dist-info"):
            continue
        # The standard place; before there was one they lay beside the metadata.
        if inner[0] == "licenses":
            texts["/".join(inner[1:])] = Path(str(file.locate()))
        elif inner[0].upper().startswith(("LICEN", "COPYING", "NOTICE")):
            texts["/".join(inner)] = Path(str(file.locate()))
    return texts


def python_licence() -> Path:
    """Python's own licence, which lies beside its library, on Windows above it."""
    library = Path(os.__file__).parent
    places = [library / "LICENSE.txt", library.parent / "LICENSE.txt", Path(sys.base_prefix) / "LICENSE.txt"]
    for path in places:
        if path.is_file():
            return path
    sys.exit(f"Python has no licence text at {', '.join(map(str, places))}: put it there.")


def label() -> str:
    """Version, system and processor, as in the archive's name."""
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{metadata.version('folderdenoise')}-{SYSTEMS[platform.system()]}-{machine}"


def pack(program: Path, target: Path) -> Path:
    """The archive of ``program``, with its folder in it: .tar.xz on Linux, .zip elsewhere."""
    if sys.platform.startswith("linux"):
        path = target.with_name(f"{target.name}.tar.xz")
        # By the program, since it takes all cores.
        command = ["tar", "--owner=root:0", "--group=root:0", "-C", program.parent, "-cJf", path, program.name]
        subprocess.run(command, check=True, env=os.environ | {"XZ_OPT": "-6 -T0"})
        return path
    path = target.with_name(f"{target.name}.zip")
    if sys.platform == "darwin":
        # It keeps links and signatures, which Python's zipfile does not.
        subprocess.run(["ditto", "-c", "-k", "--keepParent", program, path], check=True)
        return path
    return Path(shutil.make_archive(str(target), "zip", program.parent, program.name))


def deb(program: Path, out: Path) -> Path:
    """A package for Debian and Ubuntu: the folder in /opt, the command in the path, the entry in the menu."""
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    version = metadata.version("folderdenoise")
    path = out / f"folderdenoise_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "root"
        shutil.copytree(program, root / "opt" / "folderdenoise", symlinks=True)
        for folder in ("DEBIAN", "usr/bin", "usr/share/applications", "usr/share/icons/hicolor/256x256/apps"):
            (root / folder).mkdir(parents=True)
        # Those of the temporary folder are narrower.
        root.chmod(0o755)
        (root / "usr/bin/folderdenoise").symlink_to("/opt/folderdenoise/folderdenoise")
        shutil.copyfile(program / "folderdenoise.desktop", root / "usr/share/applications/folderdenoise.desktop")
        icon = root / "usr/share/icons/hicolor/256x256/apps/folderdenoise.png"
        shutil.copyfile(program / "folderdenoise.png", icon)
        size = sum(file.lstat().st_size for file in root.rglob("*") if not file.is_dir()) // 1024
        control = (PACKAGING / "control").read_text(encoding="utf-8")
        libc = platform.libc_ver()[1]
        filled = control.format(
            version=version, architecture=architecture, libc=libc, size=size, maintainer=maintainer()
        )
        (root / "DEBIAN/control").write_text(filled, encoding="utf-8")
        # Quicker than xz; every Debian and Ubuntu whose C library this runs on unpacks it.
        command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z12", "--build", str(root), str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def maintainer() -> str:
    """Who stands behind the package: the authors in pyproject.toml, with an address where one is given there."""
    project = metadata.metadata("folderdenoise")
    # A .deb must have an address; this one can never be anybody's (RFC 2606).
    return project.get("Author-email") or f"{project['Author']} <noreply@folderdenoise.invalid>"


def parts(program: Path) -> Counter[str]:
    """Bytes by what a file belongs to, links not counted: they take no room."""
    sizes: Counter[str] = Counter()
    for file in program.rglob("*"):
        if file.is_file() and not file.is_symlink():
            sizes[_part(file.relative_to(program))] += file.stat().st_size
    return sizes


def _part(path: Path) -> str:
    inner = [part for part in path.parts if part not in ("_internal", "Contents", "Frameworks", "Resources", "MacOS")]
    if path.name == "folderdenoise":
        return "the executable, with all Python code"
    if len(inner) == 1 or inner[0].startswith("python3."):
        return "Python itself, and libraries of the system"
    # "numpy.libs" are libraries of numpy.
    return inner[0].removesuffix(".libs").removesuffix("_binary").replace("opencv_python_headless", "cv2")


def describe(program: Path) -> str:
    """The size of ``program`` and its parts, largest first."""
    sizes = parts(program)
    lines = [f"{megabytes(sizes.total()):>9}  {program}"]
    lines += [f"{megabytes(size):>9}  - {name}" for name, size in sizes.most_common(12)]
    return "\n".join(lines)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        if sys.version_info >= (3, 11):
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(file.read()).hexdigest()


if __name__ == "__main__":
    main()
