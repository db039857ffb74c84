"""Tables to make reports of, and what stands in a report."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from folderdenoise.ledger import Ledger
from folderdenoise.table import Row


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "folderdenoise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=120, encoding="utf-8")


def table_of(out: Path, *files: Row | list[Row]) -> Path:
    """An output folder with a metrics.csv that has these rows."""
    out.mkdir(parents=True, exist_ok=True)
    with Ledger(out / "metrics.csv") as ledger:
        for rows in files:
            ledger.append(rows if isinstance(rows, list) else [rows])
    return out


def row_of(file: str, **figures: Any) -> Row:
    known = {
        "width": 640,
        "height": 480,
        "model": "rgb-leaky",
        "strength": 1.0,
        "seconds": 2.0,
        "settings": "tile=auto",
    }
    return Row(file, **(known | {"noise_before": 10.0, "noise_after": 1.0, "output": file} | figures))


def rows_of(text: str) -> tuple[list[str], list[list[Any]]]:
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    return [column["key"] for column in data["columns"]], data["rows"]


def plain(text: str) -> str:
    """What a reader without script sees: no tags, no scripts, no styles."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def pictures_in(text: str) -> list[Image.Image]:
    found = re.findall(r'<img (?!class="thumb")src="data:image/jpeg;base64,([^"]+)"', text)
    return [Image.open(BytesIO(base64.b64decode(data))) for data in found]


def study_rows(report: Path, name: str) -> list[list[str]]:
    """Rows of the first table of the report, of one model."""
    lines = report.read_text(encoding="utf-8").split("## Study by study")[1].split("\n## ")[0].splitlines()
    return [cells for line in lines if (cells := [cell.strip() for cell in line.split("|")[1:-1]])[:1] == [f"`{name}`"]]
