"""A result appears under its name whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from folderdenoise.errors import AbandonedError, OutputError
from folderdenoise.health import Health
from folderdenoise.publish import Gate, published


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


def test_what_is_half_written_when_the_gate_closes_is_removed_and_never_published(tmp_path: Path) -> None:
    gate = Gate()

    def write() -> None:
        with gate.enter(), published(tmp_path / "a.png") as temporary:
            temporary.write_bytes(b"half")
            gate.close()
            # The thread that writes may never come back: its run ends without it.
            assert list(tmp_path.iterdir()) == []
            temporary.write_bytes(b"whole")

    for _ in range(2):
        with pytest.raises(AbandonedError, match=r"a\.png"):
            write()
        assert list(tmp_path.iterdir()) == []


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def remember(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    replace = Path.replace

    def rename(self: Path, target: Path) -> Path:
        assert self.stat().st_ino in synced
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", remember)
    monkeypatch.setattr(Path, "replace", rename)
    with published(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "a.png").exists()
    if os.name != "nt":
        assert synced[-1] == tmp_path.stat().st_ino, "and the name is, too"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="no ordinary file"), published(pipe):
        raise AssertionError("nothing is to be written")
    with pytest.raises(OutputError, match="no ordinary file"):
        Health(pipe, dict, print)
    assert pipe.is_fifo()
