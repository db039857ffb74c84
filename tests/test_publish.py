"""A result appears under its name whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from folderdenoise.errors import OutputError
from folderdenoise.publish import published


def _write_half(path: Path) -> None:
    path.write_bytes(b"half")
    raise ZeroDivisionError


def test_nothing_is_seen_under_the_name_before_all_is_written(tmp_path: Path) -> None:
    output = tmp_path / "new" / "a.png"
    with published(output) as temporary:
        temporary.write_bytes(b"half")
        assert not output.exists()
        assert temporary.parent == output.parent
    assert output.read_bytes() == b"half"
    assert list(output.parent.iterdir()) == [output]


def test_a_failure_leaves_the_old_result_and_no_temporary_file(tmp_path: Path) -> None:
    output = tmp_path / "a.png"
    output.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), published(output) as temporary:
        _write_half(temporary)
    assert output.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [output]


def test_a_full_disk_is_an_output_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.png.*free space.*running again"), published(tmp_path / "a.png"):
        raise OSError(28, "No space left on device")


def test_a_name_of_255_bytes_is_no_problem(tmp_path: Path) -> None:
    output = tmp_path / ("n" * 251 + ".png")
    with published(output) as temporary:
        temporary.write_bytes(b"x")
    assert output.exists()
