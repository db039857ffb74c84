"""Photographs a report for the documentation. Run, in the folder above this one:

folderdenoise run examples/scans --report --estimate --overwrite
python examples/shoot_report.py examples/scans-denoised/report.html docs/report.png

Needs the ``test`` extra and an installed Chromium. What is on the photograph is under the licences in README.md.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1240, 1180


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    sandbox = not hasattr(os, "geteuid") or os.geteuid() != 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=sandbox)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(arguments.report.resolve().as_uri())
        data = page.screenshot()
        browser.close()
    # 256 colours: noise does not compress, and this is for a web page.
    picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
