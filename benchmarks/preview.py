"""How long the window takes from a move of the strength slider until the visible result is another.

    python benchmarks/preview.py

An image of 12 megapixels is looked at in its own size in a view of 1200 x 800, twice: with the divider at the left edge
 (all of the view shows the result) and in the middle. Each time is given with its ratio to a bare
``Denoiser.denoise`` of the 1200 x 800 pixels, measured in turn with it: on a machine that does other things as well,
only the ratio says something.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
VIEW = (1200, 800)
IMAGE = (4000, 3000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(_photograph(Path(folder) / "a.tif"), options.model, options.rounds)


def measure(path: Path, model: str, rounds: int) -> None:
    from PySide6.QtCore import QEventLoop
    from PySide6.QtWidgets import QApplication

    from folderdenoise import Denoiser, images
    from folderdenoise.desktop.comparison import Comparison, Shown
    from folderdenoise.desktop.sheet import Wanted

    app = QApplication([])
    comparison = Comparison()
    comparison.view.setFixedSize(*VIEW)
    comparison.show()
    preview, view = comparison.preview, comparison.view
    comparison.want(Wanted(model, 1.0))

    def until_drawn() -> None:
        """Until the first piece is computed, and what is drawn then has come."""
        for signal in (preview.progressed, preview.drawn):
            loop = QEventLoop()
            signal.connect(loop.quit)
            loop.exec()
            signal.disconnect(loop.quit)

    def until_idle() -> None:
        """Until the rest is computed as well: it would take its share of the processor from what is measured next."""
        while not comparison.is_settled:
            app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)
            time.sleep(0.02)

    view.full()
    comparison.show_file(Shown(path))
    until_drawn()
    denoiser = Denoiser(model)
    left, top = (IMAGE[0] - VIEW[0]) // 2, (IMAGE[1] - VIEW[1]) // 2
    crop = images.read(path).pages[0].pixels[top : top + VIEW[1], left : left + VIEW[0]]
    denoiser.denoise(crop)
    until_idle()
    strength = 1.0
    for divider in (0.0, 0.5):
        view.set_divider(divider)
        seen, bare = [], []
        for _ in range(rounds):
            strength = 0.8 if strength == 1.0 else 1.0
            started = time.perf_counter()
            comparison.want(Wanted(model, strength))
            until_drawn()
            seen.append(time.perf_counter() - started)
            until_idle()
            started = time.perf_counter()
            denoiser.denoise(crop, strength)
            bare.append(time.perf_counter() - started)
        ratio = statistics.median(s / b for s, b in zip(seen, bare, strict=True))
        print(
            f"divider at {divider:.0%}: {statistics.median(seen):.2f} s until seen, "
            f"bare {statistics.median(bare):.2f} s, ratio {ratio:.2f}"
        )
    preview.close()
    for thread in preview.threads:
        thread.join()
    app.processEvents()


def _photograph(path: Path) -> Path:
    """Smooth shapes with noise of deviation 20, stored without loss."""
    import tifffile

    rows, columns = np.mgrid[0 : IMAGE[1], 0 : IMAGE[0]].astype(np.float32)
    clean = 120 + 60 * np.sin(rows / 90) * np.cos(columns / 130)
    noise = np.random.default_rng(1).normal(0, 20, (*clean.shape, 3)).astype(np.float32)
    tifffile.imwrite(path, np.clip(clean[..., np.newaxis] + noise, 0, 255).astype(np.uint8), photometric="rgb")
    return path


if __name__ == "__main__":
    main()
