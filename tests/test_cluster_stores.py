"""Runs between URLs: an S3 server of the tests' own, and file:// for what is no object store."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import psutil
import pytest
from moto.server import ThreadedMotoServer

from folderdenoise.cluster import mirror, remote_lock, stores
from folderdenoise.cluster.places import place
from folderdenoise.cluster.remote_lock import RemoteLock
from folderdenoise.cluster.remote_plan import RemoteResume, check_places, make_plan
from folderdenoise.cluster.stores import Store
from folderdenoise.errors import OutputBusyError, OutputError, UnreadableImageError, UsageError
from folderdenoise.folder import Selection
from folderdenoise.ledger import Ledger

from . import models, pictures
from .test_cluster import cluster_of, run

NAMES = [f"{index % 2}/{index}.png" for index in range(5)]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An S3 server with a bucket "box", and fsspec's way to it. What this process and its workers need is in the
    environment, as it is for users."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        system = fsspec.filesystem("s3")
        system.mkdir("box")
        yield system
        system.clear_instance_cache()
    server.stop()


@pytest.fixture(scope="module")
def address(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("zoo")
    models.write_blur(folder / "rgb-leaky", channels=3)
    models.write_blur(folder / "gray-leaky", channels=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDERDENOISE_MODELS", str(folder))
        with cluster_of(2, tmp_path_factory.mktemp("scratch")) as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for index, name in enumerate(NAMES):
        pictures.save(tmp_path / "scans" / name, pictures.noisy(pictures.scene(40, 50, seed=index), 20))
    (tmp_path / "scans" / "list.txt").write_text("a list")
    (tmp_path / "scans" / "1" / "Thumbs.db").write_bytes(b"")
    return tmp_path / "scans"


@pytest.fixture(params=["s3", "file"])
def urls(request: pytest.FixtureRequest, s3: Any, scans: Path, tmp_path: Path) -> tuple[Any, str, str]:
    """A file system, and the URLs of a folder with scans and of one for results. ``str.partition`` gives its paths."""
    if request.param == "file":
        return fsspec.filesystem("file"), f"file://{scans.as_posix()}", f"file://{tmp_path.as_posix()}/results"
    prefix = f"box/{request.node.name}"
    s3.put(str(scans), f"{prefix}/scans", recursive=True)
    return s3, f"s3://{prefix}/scans", f"s3://{prefix}/results"


def found(system: Any, url: str) -> dict[str, bytes]:
    """What is at a URL, hidden files too."""
    system.invalidate_cache()
    root = url.partition("://")[2]
    return {path.removeprefix(f"{root}/"): system.cat_file(path) for path in system.find(root)}


def rows(table: bytes) -> dict[str, dict[str, str]]:
    listed = list(csv.DictReader(io.StringIO(table.decode(), newline="")))
    assert len({row["file"] for row in listed}) == len(listed)
    return {row["file"]: row for row in listed}


def test_from_url_to_url(urls: tuple[Any, str, str], scans: Path, address: str, tmp_path: Path) -> None:
    system, source, out = urls
    assert run(scans, "--out", tmp_path / "alone").exit_code == 0
    result = run(source, "--out", out, "--cluster", address)
    assert result.exit_code == 0, result.output
    assert "5 done, 1 skipped" in result.stdout
    there = found(system, out)
    table = rows(there.pop("metrics.csv"))
    assert there == {name: (tmp_path / "alone" / name).read_bytes() for name in NAMES}
    expected = rows((tmp_path / "alone" / "metrics.csv").read_bytes())
    for name, row in table.items():
        assert row["output"] == f"{out}/{name}"
        assert row["source_folder"] == source
        for column in ("source_bytes", "source_sha256", "noise_after", "model_sha256", "settings", "status"):
            assert row[column] == expected[name][column]
    assert "Nothing to do: 6 skipped" in run(source, "--out", out, "--cluster", address).stdout


def test_what_changed_is_done_again(
    urls: tuple[Any, str, str], scans: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, source, out = urls
    root = source.partition("://")[2]
    assert run(source, "--out", out, "--cluster", address).exit_code == 0
    before = rows(found(system, out)["metrics.csv"])
    pictures.save(tmp_path / "new.png", pictures.scene(30, 30))
    system.put_file(str(tmp_path / "new.png"), f"{root}/0/0.png")
    same, then = system.cat_file(f"{root}/1/1.png"), system.modified(f"{root}/1/1.png")
    while system.modified(f"{root}/1/1.png") == then:  # S3 counts whole seconds
        system.pipe_file(f"{root}/1/1.png", same)
        system.invalidate_cache()
    system.rm_file(f"{out.partition('://')[2]}/0/2.png")
    fetch, fetched = Store.fetch, []
    monkeypatch.setattr(
        Store, "fetch", lambda self, relative, to: (fetch(self, relative, to), fetched.append(relative))
    )
    result = run(source, "--out", out, "--cluster", address, "--json")
    assert {json.loads(line)["file"] for line in result.stdout.splitlines()} == {"0/0.png", "0/2.png"}
    after = rows(found(system, out)["metrics.csv"])
    assert after["0/0.png"]["width"] == "30"
    assert after["1/1.png"]["finished_at"] == before["1/1.png"]["finished_at"], "only its time is another"
    assert after["1/1.png"]["source_mtime_ns"] != before["1/1.png"]["source_mtime_ns"]
    assert "Nothing to do" in run(source, "--out", out, "--cluster", address).stdout
    assert fetched == ["1/1.png"], "once, to compare it; the workers fetch the others"


def test_a_bad_object_is_a_failed_row_that_names_it(urls: tuple[Any, str, str], address: str) -> None:
    system, source, out = urls
    system.pipe_file(f"{source.partition('://')[2]}/bad.png", b"no image")
    result = run(source, "--out", out, "--cluster", address)
    assert result.exit_code == 1
    assert f"failed: {source}/bad.png: " in result.stderr
    there = found(system, out)
    row = rows(there["metrics.csv"])["bad.png"]
    assert (row["status"], row["source_bytes"]) == ("failed", "8")
    assert sorted(there) == sorted([*NAMES, "metrics.csv"]), "no lock, nothing half-uploaded"


def test_the_plan_is_that_of_folders(urls: tuple[Any, str, str], address: str) -> None:
    """Results inside the input, other results, patterns, converted names, and nothing is touched."""
    system, source, out = urls
    root = source.partition("://")[2]
    inside = f"{source}/results"
    system.makedirs(f"{root}/results", exist_ok=True)
    system.pipe_file(f"{root}/results/stray.png", system.cat_file(f"{root}/0/0.png"))
    assert "5 done" in run(source, "--out", inside, "--cluster", address).stdout
    assert run(f"{source}/0", "--out", f"{source}/other", "--cluster", address).exit_code == 0
    before = found(system, source)
    dry = run(source, "--out", out, "--cluster", "local", "--dry-run", "--format", "tiff", "--exclude", "1/*", "-v")
    assert dry.exit_code == 0, dry.output
    assert dry.stdout.splitlines()[:3] == [f"{source}/0/{index}.png -> {out}/0/{index}.tif" for index in (0, 2, 4)]
    assert f"skipped {source}/results: results of this tool" in dry.stderr
    assert f"skipped {source}/other: results of this tool" in dry.stderr
    assert "Nothing to do" in run(source, "--out", inside, "--cluster", address, "--exclude", "other/*").stdout
    assert found(system, source) == before
    with contextlib.suppress(FileNotFoundError):
        assert not found(system, out)
    system.pipe_file(f"{root}/0/0.bmp", b"another")
    clash = run(source, "--out", out, "--cluster", "local", "--dry-run", "--format", "png")
    assert clash.exit_code == 2
    assert "0/0.bmp and 0/0.png" in clash.stderr


def test_one_object(urls: tuple[Any, str, str], address: str) -> None:
    system, source, out = urls
    assert run(f"{source}/0/2.png", "--out", out, "--cluster", address).exit_code == 0
    assert sorted(found(system, out)) == ["2.png", "metrics.csv"]


def test_results_of_others_are_not_replaced(urls: tuple[Any, str, str], address: str) -> None:
    system, source, out = urls
    root = out.partition("://")[2]
    if not system.exists(root) and "file" in system.protocol:
        system.makedirs(f"{root}/0")
    system.pipe_file(f"{root}/0/2.png", b"mine")
    result = run(source, "--out", out, "--cluster", address)
    assert result.exit_code == 2
    assert f"{out}/0/2.png: is there already" in result.stderr
    assert list(found(system, out).values()) == [b"mine"]


@pytest.mark.parametrize("out", ["", "/..", "x"])
def test_originals_are_not_overwritten(scans: Path, out: str) -> None:
    source = f"file://{scans.as_posix()}"
    place_for = {"": source, "/..": source.rpartition("/")[0], "x": source.rpartition("/")[0]}[out]
    result = run(source, "--out", place_for, "--cluster", "local")
    assert result.exit_code == 2
    assert "never overwritten" in result.stderr


def test_from_a_folder_to_a_url(s3: Any, scans: Path, address: str) -> None:
    result = run(scans, "--out", "s3://box/from a folder", "--cluster", address)
    assert result.exit_code == 0, result.output
    assert sorted(found(s3, "s3://box/from a folder")) == sorted([*NAMES, "metrics.csv"])


def test_a_lost_connection_keeps_what_is_done(
    s3: Any, scans: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of what is done reach the store whatever ends the run."""
    from folderdenoise.cluster import health

    out = "s3://box/lost"
    check, append, appended = health.Health.check, Ledger.append, []

    def check_or_fail(self: health.Health) -> None:
        if len(appended) >= 2:
            raise health.ClusterError(health.LOST)
        check(self)

    monkeypatch.setattr(Ledger, "append", lambda self, *files: (append(self, *files), appended.extend(files)))
    monkeypatch.setattr(health.Health, "check", check_or_fail)
    assert run(scans, "--out", out, "--cluster", address).exit_code == 6
    monkeypatch.undo()
    there = found(s3, out)
    done = rows(there["metrics.csv"])
    assert len(done) == len(appended) < len(NAMES)
    assert ".folderdenoise-lock" not in there
    result = run(scans, "--out", out, "--cluster", address)
    assert f"{len(NAMES) - len(done)} done" in result.stdout


class TestTable:
    def test_it_is_uploaded_now_and_then(self, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mirror, "AT_LEAST_SECONDS", 0.0)
        kept = mirror.Mirror(Store("s3://box/table"), tmp_path)
        kept.tick()
        assert not s3.exists("box/table/metrics.csv")
        kept.table.write_text("a row")
        kept.tick()
        assert s3.cat_file("box/table/metrics.csv") == b"a row"
        monkeypatch.setattr(mirror, "AT_LEAST_SECONDS", 1000.0)
        kept.upload()
        kept.table.write_text("another row")
        kept.tick()
        assert s3.cat_file("box/table/metrics.csv") == b"a row"
        kept.upload()
        assert s3.cat_file("box/table/metrics.csv") == b"another row"


class TestLock:
    def test_two_runs_are_kept_apart(self, s3: Any, scans: Path) -> None:
        with RemoteLock(Store("s3://box/locked"), "folderdenoise run x"):
            result = run(scans, "--out", "s3://box/locked", "--cluster", "local")
        assert result.exit_code == 4
        assert f"'folderdenoise run x', process {os.getpid()} on {socket.gethostname()}" in result.stderr
        assert not s3.exists("box/locked/.folderdenoise-lock")

    @pytest.mark.parametrize(
        ("changes", "is_free"),
        [
            ({}, False),
            ({"process": 2**22 + 1}, True),
            ({"process": 2**22 + 1, "host": "another"}, False),
            ({"host": "another", "renewed": "2020-01-01T00:00:00+00:00"}, True),
        ],
    )
    def test_a_dead_run_holds_nothing(self, tmp_path: Path, changes: dict[str, Any], is_free: bool) -> None:
        assert not psutil.pid_exists(2**22 + 1)
        store = Store(f"file://{tmp_path.as_posix()}")
        path = tmp_path / ".folderdenoise-lock"
        with RemoteLock(store, "x"):
            text = json.loads(path.read_text())
        assert not path.exists()
        path.write_text(json.dumps(text | changes))
        expected = contextlib.nullcontext() if is_free else pytest.raises(OutputError, match="another folderdenoise")
        with expected, RemoteLock(store, "y"):
            pass

    def test_it_is_renewed_whatever_the_run_is_at(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote_lock, "RENEW_SECONDS", 0.01)
        renewed = threading.Event()
        publish, written = Store.publish, list[str]()

        def count(self: Store, local: Path, relative: str) -> None:
            publish(self, local, relative)
            written.append(relative)
            if len(written) == 3:
                renewed.set()

        monkeypatch.setattr(Store, "publish", count)
        with RemoteLock(Store(f"file://{tmp_path.as_posix()}"), "x") as lock:
            assert renewed.wait(10)
            lock.tick()
        assert list(tmp_path.iterdir()) == []

    def test_a_run_that_was_taken_for_dead_ends_and_leaves_the_lock_of_the_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote_lock, "RENEW_SECONDS", 0.01)
        path = tmp_path / ".folderdenoise-lock"
        with RemoteLock(Store(f"file://{tmp_path.as_posix()}"), "x") as lock:
            another = path.read_text().replace('"x"', '"another run"')
            while lock._renewing.is_alive():  # which may just have been about to write
                path.write_text(another)
                lock._renewing.join(0.1)
            with pytest.raises(OutputBusyError, match="has begun to write there"):
                lock.tick()
        assert "another run" in path.read_text()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
class TestPlaces:
    def test_results_never_replace_originals_however_the_places_are_spelt(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "sub").mkdir(parents=True)
        (tmp_path / "link").symlink_to(tmp_path / "in")
        here = f"file://{tmp_path.as_posix()}"
        for source, out in [("in", "in"), ("in/sub", "in"), ("in", "link"), ("link/sub", "in"), ("x/../in", "in")]:
            with pytest.raises(UsageError, match="originals are never overwritten"):
                check_places(Store(f"{here}/{source}"), Store(f"{here}/{out}"))
        check_places(Store(f"{here}/in"), Store(f"{here}/in/sub"))
        check_places(Store(f"{here}/in"), Store(f"{here}/in2"))
        check_places(Store("memory://box/in"), Store(f"{here}/in"))
        with pytest.raises(UsageError, match="originals are never overwritten"):
            check_places(Store("memory://box/in"), Store("memory://box"))

    def test_results_inside_the_input_are_no_input_however_they_are_spelt(self, tmp_path: Path) -> None:
        for name in ("in/a.png", "in/out/a.png"):
            pictures.save(tmp_path / name, pictures.scene(20, 20))
        (tmp_path / "link").symlink_to(tmp_path / "in")
        source, out = (Store(f"file://{(tmp_path / name).as_posix()}") for name in ("in", "link/out"))
        resume = RemoteResume(None, 1.0, "", {}, source=source)
        plan = make_plan(source, out, Selection(), None, None, resume)
        assert [task.relative for task in plan.tasks] == ["a.png"]


class TestStore:
    def test_what_is_uploaded_is_whole_or_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connection breaks in the middle, three times."""
        monkeypatch.setattr(stores, "PAUSES_SECONDS", (0.0, 0.0))
        (tmp_path / "new").write_bytes(b"new")
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "a").write_bytes(b"old")
        store = Store(f"file://{tmp_path.as_posix()}/there")
        tries = []

        def break_off(local: str, there: str, **options: Any) -> None:
            Path(there).write_bytes(b"ne")
            tries.append(there)
            raise ConnectionResetError("the line went dead")

        with monkeypatch.context() as patch:
            patch.setattr(store._fs, "put_file", break_off)
            with pytest.raises(OutputError, match="the line went dead"):
                store.publish(tmp_path / "new", "a")
        assert len(tries) == 3
        assert [path.name for path in (tmp_path / "there").iterdir()] == ["a"]
        assert (tmp_path / "there" / "a").read_bytes() == b"old"
        store.publish(tmp_path / "new", "a")
        store.publish(tmp_path / "new", "deep/er/b")
        assert (tmp_path / "there" / "a").read_bytes() == b"new"
        assert [entry.relative for entry in store.entries()] == ["a", "deep"]

    def test_a_missing_object_and_a_missing_bucket(self, s3: Any, tmp_path: Path) -> None:
        with pytest.raises(UnreadableImageError, match=r"s3://box/x/none\.png: is gone"):
            Store("s3://box/x").fetch("none.png", tmp_path / "copy")
        with pytest.raises(UsageError, match="s3://box/none"):
            Store("s3://box/none").file()
        with pytest.raises(OutputError, match="s3://no-such-bucket/a"):
            Store("s3://no-such-bucket").publish(Path(__file__), "a")

    def test_a_driver_that_is_missing_is_named(self) -> None:
        with pytest.raises(UsageError, match="pip install gcsfs"):
            Store("gs://box")
        with pytest.raises(UsageError, match="nonsense://box"):
            Store("nonsense://box")


class TestCommandLine:
    def test_urls_need_a_cluster(self, scans: Path) -> None:
        for arguments in (["s3://box/in", "--out", "x"], [scans, "--out", "s3://box/out"]):
            result = run(*arguments)
            assert result.exit_code == 2
            assert "Add --cluster local" in result.stderr
        assert "--out" in run("s3://box/in", "--cluster", "local").stderr
        assert "--report" in run("s3://box/in", "--out", "x", "--cluster", "local", "--report").stderr

    def test_watch_does_not_take_them(self) -> None:
        from click.testing import CliRunner

        from folderdenoise.cli import main

        result = CliRunner().invoke(main, ["watch", "s3://box/in", "--out", "x"])
        assert result.exit_code == 2
        assert "folderdenoise run" in result.stderr

    def test_urls_keep_their_slashes(self) -> None:
        assert str(place("s3://box//a/../b ü/")) == "s3://box//a/../b ü"
        assert place("scans/a") == Path("scans/a")
        assert type(place(r"C:\scans")) is type(Path())
