"""Runs on a Dask cluster of real worker processes: the same results, and nothing lost where workers die."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result
from distributed import Client, LocalCluster

from folderdenoise import machine, resources
from folderdenoise.cli import main
from folderdenoise.cluster import chunks, connect, health
from folderdenoise.cluster.errand import LocalFile, Piece
from folderdenoise.folder import Task
from folderdenoise.order import Order
from folderdenoise.table import read

from . import models, pictures

PATIENCE = 120


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("zoo")
    models.write_blur(folder / "rgb-leaky", channels=3)
    models.write_blur(folder / "gray-leaky", channels=1)
    models.write_slow(folder / "slow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDERDENOISE_MODELS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two workers, which some files are bad for."""
    scratch = tmp_path_factory.mktemp("scratch")
    with cluster_of(2, scratch) as cluster:
        yield cluster.scheduler_address


def cluster_of(workers: int, scratch: Path) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=60,
        memory_limit=None,
        local_directory=str(scratch),
        preload=["tests.cluster_faults"],
    )


@pytest.fixture
def scans(tmp_path: Path, zoo: Path) -> Path:
    folder = tmp_path / "scans"
    for index in range(9):
        image = pictures.noisy(pictures.scene(40, 50, channels=1 if index == 4 else 3, seed=index), 20)
        pictures.save(folder / str(index % 2) / f"{index}.png", image)
    (folder / "list.txt").write_text("a list")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, arguments)], catch_exceptions=False)


def rows(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The table, without what differs from run to run. Each page has one row."""
    table = list(read(out / "metrics.csv"))
    found = {(row["file"], row["page"]): row for row in table}
    assert len(found) == len(table)
    for row in table:
        for column in ("seconds", "megapixels_per_second", "finished_at"):
            row.pop(column)
        row["output"] = row["output"].removeprefix(str(out))
    return found


def files(out: Path) -> dict[str, bytes]:
    """What is in a folder, hidden files too, but for the table."""
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found.pop("metrics.csv")
    return found


def test_the_same_comes_out_as_without_a_cluster(scans: Path, address: str, tmp_path: Path) -> None:
    (scans / "bad.png").write_bytes(b"no image")
    alone = run(scans, "--out", tmp_path / "alone")
    together = run(scans, "--out", tmp_path / "together", "--cluster", address)
    assert alone.exit_code == together.exit_code == 1, together.output
    assert files(tmp_path / "together") == files(tmp_path / "alone")
    assert rows(tmp_path / "together") == rows(tmp_path / "alone")
    assert "9 done, 1 failed, 1 skipped" in together.stdout
    assert "bad.png" in together.stderr


def test_what_is_done_is_not_done_again(scans: Path, address: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(scans, "--out", out, "--cluster", address, "--exclude", "1/*").exit_code == 0
    again = run(scans, "--out", out, "--cluster", address)
    assert "4 done, 6 skipped" in again.stdout
    assert "Nothing to do: 10 skipped" in run(scans, "--out", out, "--cluster", address).stdout
    assert "Nothing to do: 10 skipped" in run(scans, "--out", out).stdout, "nor without a cluster"
    assert len(rows(out)) == 9


def test_a_cluster_of_this_machine_and_relative_paths(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process of its own, whose workers begin from the program's start."""
    monkeypatch.chdir(scans.parent)
    command = [sys.executable, "-m", "folderdenoise", "run", "scans", "--out", "results", "--json"]
    command += ["--cluster", "local", "--threads", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr
    assert "9 done" in result.stderr
    assert len(result.stderr.splitlines()) == 1, "Dask keeps quiet"
    told = {json.loads(line)["pages"][0]["output"] for line in result.stdout.splitlines()}
    assert told == {str(Path("results", str(index % 2), f"{index}.png")) for index in range(9)}
    assert {row["output"] for row in read(Path("results/metrics.csv"))} == told


def test_a_killed_worker_loses_nothing(scans: Path, address: str, tmp_path: Path) -> None:
    """It dies with a result half-written: the file is done again, and what is left of it removed."""
    alone, out = tmp_path / "alone", tmp_path / "out"
    (scans / "0" / "4.png").rename(scans / "0" / "hold.png")
    assert run(scans, "--out", alone).exit_code == 0
    seen: list[str] = []
    held = scans / "0" / "hold.held"

    def kill() -> None:
        while not held.exists() and not over.is_set():
            pass
        seen.extend(path.name for path in (out / "0").iterdir())
        psutil.Process(int(held.read_text())).kill()

    over = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    result = run(scans, "--out", out, "--cluster", address)
    over.set()
    killer.join()
    assert result.exit_code == 0, result.output
    assert any(name.endswith("-part") for name in seen)
    assert files(out) == files(alone)
    assert rows(out) == rows(alone)


def test_a_file_that_kills_its_workers_is_set_aside(scans: Path, tmp_path: Path, zoo: Path) -> None:
    """In a cluster of this machine, where two deaths are enough; and the other file of its chunk is not blamed."""
    alone, out = tmp_path / "alone", tmp_path / "out"
    for index in range(9):
        pictures.save(scans / "0" / f"more {index}.png", pictures.scene(20, 20, seed=index))
    assert run(scans, "--out", alone).exit_code == 0
    (scans / "0" / "2.png").rename(scans / "0" / "poison 2.png")
    command = [sys.executable, "-m", "folderdenoise", "run", str(scans), "--out", str(out), "--cluster", "local"]
    environment = os.environ | {"DASK_DISTRIBUTED__WORKER__PRELOAD": '["tests.cluster_faults"]'}
    result = subprocess.run(
        [*command, "--threads", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment,
        cwd=Path(__file__).parent.parent,
    )
    assert result.returncode == 1, result.stderr
    found = rows(out)
    failed = found.pop(("0/poison 2.png", "1"))
    assert failed["status"] == "failed"
    assert f"{scans / '0' / 'poison 2.png'}: its worker died 2 times" in failed["notes"]
    assert result.stderr.count("its worker died 2 times") == 1
    assert "Traceback" not in result.stderr
    expected = rows(alone)
    del expected["0/2.png", "1"]
    assert found == expected
    results = files(alone)
    del results["0/2.png"]
    assert files(out) == results


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_is_done(tmp_path: Path, zoo: Path, number: signal.Signals) -> None:
    """The terminal's Ctrl-C goes to the workers, too."""
    for index in range(3):
        pictures.save(tmp_path / "in" / f"{index}.png", pictures.scene(20, 20, seed=index))
    pictures.save(tmp_path / "in" / "large.bmp", pictures.scene(1500, 1500))
    command = [sys.executable, "-m", "folderdenoise", "run", str(tmp_path / "in"), "--model", "slow", "--json"]
    with subprocess.Popen(
        [*command, "--cluster", "local", "--threads", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert sorted(files(tmp_path / "in-denoised")) == ["0.png", "1.png", "2.png"]
    assert len(rows(tmp_path / "in-denoised")) == 3
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []


def test_a_lost_scheduler_ends_the_run_and_keeps_what_is_done(scans: Path, tmp_path: Path, zoo: Path) -> None:
    (scans / "1" / "7.png").rename(scans / "1" / "hold.png")
    with cluster_of(1, tmp_path / "scratch") as cluster:

        def end() -> None:
            while not (scans / "1" / "hold.held").exists() and not over.is_set():
                pass
            cluster.close()

        over = threading.Event()
        killer = threading.Thread(target=end)
        killer.start()
        result = run(scans, "--out", tmp_path / "out", "--cluster", cluster.scheduler_address)
        over.set()
        killer.join()
    assert result.exit_code == 6, result.output
    assert "scheduler was lost" in result.stderr
    done = {file for file, _ in rows(tmp_path / "out")}
    assert 0 < len(done) < 9
    assert "0 failed" not in run(scans, "--out", tmp_path / "out").stdout
    assert len(rows(tmp_path / "out")) == 9


def test_a_cluster_without_workers_is_given_up(
    scans: Path, tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WITHOUT_WORKERS_SECONDS", 0.0)
    with cluster_of(0, tmp_path / "scratch") as cluster:
        result = run(scans, "--out", tmp_path / "out", "--cluster", cluster.scheduler_address)
    assert result.exit_code == 6
    assert "no workers" in result.stderr


def test_an_address_where_nobody_answers_is_wrong_usage(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_SECONDS", 0.5)
    result = run(scans, "--cluster", "tcp://127.0.0.1:9")
    assert result.exit_code == 2
    assert "tcp://127.0.0.1:9" in result.stderr
    assert "dask scheduler" in result.stderr


@pytest.mark.parametrize("address", ["nonsense://x", "10.0.0.5", "LOCAL", "tls://127.0.0.1:9"])
def test_words_that_are_no_address_leave_no_client_behind(scans: Path, address: str) -> None:
    """One that Dask has half made keeps the program for 40 s as it ends."""
    made = []

    class Spied(Client):
        def __init__(self, *given: Any, **named: Any) -> None:
            made.append(given)
            raise OSError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed.Client", Spied)
        result = run(scans, "--cluster", address)
    assert result.exit_code == 2
    assert f"--cluster {address}: no Dask scheduler answers there" in result.stderr
    assert made == []


def test_another_model_on_a_worker_ends_the_run(
    scans: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.write_blur(tmp_path / "zoo" / "rgb-leaky", version="2", receptive_field=5)
    models.write_shifted(tmp_path / "zoo" / "rgb-leaky", shift=0.2)
    models.rewrite_card(tmp_path / "zoo" / "rgb-leaky", version="2")
    models.write_blur(tmp_path / "zoo" / "gray-leaky", channels=1)
    monkeypatch.setenv("FOLDERDENOISE_MODELS", str(tmp_path / "zoo"))
    result = run(scans, "--out", tmp_path / "out", "--cluster", address)
    assert result.exit_code == 5, result.output
    assert "the client has version 2" in result.stderr
    assert "the worker version 1" in result.stderr


def test_folders_that_a_worker_does_not_see_end_the_run(
    scans: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from folderdenoise.cluster import run as room

    real = room.errand_for
    elsewhere = tmp_path / "on another machine"
    monkeypatch.setattr(room, "errand_for", lambda *given: dataclasses.replace(real(*given), folders=(elsewhere,)))
    result = run(scans, "--out", tmp_path / "out", "--cluster", address)
    assert result.exit_code == 2
    assert str(elsewhere) in result.stderr
    assert "mount" in result.stderr


def test_a_worker_without_the_tool_is_told_of(scans: Path, zoo: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Its Python has another tool of that name, or none."""
    with cluster_of(1, tmp_path / "scratch") as cluster, Client(cluster, set_as_default=False) as client:
        client.run(_forget_the_tool)
        result = run(scans, "--out", tmp_path / "out", "--cluster", cluster.scheduler_address)
    assert result.exit_code == 6, result.output
    assert "No module named 'folderdenoise" in result.stderr
    assert "in the folder of folderdenoise: pip install '.[cluster]'" in result.stderr


def _forget_the_tool() -> None:
    for name in list(sys.modules):
        if name.startswith("folderdenoise"):
            del sys.modules[name]
    sys.modules["folderdenoise"] = None  # type: ignore[assignment]


def test_the_extra_is_named_where_it_is_missing(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run(scans, "--cluster", "local")
    assert result.exit_code == 2
    assert "in the folder of folderdenoise: pip install '.[cluster]'" in result.stderr


def test_the_workers_memory_is_not_the_clients(scans: Path, address: str, tmp_path: Path) -> None:
    """Nor are its devices: who starts the workers says what they have."""
    result = run(scans, "--out", tmp_path / "out", "--cluster", address, "--memory", "0.1", "--device", "cuda")
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stderr.splitlines() if "computing on the processor" in line]
    assert all("worker tcp://" in note for note in notes)
    assert 1 <= len(notes) <= 2


def test_too_little_memory_for_one_worker_is_said_before_anything_is_done(scans: Path, tmp_path: Path) -> None:
    result = run(scans, "--out", tmp_path / "out", "--cluster", "local", "--memory", "0.1")
    assert result.exit_code == 2
    assert "--memory 0.10 is too little" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("free", [1, 4, 16, 1000])
def test_a_machine_has_as_many_workers_as_it_has_memory_for(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """None of them says that its part is too little."""
    monkeypatch.setattr(machine, "cores", lambda: 64)
    monkeypatch.setattr(machine, "free_memory", lambda: free * 2**30)
    order = Order(Path("in"), Path("out"))
    workers = connect.workers_for(order, 200_000)
    assert workers == {1: 1, 4: 3, 16: 14, 1000: 64}[free]
    assert resources.choose(threads=1, jobs=1, memory=connect.memory_for(order, workers)).streams == 1


def test_chunks_suit_the_files_and_the_workers() -> None:
    def cut(sizes: list[int], slots: int) -> list[list[int]]:
        task = Task(Path("a"), "a", Path("b"))
        pieces = [Piece(task, LocalFile(task, size)) for size in sizes]
        return [[piece.item.size for piece in chunk] for chunk in chunks.cut(pieces, len(pieces), slots)]

    assert cut([], 2) == []
    assert cut([1, 2, 3], 2) == [[1], [2], [3]], "no worker is idle while another has several"
    many = cut([1] * 10_000, 2)
    assert {len(chunk) for chunk in many[:-1]} == {chunks.MOST_FILES}
    assert sum(map(len, many)) == 10_000
    large = chunks.MOST_BYTES // 2
    assert [len(chunk) for chunk in cut([large] * 100 + [4 * large] + [1] * 100, 1)][:51] == [2] * 50 + [1]
