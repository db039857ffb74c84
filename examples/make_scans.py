"""Makes examples/scans: a few small, really noisy pictures of different kinds. Run: python examples/make_scans.py

The noise is that of a camera or scanner sensor (Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting
for single-image raw-data", IEEE TIP 2008, doi:10.1109/TIP.2008.2001399): in linear light, its variance grows with the
signal, ``variance = gain * signal + floor ** 2``. It is then seen through the sRGB curve, clipped and rounded. In
photographs it is also a little correlated between neighbours, as demosaicking leaves it. Everything is seeded.

Needs the ``test`` extra (Pillow, tifffile). Sources and licences are in README.md beside this file.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont

Float = NDArray[np.float64]
SCANS = Path(__file__).parent / "scans"
_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Bytes 24 to 35 are the date when it was made: fixed, so that each run gives the same files.
SRGB = _PROFILE[:24] + struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + _PROFILE[36:]
LETTER = """Wednesday, 14 March 1906

Dear Professor,

the plates of the second expedition arrived
this morning, eleven of them whole. I have
copied the numbers 4, 7 and 9 by hand, since
the emulsion comes off when they are warmed.

The tide tables you asked for are with the
harbour master. He lends them for a week and
wants 2/6 as a pledge, which I have paid.

                        Yours faithfully,
                        E. M. Hartwell
"""


def linear(values: Float) -> Float:
    """sRGB values in [0, 1] -> linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def curved(values: Float) -> Float:
    """Linear light -> sRGB values in [0, 1], clipped."""
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def noisy(picture: NDArray[np.uint8], seed: int, *, gain: float, floor: float, blur: float = 0.0) -> Float:
    """The picture (sRGB) with sensor noise, as sRGB values in [0, 1]. ``blur``: sigma in pixels of the correlation
    between neighbours; the variance stays the same."""
    random = np.random.default_rng(seed)
    light = linear(picture / 255)
    noise = random.standard_normal(light.shape)
    if blur:
        noise = cv2.GaussianBlur(noise, (0, 0), blur)
        noise /= noise.std()
    return curved(light + noise * np.sqrt(gain * light + floor**2))


def stored(values: Float, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> NDArray[np.uint8 | np.uint16]:
    """Values in [0, 1] as integers over the whole range of ``dtype``."""
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def exif(make: str, model: str, date: str, iso: int, orientation: int) -> Image.Exif:
    """What a camera writes beside a picture."""
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x0132], block[0x0112] = make, model, date, orientation
    block.get_ifd(0x8769).update({0x8827: iso, 0x829A: (1, 30), 0x829D: (28, 10), 0x9003: date})
    return block


def page() -> NDArray[np.uint8]:
    """A typed letter on paper that is not evenly lit."""
    image = Image.new("L", (470, 370), 232)
    ImageDraw.Draw(image).multiline_text((32, 28), LETTER, fill=48, font=ImageFont.load_default(15), spacing=3)
    rows, columns = np.mgrid[0:370, 0:470]
    shade = 1 - 0.25 * (columns / 470) ** 2 - 0.1 * (rows / 370)
    return np.rint(cv2.GaussianBlur(np.asarray(image, np.float64), (0, 0), 0.6) * shade).astype(np.uint8)


def make_album(folder: Path) -> None:
    """Photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    cup = stored(noisy(skimage.data.coffee(), 1, gain=0.012, floor=0.012, blur=0.45))
    Image.fromarray(cup).save(folder / "cafe.jpg", quality=88, subsampling="4:2:0", dpi=(300, 300), icc_profile=SRGB,
                              exif=exif("Pikolo", "P-100", "2019:11:02 08:41:07", 6400, 1))  # fmt: skip
    # Held upright: the picture is stored on its side, and the orientation tag says how to turn it.
    portrait = np.rot90(skimage.data.astronaut()[0:400, 60:380]).copy()
    portrait = stored(noisy(portrait, 2, gain=0.012, floor=0.012, blur=0.45))
    beside = exif("Orbit", "Mark II", "2021:06:18 21:15:30", 12800, 6)
    Image.fromarray(portrait).save(folder / "portrait.jpg", quality=90, subsampling="4:4:4", dpi=(300, 300),
                                   icc_profile=SRGB, exif=beside)  # fmt: skip
    cat = stored(noisy(skimage.data.chelsea()[20:220, 90:330], 3, gain=0.008, floor=0.01))
    rows, columns = np.mgrid[0:200, 0:240]
    inside = np.hypot((rows - 99.5) / 100, (columns - 119.5) / 120)
    alpha = np.rint(255 * np.clip((1 - inside) / 0.08, 0, 1)).astype(np.uint8)
    Image.fromarray(np.dstack([cat, alpha])).save(folder / "cat cut out.png", optimize=True)
    rocket = stored(noisy(skimage.data.rocket()[60:330, 180:540], 4, gain=0.01, floor=0.02, blur=0.45))
    Image.fromarray(rocket).save(folder / "launch.webp", quality=88, method=6)


def make_archive(folder: Path) -> None:
    """Scans."""
    folder.mkdir(parents=True, exist_ok=True)
    letter = stored(noisy(page(), 5, gain=0.012, floor=0.02))
    Image.fromarray(letter).save(folder / "letter 1906.png", dpi=(150, 150), optimize=True)
    negative = stored(noisy(skimage.data.camera()[60:310, 120:400], 6, gain=0.01, floor=0.01), np.uint16)
    tifffile.imwrite(folder / "negative 0042.tif", negative, photometric="minisblack", compression="zlib",
                     predictor=True, resolution=(300, 300), resolutionunit=2, metadata=None, description="negative 42",
                     datetime="1994:05:12 10:30:00", software="make_scans.py")  # fmt: skip
    slide = stored(noisy(skimage.data.astronaut()[330:470, 60:240], 7, gain=0.008, floor=0.008), np.uint16)
    tifffile.imwrite(folder / "slide 17.tif", slide, photometric="rgb", compression="zlib", predictor=True,
                     resolution=(300, 300), resolutionunit=2, iccprofile=SRGB, description="slide 17", metadata=None,
                     datetime="1994:05:12 10:42:00", software="make_scans.py")  # fmt: skip


if __name__ == "__main__":
    make_album(SCANS / "album")
    make_archive(SCANS / "archive")
    for path in sorted(SCANS.rglob("*.*")):
        print(f"{path.stat().st_size:8,} bytes  {path.relative_to(SCANS)}")
