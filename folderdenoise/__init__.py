"""Denoise a folder of images, from the command line or from Python.

    from folderdenoise import denoise, Denoiser

    clean = denoise(array)                    # (H, W), (H, W, 1) or (H, W, 3); uint8, uint16 or float

The names below load when first used, so that ``import folderdenoise`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Denoised, Denoiser, denoise

__version__ = "0.1.0"
__all__ = ["Denoised", "Denoiser", "__version__", "denoise"]


def __getattr__(name: str) -> object:
    if name in ("Denoised", "Denoiser", "denoise"):
        from . import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
