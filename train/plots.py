"""The figures of the report, as PNG files. Drawn without pyplot: nothing of a user's matplotlib is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
_DPI = 110
_NOISY, _DENOISED = "#9a9a9a", "#1f6fb4"


def triplets(path: Path, title: str, clean: Floats, noisy: Floats, denoised: Floats) -> None:
    """A row an image: original, noisy, denoised, and how far the denoised one is from the original.

    Arrays ``(N, H, W, C)`` in [0, 1]. The difference is absolute, mean over channels, in steps of gray from 0 (black)
    to 0.5 (white).
    """
    count = len(clean)
    figure = Figure(figsize=(7.2, 1.9 * count + 0.6), layout="constrained")
    axes = figure.subplots(count, 4, squeeze=False)
    for row, (a, b, c) in enumerate(zip(clean, noisy, denoised, strict=True)):
        difference = np.abs(c - a).mean(axis=2, keepdims=True)
        titles = ("original", f"noisy, {_psnr(b, a):.2f} dB", f"denoised, {_psnr(c, a):.2f} dB", "difference, 0 to 0.5")
        for axis, image, words, top in zip(axes[row], (a, b, c, difference), titles, (1, 1, 1, 0.5), strict=True):
            shown = image[..., 0] if image.shape[2] == 1 else image
            axis.imshow(shown, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
            axis.set_title(words, fontsize=9)
            axis.set_axis_off()
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _psnr(image: Floats, reference: Floats) -> float:
    return float(-10 * np.log10(max(float(np.mean(np.square(image - reference))), 1e-12)))


def curves(path: Path, title: str, histories: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Training and validation loss over the passes. ``histories``: rows of ``history.csv`` by the run's name."""
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axis = figure.subplots()
    for index, (name, rows) in enumerate(histories.items()):
        passes = [int(row["epoch"]) for row in rows]
        for column, style, words in (("loss", "--", "training"), ("val_loss", "-", "validation")):
            values = [float(row[column]) for row in rows]
            axis.plot(passes, values, style, color=f"C{index}", marker=".", linewidth=1.2, label=f"{name}, {words}")
    axis.set_yscale("log")
    axis.set_xlabel("passes over the training images")
    axis.set_ylabel("loss")
    axis.grid(visible=True, which="both", alpha=0.25)
    axis.legend(loc="best", fontsize=8)  # said, because the default warns on a slow machine
    axis.set_title(title, fontsize=11)
    _save(figure, path)


def distributions(path: Path, title: str, scores: Mapping[str, Floats]) -> None:
    """PSNR and SSIM over the test images. ``scores``: ``psnr``, ``ssim``, ``noisy_psnr``, ``noisy_ssim``, ``(N,)``."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    for axis, metric, unit in zip(figure.subplots(1, 2), ("psnr", "ssim"), ("PSNR, dB", "SSIM"), strict=True):
        before, after = scores[f"noisy_{metric}"], scores[metric]
        # A comb of single images shows nothing: fewer bins for few images.
        edges = np.histogram_bin_edges(np.concatenate([before, after]), bins=min(60, max(10, len(after) // 3)))
        for values, colour, words in ((before, _NOISY, "before"), (after, _DENOISED, "after")):
            axis.hist(values, bins=edges, color=colour, alpha=0.7, label=f"{words}, mean {values.mean():.4g}")
        axis.set_xlabel(unit)
        axis.set_ylabel("images")
        axis.legend(loc="best", fontsize=8)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def comparison(path: Path, rows: Sequence[tuple[str, Mapping[str, float], Mapping[str, float]]]) -> None:
    """All models side by side. ``rows``: name, figures of the noisy images, figures after, with psnr, ssim and mae."""
    figure = Figure(figsize=(10, 0.36 * len(rows) + 1.3), layout="constrained")
    places = np.arange(len(rows))[::-1]
    labels = {"psnr": "PSNR, dB", "ssim": "SSIM", "mae": "MAE (lower is better)"}
    for index, (axis, (metric, words)) in enumerate(zip(figure.subplots(1, 3), labels.items(), strict=True)):
        axis.barh(places + 0.2, [before[metric] for _, before, _ in rows], 0.38, color=_NOISY, label="noisy")
        axis.barh(places - 0.2, [after[metric] for _, _, after in rows], 0.38, color=_DENOISED, label="denoised")
        axis.set_yticks(places, [name for name, _, _ in rows] if index == 0 else [""] * len(rows), fontsize=8)
        axis.set_xlabel(words)
        axis.grid(visible=True, axis="x", alpha=0.25)
        for place, (_, _, after) in zip(places, rows, strict=True):
            axis.text(after[metric], place - 0.2, f" {after[metric]:.4g}", va="center", fontsize=7)
        axis.margins(x=0.18)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the software's version the same figures give the same file.
    figure.savefig(path, dpi=_DPI, format="png", metadata={"Software": None})
