"""How a run shares out the machine: threads, inferences, files, memory."""

from __future__ import annotations

import csv
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from folderdenoise import engine, graphs, machine, pages
from folderdenoise.batch import run_batch
from folderdenoise.cli import main
from folderdenoise.engine import Denoiser
from folderdenoise.errors import AbandonedError, UsageError
from folderdenoise.folder import Task
from folderdenoise.pages import Settings, memory_needed
from folderdenoise.resources import Room, choose
from folderdenoise.scratch import Scratch
from tests import pictures

GIB = 2**30


@pytest.fixture
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 cores, 64 GiB free."""
    monkeypatch.setattr(machine, "cores", lambda: 16)
    monkeypatch.setattr(machine, "all_cores", lambda: 16)
    monkeypatch.setattr(machine, "free_memory", lambda: 64 * GIB)


@pytest.mark.usefixtures("large_machine")
class TestChoose:
    def test_every_core_works_on_a_picture_of_its_own_where_memory_allows_it(self) -> None:
        given = choose(memory=100 * GIB, files=200_000)
        assert (given.streams, given.jobs, given.threads) == (16, 17, None)

    def test_half_of_the_free_memory_is_shared_by_fewer_pictures_on_more_threads_each(self) -> None:
        given = choose(files=200_000)
        assert 1 < given.streams < 16
        assert given.tile is None

    def test_a_few_files_get_all_threads_between_them(self) -> None:
        assert choose(memory=100 * GIB, files=3).streams == 3
        assert choose(memory=100 * GIB, files=1).streams == 1

    def test_threads_bound_the_pictures_at_once(self) -> None:
        given = choose(memory=100 * GIB, threads=4)
        assert (given.threads, given.streams, given.jobs) == (4, 4, 5)

    def test_jobs_bound_them_too(self) -> None:
        given = choose(memory=100 * GIB, jobs=2)
        assert (given.streams, given.jobs) == (2, 2)

    def test_little_memory_makes_the_tiles_smaller_and_one_picture_at_a_time(self) -> None:
        given = choose(memory=GIB)
        assert given.tile is not None
        assert given.tile < 1024
        assert given.streams == 1
        assert given.memory < GIB

    def test_a_tile_that_was_asked_for_stays(self) -> None:
        assert choose(memory=100 * GIB, tile=320).tile == 320

    def test_a_machine_with_next_to_nothing_free_works_on_in_the_smallest_tiles(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "free_memory", lambda: 200 << 20)
        given = choose()
        assert (given.streams, given.tile) == (1, 416)

    @pytest.mark.parametrize(("memory", "tile", "advice"), [(0.3, None, "Give more"), (1.0, 2048, "smaller --tile")])
    def test_less_memory_than_a_tile_takes_is_refused_with_what_it_takes(
        self, memory: float, tile: int | None, advice: str
    ) -> None:
        with pytest.raises(UsageError, match=rf"is the least here.*{advice}") as caught:
            choose(memory=round(memory * GIB), tile=tile)
        least = float(str(caught.value).split(": ")[1].split()[0])
        assert choose(memory=round((least + 0.01) * GIB), tile=tile).streams == 1

    def test_a_container_with_a_part_of_the_cores_is_told_to_the_runtime(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "cores", lambda: 3)
        assert choose(memory=100 * GIB).threads == 3


class TestMachine:
    @pytest.fixture
    def groups(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "inner").mkdir()
        monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
        own = tmp_path / "own"
        own.write_text("0::/inner\n")
        monkeypatch.setattr(machine, "_OWN_GROUPS", own)
        return tmp_path

    def test_a_containers_share_of_the_cores_counts(self, groups: Path) -> None:
        (groups / "inner" / "cpu.max").write_text("max 100000\n")
        everything = machine.cores()
        (groups / "cpu.max").write_text("100000 100000\n")
        assert everything >= 1
        assert machine.cores() == 1

    def test_a_containers_share_of_the_memory_counts(self, groups: Path) -> None:
        before = machine.free_memory()
        (groups / "inner" / "memory.max").write_text(f"{64 << 20}\n")
        (groups / "inner" / "memory.current").write_text(f"{14 << 20}\n")
        assert before > 50 << 20
        assert machine.free_memory() == 50 << 20

    def test_what_a_container_keeps_of_files_it_has_read_is_free(self, groups: Path) -> None:
        (groups / "memory.max").write_text(f"{64 << 20}\n")
        (groups / "memory.current").write_text(f"{60 << 20}\n")
        stat = f"anon 1000\nfile {45 << 20}\nshmem {5 << 20}\ninactive_file {30 << 20}\nactive_file {10 << 20}\n"
        (groups / "memory.stat").write_text(stat)
        assert machine.free_memory() == 44 << 20

    def test_version_1_of_the_control_groups_counts_too(self, groups: Path) -> None:
        """Docker on an older system: the path is the host's, the container's own group is the root of each tree."""
        everything = machine.cores()
        (groups / "own").write_text("5:cpu,cpuacct:/docker/1234\n4:memory:/docker/1234\n0::/\n")
        for name, text in {
            "cpu/cpu.cfs_quota_us": "100000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(64 << 20),
            "memory/memory.usage_in_bytes": str(24 << 20),
            "memory/memory.stat": f"inactive_file 1\nactive_file 1\ntotal_inactive_file {4 << 20}\ntotal_active_file 0",
        }.items():
            path = groups / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{text}\n")
        assert machine.cores() == 1
        assert machine.free_memory() == 44 << 20
        (groups / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
        (groups / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
        assert machine.cores() == everything
        assert machine.free_memory() > 64 << 20

    def test_it_is_told_without_control_groups_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "none")
        assert machine.cores() >= 1
        assert machine.free_memory() > 0


class TestRoom:
    def test_files_wait_until_there_is_room_and_never_take_more(self) -> None:
        room, lock = Room(100), threading.Lock()
        under_way, most = 0, 0

        def work(needed: int) -> None:
            nonlocal under_way, most
            with room.taken(needed, lambda: None):
                with lock:
                    under_way += needed
                    most = max(most, under_way)
                with lock:
                    under_way -= needed

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, [10, 60, 30, 90, 100, 5, 45, 50] * 20))
        assert most <= 100

    def test_what_needs_more_than_there_is_goes_alone(self) -> None:
        room = Room(100)
        with room.taken(1000, lambda: None):
            assert _has_to_wait(room, 1)
        with room.taken(1, lambda: None):
            assert _has_to_wait(room, 1000)

    def test_a_large_file_is_not_overtaken_by_small_ones(self) -> None:
        room, waits, order = Room(100), threading.Event(), list[str]()
        waiting = threading.Event()

        def large() -> None:
            with room.taken(100, waiting.set):
                order.append("large")

        def small() -> None:
            with room.taken(1, waits.set):
                order.append("small")

        with ThreadPoolExecutor(2) as pool:
            with room.taken(50, lambda: None):
                first = pool.submit(large)
                assert waiting.wait(10)
                second = pool.submit(small)
                assert waits.wait(10)
            first.result(10)
            second.result(10)
        assert order == ["large", "small"]

    def test_who_waits_can_be_called_off_and_leaves_nothing_behind(self) -> None:
        room = Room(100)
        with room.taken(100, lambda: None):
            assert _has_to_wait(room, 1)
        with room.taken(100, lambda: None):
            pass


def _has_to_wait(room: Room, needed: int) -> bool:
    def give_up() -> None:
        raise AbandonedError("")

    try:
        with room.taken(needed, give_up):
            return False
    except AbandonedError:
        return True


def test_what_a_file_needs_follows_from_its_header(tmp_path: Path) -> None:
    flat = np.zeros((1000, 2000, 3), np.uint8)  # next to nothing as a file, 6 MB as pixels
    for name in ("a.png", "a.tif", "a.webp", "a.bmp"):
        path = pictures.save(tmp_path / name, flat)
        pixels = 3 * flat.nbytes + 2 * path.stat().st_size
        assert memory_needed(path, Settings()) == pytest.approx(pixels, rel=0.01), name
    assert memory_needed(tmp_path / "a.png", Settings(in_memory=1 << 20)) < 2 << 20
    assert memory_needed(tmp_path / "gone.png", Settings()) == 0


@pytest.mark.usefixtures("zoo_dir")
def test_files_of_a_batch_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = []
    for index in range(6):
        source = pictures.save(tmp_path / "in" / f"{index}.png", pictures.scene())
        tasks.append(Task(source, source.name, tmp_path / "out" / source.name))
    (tmp_path / "out").mkdir()
    lock, under_way, most = threading.Lock(), 0, 0
    process = pages.process

    def counted(*given: object) -> object:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        try:
            return process(*given)  # type: ignore[arg-type]
        finally:
            with lock:
                under_way -= 1

    monkeypatch.setattr(pages, "process", counted)
    room = Room(memory_needed(tasks[0].source, Settings()) * 2)
    done = list[str]()
    run_batch(tasks, Denoiser(), Settings(), lambda outcome: done.append(outcome.status), jobs=6, room=room)
    assert done == ["done"] * 6
    assert most <= 2


@pytest.mark.usefixtures("zoo_dir")
def test_as_many_images_are_in_the_network_at_once_as_there_are_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, in_network, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)
    tiled = engine.denoise_tiled

    def counted(*given: object, **named: object) -> object:
        nonlocal in_network, most
        with lock:
            in_network += 1
            most = max(most, in_network)
        both.wait(10)  # two are let in at once, or this test hangs and fails
        try:
            return tiled(*given, **named)  # type: ignore[arg-type]
        finally:
            with lock:
                in_network -= 1

    monkeypatch.setattr(engine, "denoise_tiled", counted)
    denoiser = Denoiser(streams=2)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(denoiser, [pictures.scene(seed=seed) for seed in range(6)]))
    assert most == 2


@pytest.mark.usefixtures("zoo_dir")
def test_images_of_ever_more_sizes_take_no_more_memory() -> None:
    denoiser, process = Denoiser("rgb-leaky", threads=1), psutil.Process()
    sizes = [(height, width) for height in range(16, 46) for width in range(16, 46)]

    def taken_by(some: list[tuple[int, int]]) -> int:
        before = process.memory_info().rss
        for height, width in some:
            denoiser(np.zeros((height, width, 3), np.float32))
        return process.memory_info().rss - before

    taken_by(sizes[:300])
    assert taken_by(sizes[300:]) < 20 << 20


@pytest.mark.usefixtures("zoo_dir")
class TestOptions:
    @pytest.fixture
    def scans(self, tmp_path: Path) -> Path:
        image = pictures.noisy(pictures.scene(80, 96), 12)
        pictures.save(tmp_path / "scans" / "a.png", image)
        pictures.save(tmp_path / "scans" / "b.png", image)
        return tmp_path / "scans"

    def test_threads_and_memory_bound_all_pools_and_change_no_pixel(
        self, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = list[tuple[int | None, int]]()
        limits = list[int]()

        class Spy(Denoiser):
            def __init__(self, model: str, **options: object) -> None:
                asked.append((options["threads"], options["streams"]))  # type: ignore[arg-type]
                super().__init__(model, **options)  # type: ignore[arg-type]

        monkeypatch.setattr("folderdenoise.job.Denoiser", Spy)
        monkeypatch.setattr(
            pages, "Scratch", lambda folder, in_memory: limits.append(in_memory) or Scratch(folder, in_memory)
        )
        before = cv2.getNumThreads()
        try:
            assert _run(scans, "--out", str(tmp_path / "plain")) == 0
            assert _run(scans, "--out", str(tmp_path / "bound"), "--threads", "1", "--memory", "0.8") == 0
            assert cv2.getNumThreads() == 1
        finally:
            cv2.setNumThreads(before)
        assert asked[-1] == (1, 1)
        assert limits[-1] < limits[0]
        for name in ("a.png", "b.png"):
            assert np.array_equal(pictures.load(tmp_path / "plain" / name), pictures.load(tmp_path / "bound" / name))

    def test_a_precision_that_the_processor_lacks_is_wrong_usage_and_not_the_fault_of_each_file(
        self, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(graphs, "has_bf16", lambda: False)
        result = CliRunner().invoke(main, ["run", str(scans), "--out", str(tmp_path / "out"), "--precision", "bf16"])
        assert result.exit_code == 2
        assert "Use precision auto or f32" in result.output
        assert not (tmp_path / "out").exists()

    def test_metrics_none_measures_nothing_and_denoises_all_the_same(self, scans: Path, tmp_path: Path) -> None:
        assert _run(scans, "--out", str(tmp_path / "fast")) == 0
        assert _run(scans, "--out", str(tmp_path / "none"), "--metrics", "none") == 0
        fast, none = (_rows(tmp_path / name) for name in ("fast", "none"))
        assert all(row["noise_before"] and row["flat_noise_after"] and row["structure_removed"] for row in fast)
        assert not any(row["noise_before"] or row["flat_noise_after"] or row["structure_removed"] for row in none)
        assert np.array_equal(pictures.load(tmp_path / "fast" / "a.png"), pictures.load(tmp_path / "none" / "a.png"))

    def test_metrics_full_looks_at_all_of_a_large_page(self, tmp_path: Path) -> None:
        # Noise in most of it, but not in the four times four blocks of 256 pixels that are the sample.
        image = pictures.noisy(np.full((1024, 4096), 128, np.uint8), 20)
        for left in (0, 1280, 2560, 3840):
            image[:, left : left + 256] = 128
        scan = pictures.save(tmp_path / "scan.png", image)
        assert _run(scan, "--out", str(tmp_path / "fast"), "--strength", "0") == 0
        assert _run(scan, "--out", str(tmp_path / "full"), "--strength", "0", "--metrics", "full") == 0
        fast, full = (float(_rows(tmp_path / name)[0]["noise_before"]) for name in ("fast", "full"))
        assert fast == 0
        assert full > 10

    @pytest.mark.parametrize("asked", [("--reference", "."), ("--estimate",)])
    def test_metrics_none_and_a_wish_for_metrics_do_not_go_together(self, scans: Path, asked: tuple[str, ...]) -> None:
        result = CliRunner().invoke(main, ["run", str(scans), "--metrics", "none", *asked])
        assert result.exit_code == 2
        assert asked[0] in result.output

    def test_too_little_memory_is_said_before_anything_is_done(self, scans: Path, tmp_path: Path) -> None:
        result = CliRunner().invoke(main, ["run", str(scans), "--out", str(tmp_path / "out"), "--memory", "0.1"])
        assert result.exit_code == 2
        assert "--memory 0.10 is too little" in result.output
        assert not list((tmp_path / "out").glob("*.png"))


def _run(source: Path, *options: str) -> int:
    return CliRunner().invoke(main, ["run", str(source), "--quiet", *options]).exit_code


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))
