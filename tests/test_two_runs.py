"""One run at a time into one output folder, and into what is in it or around it."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from folderdenoise import job, lock
from folderdenoise.batch import Outcome
from folderdenoise.errors import OutputBusyError
from folderdenoise.folder import Selection
from folderdenoise.order import Order

from .running import Heard, again


class Rival(Heard):
    """Begins another run whenever a file is finished; ``refused``: the words with which that is refused."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.refused: list[str] = []
        self._order = order

    def finished_file(self, outcome: Outcome) -> None:
        with pytest.raises(OutputBusyError) as caught:
            job.run(self._order, Selection(), Heard())
        self.refused.append(str(caught.value))


class TestTwoRunsIntoOneFolder:
    @pytest.mark.parametrize("places", [("out", "out/box"), ("out/box", "out")])
    def test_nor_into_a_folder_in_it_or_around_it(self, order: Order, tmp_path: Path, places: tuple[str, str]) -> None:
        first, second = (replace(order, out=tmp_path / "results" / place) for place in places)
        heard = Rival(second)
        job.run(first, Selection(), heard)
        assert len(heard.refused) == 3
        assert all(f"{first.out}: another folderdenoise is writing" in words for words in heard.refused)
        assert job.run(second, Selection(), Heard()) == 0

    @pytest.mark.skipif(os.name == "nt", reason="moves a folder that is in use")
    def test_a_run_whose_folder_was_replaced_leaves_the_lock_of_the_next(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        out.mkdir()
        first, second = lock.locked(out, "first"), lock.locked(out, "second")
        with contextlib.ExitStack() as stack:
            with first:
                out.rename(tmp_path / "moved")
                out.mkdir()
                stack.enter_context(second)
            with pytest.raises(OutputBusyError, match="second"), lock.locked(out, "third"):
                pytest.fail("two have it")

    def test_the_second_refuses_and_names_the_first(self, order: Order) -> None:
        (order.out / "a.png").unlink()
        heard = Rival(order)
        job.run(order, Selection(), heard)
        assert len(heard.refused) == 1
        assert f"process {os.getpid()}" in heard.refused[0]
        assert str(order.source) in heard.refused[0]
        assert str(order.out) in heard.refused[0]
        assert again(order).files == {}

    def test_a_lock_file_that_a_crash_left_is_in_nobodys_way(self, order: Order) -> None:
        (order.out / ".folderdenoise-lock").write_text("'folderdenoise run x', process 1 on here, since ever")
        (order.out / "a.png").unlink()
        assert again(order).files == {"a.png": "done"}

    @pytest.mark.skipif(os.name == "nt", reason="removes a file that is open")
    def test_a_lock_file_that_is_removed_before_it_is_locked_locks_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when the run that had the folder ends just then."""
        try_lock = lock._try_lock
        tries: list[int] = []

        def late(descriptor: int) -> None:
            tries.append(descriptor)
            if len(tries) == 1:
                (tmp_path / lock.LOCK_NAME).unlink()
            try_lock(descriptor)

        monkeypatch.setattr(lock, "_try_lock", late)
        first, second = lock.locked(tmp_path, "first"), lock.locked(tmp_path, "second")
        with first, pytest.raises(OutputBusyError, match="first"), second:
            pytest.fail("two have it")

    def test_only_one_of_many_gets_in(self, order: Order) -> None:
        inside = 0
        most = 0
        started = threading.Barrier(8)

        def enter() -> None:
            nonlocal inside, most
            started.wait()
            for _ in range(50):
                try:
                    with job.taken(order, "a test"):
                        inside += 1
                        most = max(most, inside)
                        (order.out / "x").write_bytes(b"x")
                        inside -= 1
                except OutputBusyError:
                    continue

        threads = [threading.Thread(target=enter) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
