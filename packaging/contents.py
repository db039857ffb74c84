"""What goes into the packaged program, and what stays out: read by folderdenoise.spec, and tested without a build."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent

METADATA = ("folderdenoise", "numpy", "opencv-python-headless", "openvino", "pyvips")
"""Distributions whose versions ``folderdenoise doctor`` shows."""

LICENSED_HERE = frozenset({"pyside6-essentials", "shiboken6"})
"""Distributions that come without a licence text: licences/ here has it, and says so in its README.txt."""

EXCLUDED_MODULES = [
    # The workshop: never imported by the tool, but it may be installed where the program is built.
    *("train", "tensorflow", "keras", "onnx", "tf2onnx", "matplotlib", "onnxruntime", "pytest", "_pytest"),
    # Of scikit-image one function is used, and that takes scipy.ndimage and scipy.special alone.
    *("PIL", "imageio", "networkx", "tifffile", "pandas", "dask", "pooch"),
    *(f"skimage.{name}" for name in ("data", "draw", "feature", "future", "graph", "measure", "morphology")),
    *(f"skimage.{name}" for name in ("registration", "restoration", "segmentation", "transform")),
    *(f"scipy.{name}" for name in ("cluster", "datasets", "fft", "fftpack", "integrate", "interpolate", "io", "odr")),
    *(f"scipy.{name}" for name in ("linalg", "optimize", "signal", "sparse", "spatial", "stats", "differentiate")),
    # OpenVINO's converters of other formats, and what counts its users.
    *("openvino.tools", "openvino.torch", "openvino_telemetry"),
    *(f"openvino.frontend.{name}" for name in ("jax", "onnx", "paddle", "pytorch", "tensorflow")),
    # The second of its two backends, of 12 MB each.
    *("zstandard._cffi", "zstandard.backend_cffi"),
    # A cluster's client and workers have Python.
    *("distributed", "fsspec", "s3fs", "botocore"),
    *("tkinter", "IPython", "setuptools", "pkg_resources", "pip", "lib2to3", "pydoc_data"),
]

_SUFFIX = r"[.\d]*(\.so|\.dll|\.dylib)[.\d]*"
_OPENVINO = re.compile(
    # The runtime, its devices and the one format that is read. The GPU plugin is for Intel's graphics.
    rf"(lib)?openvino(_(intel|arm)_cpu_plugin|_intel_gpu_plugin|_onnx_frontend)?{_SUFFIX}"
    # Intel's threads, and what the GPU plugin was tuned with.
    rf"|(lib)?(tbb\w*|hwloc)[-\d]*{_SUFFIX}|cache\.json"
)
_QT_LIBRARY = re.compile(r"(lib)?Qt6?(?P<module>[A-Z]\w*)(\.so[.\d]*|\.dll|\.dylib|\.abi3\.so|\.pyd|\.pyi)?")
_QT_MODULES = {"Core", "Gui", "Widgets", "DBus", "XcbQpa", "WaylandClient", "WlShellIntegration"}
_QT_PLUGINS = {
    "platforms": {"xcb", "wayland", "offscreen", "windows", "cocoa"},
    "platforminputcontexts": {"composeplatforminputcontextplugin", "ibusplatforminputcontextplugin"},
    # Not gtk3: it would bring the GTK of the machine that builds.
    "platformthemes": {"xdgdesktopportal"},
    "wayland-shell-integration": {"xdg-shell"},
    "wayland-decoration-client": {"bradient"},
    "styles": {"macstyle", "modernwindowsstyle", "windowsvistastyle"},
}
"""Plugins by the folder that they lie in."""
_QT_TRANSLATIONS = {"qtbase_de.qm"}
"""Qt's own dialogs, in the languages other than English that the window speaks."""


def datas() -> list[tuple[str, str]]:
    """Files that are no Python modules, each with the folder inside the program where the code looks for it."""
    found = [
        (path, f"folderdenoise/models/{path.parent.name}")
        for name in ("model.onnx", "card.json")
        for path in ROOT.glob(f"models/*/{name}")
    ]
    found += [(path, "folderdenoise/report") for path in ROOT.glob("folderdenoise/report/report.*")]
    return sorted((str(path), folder) for path, folder in found)


def openvino_libraries(package: Path) -> list[tuple[str, str]]:
    """The libraries that are used of those inside OpenVINO's ``package``: it looks for its plugins by their names."""
    found = sorted((package / "libs").iterdir())
    return [(str(path), "openvino/libs") for path in found if wanted(f"openvino/libs/{path.name}")]


def wanted(name: str) -> bool:
    """Whether a file belongs into the program; ``name`` is its path in there, with either kind of slash."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.parts[:2] == ("openvino", "libs") or path.name.startswith(("libopenvino", "openvino_")):
        return _OPENVINO.fullmatch(path.name) is not None
    if "PySide6" in path.parts or path.name.startswith(("libQt6", "Qt6")):
        return _wanted_of_qt(path)
    # Only for reading films.
    return not path.name.startswith("opencv_videoio_ffmpeg")


def _wanted_of_qt(path: PurePosixPath) -> bool:
    if "plugins" in path.parts:
        plugin = re.sub(r"^(libq|lib|q)|(\.so|\.dll|\.dylib)$", "", path.name)
        return plugin in _QT_PLUGINS.get(path.parent.name, ())
    if path.suffix == ".qm":
        return path.name in _QT_TRANSLATIONS
    if "qml" in path.parts or path.name == "opengl32sw.dll":
        return False
    # On macOS a library is a folder.
    frameworks = [part.removesuffix(".framework") for part in path.parts if part.endswith(".framework")]
    library = _QT_LIBRARY.fullmatch(frameworks[0] if frameworks else path.name)
    return library is None or library["module"] in _QT_MODULES
