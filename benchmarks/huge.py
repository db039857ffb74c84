"""Huge images: how much memory `folderdenoise run` takes at most, and how fast it is.

    python benchmarks/huge.py /tmp/huge --case gray-tiff --case rgb-tiff --case jpeg --case png

Makes each file in the folder given (several GiB of free disk), runs the tool over it in a process of its own and prints
a Markdown table. Peak memory is the largest resident set of that process as the kernel counted it. Every result is then
opened with Pillow, tifffile or libvips, whichever opens it, and compared in size and type with the original.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips


@dataclass(frozen=True)
class Case:
    """A file of ``width`` × ``height`` pixels, stored by ``save(image, path)`` under ``name``."""

    name: str
    width: int
    height: int
    bands: int
    save: Callable[[pyvips.Image, str], None]
    most_mib: int


CASES = {
    "gray-tiff": Case("gray.tif", 32768, 32768, 1, lambda image, path: image.tiffsave(path), 1536),
    "gray-tiff-tiled": Case(
        "tiled.tif", 32768, 32768, 1, lambda image, path: image.tiffsave(path, tile=True, compression="deflate"), 1536
    ),
    "rgb-tiff": Case("rgb.tif", 25600, 20480, 3, lambda image, path: image.tiffsave(path, compression="lzw"), 1536),
    "signed-tiff": Case("signed.tif", 20480, 20480, 1, lambda image, path: _signed(image).tiffsave(path), 1536),
    "jpeg": Case("photo.jpg", 16000, 12500, 3, lambda image, path: image.jpegsave(path, Q=90), 2560),
    "png": Case("scan.png", 16000, 12500, 3, lambda image, path: image.pngsave(path, compression=1), 2560),
}


def _signed(image: pyvips.Image) -> pyvips.Image:
    """As a tomograph stores it: 16 bits with a sign."""
    return (image * 16 - 1024).cast("short")


def scene(case: Case) -> pyvips.Image:
    """Smooth waves with edges and Gaussian noise of deviation 12: a square of 2,048 pixels, repeated."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:2048, 0:2048]
    clean = 110 + 50 * np.sin(columns * 2 * np.pi / 512) * np.cos(rows * 2 * np.pi / 256)
    clean = clean + 30 * ((columns // 256 + rows // 256) % 2)
    noisy = clean[..., None] + random.normal(size=(2048, 2048, case.bands)) * 12
    tile = pyvips.Image.new_from_array(np.clip(noisy, 0, 255).astype(np.uint8))
    image = tile.replicate(case.width // 2048 + 1, case.height // 2048 + 1).crop(0, 0, case.width, case.height)
    return image.copy(interpretation="b-w" if case.bands == 1 else "srgb")


def run(source: Path, out: Path, options: list[str]) -> tuple[int, float, float]:
    """Exit code, seconds and peak MiB of `folderdenoise run`."""
    command = [sys.executable, "-m", "folderdenoise", "run", str(source), "--out", str(out), "--overwrite", *options]
    started = time.monotonic()
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    scale = 2**20 if sys.platform == "darwin" else 2**10  # Linux counts in KiB
    return os.waitstatus_to_exitcode(status), time.monotonic() - started, usage.ru_maxrss / scale


def compare(source: Path, result: Path, case: Case) -> str:
    """ "yes" if the result is a denoised picture of the same size, else what is wrong."""
    before, after = (pyvips.Image.new_from_file(str(path), access="sequential") for path in (source, result))
    kinds = [(image.width, image.height, image.bands, image.format) for image in (before, after)]
    if kinds[0] != kinds[1]:
        return f"no: {kinds[1]}"
    before, after = (pyvips.Image.new_from_file(str(path)) for path in (source, result))
    side = 512
    boxes = [
        image.crop(case.width // 2, case.height // 2, side, side).numpy().astype(float) for image in (before, after)
    ]
    noise = [np.median(np.abs(np.diff(box, axis=1))) for box in boxes]
    return "yes" if noise[1] < noise[0] / 2 and abs(boxes[0].mean() - boxes[1].mean()) < 1 else "no: not denoised"


def main() -> None:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--keep", action="store_true", help="leave the files there")
    parser.add_argument("options", nargs="*", help="for folderdenoise run, after --")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pyvips.cache_set_max(0)
    print("| case | megapixels | peak memory, MiB | limit | seconds | megapixels/s | whole and denoised |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.case or CASES:
        case = CASES[name]
        source, out = arguments.folder / case.name, arguments.folder / "out"
        if not source.exists():
            case.save(scene(case), str(source))
        code, seconds, peak = run(source, out, ["--quiet", *arguments.options])
        megapixels = case.width * case.height / 1e6
        whole = compare(source, out / case.name, case) if code == 0 else f"no: exit code {code}"
        figures = f"{megapixels:.0f} | {peak:.0f} | {case.most_mib} | {seconds:.0f} | {megapixels / seconds:.2f}"
        print(f"| {name} | {figures} | {whole} |", flush=True)
        if not arguments.keep:
            for path in (source, out / case.name):
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
