"""Following the log: when it is looked at, where it ends, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.log.events import plain, plains
from wfstore.errors import StorageError, StorageNotFoundError
from wfstore.log import Cursor, LogReader, failpoints, open_writer
from wfstore.log import follow as module
from wfstore.log.follow import Polling, Watching, end_of, follow, waiter_for
from wfstore.log.survey import CLAIM_GRACE_S

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def native_threads() -> int:
    """Threads of the system that watch files; Python does not know them."""
    count = 0
    for task in os.listdir("/proc/self/task"):
        try:
            count += "notify" in Path(f"/proc/self/task/{task}/comm").read_text()
        except FileNotFoundError:
            continue
    return count


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def taken(store: str, count: int, stop: threading.Event, cursor: Cursor | None = None) -> list[int]:
    seqs: list[int] = []
    for table in follow(LogReader(store), cursor or Cursor(), stop):
        seqs += table["seq"].to_pylist()
        if len(seqs) >= count:
            break
    return seqs


@pytest.mark.parametrize("kind", ["notified", "by the clock", "no notifications to be had", "another system"])
def test_what_is_committed_arrives_soon(
    tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    writer = open_writer(str(tmp_path), segment_bytes=2000)
    writer.append(plains(0, 3))
    if kind == "by the clock":
        monkeypatch.setattr(module, "_filesystem", lambda path: "nfs4")
        monkeypatch.setattr(module, "Polling", lambda stop, shortest, longest: Polling(stop, 0.01, 0.02))
    if kind == "no notifications to be had":
        monkeypatch.setattr("watchfiles.watch", refuse)
    if kind == "another system":
        monkeypatch.setattr(sys, "platform", "darwin")
    with ThreadPoolExecutor() as pool:
        seen = pool.submit(taken, str(tmp_path), 43, stop)
        for number in range(40):
            writer.append([plain(number)])
            time.sleep(0.002)
        assert seen.result(timeout=10) == list(range(1, 44))
    writer.close()


def refuse(*args: object, **kwargs: object) -> Iterator[None]:
    raise OSError(28, "OS file watch limit reached")
    yield


def test_the_place_decides_how(tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint="/shared", fstype="xfs"),
        SimpleNamespace(mountpoint="/shared", fstype="nfs4"),
        SimpleNamespace(mountpoint="/shared/here", fstype="tmpfs"),
    ]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: mounts)
    assert isinstance(waiter_for("/srv/store", stop), Watching)
    assert isinstance(waiter_for("/shared/store", stop), Polling)
    assert isinstance(waiter_for("/sharedstore", stop), Watching)
    assert isinstance(waiter_for("/shared/here/store", stop), Watching)
    monkeypatch.setattr("psutil.disk_partitions", lambda all: [])
    assert isinstance(waiter_for("/srv/store", stop), Polling)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isinstance(waiter_for("/srv/store", stop), Polling)


def test_polling_slows_down_while_nothing_comes_and_ends_at_once() -> None:
    asked: list[float] = []
    stop = SimpleNamespace(wait=lambda seconds: asked.append(seconds) or len(asked) == 4)
    polling = Polling(stop, 0.25, 2.0)  # type: ignore[arg-type]
    assert [polling.wait(quiet) for quiet in (0.0, 2.0, 100.0, 0.0)] == [True, True, True, False]
    assert asked == [0.25, 0.5, 2.0, 0.25]


def test_ending_leaves_no_thread_and_no_file(tmp_path: Path) -> None:
    writer = open_writer(str(tmp_path))
    writer.append([plain(0)])
    before = threading.active_count(), native_threads(), len(os.listdir("/proc/self/fd"))
    stops = [threading.Event() for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        seen = [pool.submit(taken, str(tmp_path), 99, stop) for stop in stops]
        assert eventually(lambda: native_threads() == before[1] + 3)
        for stop in stops:
            stop.set()
        assert [one.result(timeout=5) for one in seen] == [[1]] * 3
    assert eventually(lambda: (threading.active_count(), native_threads(), len(os.listdir("/proc/self/fd"))) == before)
    writer.close()


def test_a_store_that_goes_away_is_an_error(tmp_path: Path, stop: threading.Event) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(0)])
    tables = follow(LogReader(str(store)), Cursor(), stop)
    assert next(tables).num_rows == 1
    shutil.rmtree(store)
    with pytest.raises(StorageNotFoundError):
        next(tables)


def test_a_large_log_is_given_in_parts(tmp_path: Path, stop: threading.Event) -> None:
    writer = open_writer(str(tmp_path))
    for first in range(0, 80, 10):
        writer.append([plain(number)._replace(payload=bytes(100_000)) for number in range(first, first + 10)])
    tables = follow(LogReader(str(tmp_path)), Cursor(), stop)
    parts = [next(tables)["seq"].to_pylist(), next(tables)["seq"].to_pylist()]
    assert [*parts[0], *parts[1]] == list(range(1, 81))
    assert len(parts[0]) < 60
    writer.close()


def test_the_end_is_behind_the_last_event(tmp_path: Path) -> None:
    writer = open_writer(str(tmp_path), segment_bytes=500)
    assert end_of(LogReader(str(tmp_path))).next_seq == 1
    for number in range(20):
        writer.append([plain(number)])
        assert end_of(LogReader(str(tmp_path))).next_seq == number + 2
    later = open_writer(str(tmp_path))
    assert end_of(LogReader(str(tmp_path))).next_seq == 21
    later.append(plains(20, 5))
    cursor = end_of(LogReader(str(tmp_path)))
    later.append(plains(25, 2))
    assert LogReader(str(tmp_path)).read(cursor)[0]["seq"].to_pylist() == [26, 27]
    later.close()


def test_the_end_waits_for_a_manager_that_is_claiming(tmp_path: Path) -> None:
    first = open_writer(str(tmp_path))
    first.append(plains(0, 4))
    go_on, claimed = threading.Event(), threading.Event()
    failpoints.arm(failpoints.CLAIM_CREATED, lambda: (claimed.set(), go_on.wait(5))[0])
    with ThreadPoolExecutor() as pool:
        second = pool.submit(open_writer, str(tmp_path))
        assert claimed.wait(5)
        end = pool.submit(end_of, LogReader(str(tmp_path)))
        time.sleep(0.05)
        assert not end.done()
        go_on.set()
        assert end.result(timeout=5).next_seq == 5
        second.result().close()


def test_a_claim_that_never_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the clock of a file server is ahead: the claim never grows old."""
    open_writer(str(tmp_path)).append([plain(0)])
    claim = tmp_path / "log" / "seg-00000002-000001.wfl"
    claim.touch()
    ahead = time.time() + 3600
    os.utime(claim, (ahead, ahead))
    monkeypatch.setattr(module, "CLAIM_GRACE_S", 0.05)
    with pytest.raises(StorageError, match="clock"):
        end_of(LogReader(str(tmp_path)))


def test_a_writer_in_another_process_that_is_killed_and_followed(tmp_path: Path, stop: threading.Event) -> None:
    """Torn frames, rotations and new managers under three followers at once; nobody waits for the grace of claims."""
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(1), plain(2)])
    seen: list[list[str]] = [[], [], []]

    def watch(number: int) -> None:
        for table in follow(LogReader(str(store)), Cursor(), stop):
            seen[number] += table["task_id"].to_pylist()

    with ThreadPoolExecutor() as pool:
        watchers = [pool.submit(watch, number) for number in range(3)]
        for point in (failpoints.APPEND_HALF_WRITTEN, failpoints.ROTATE_CREATED, failpoints.CLAIM_CREATED):
            command = [sys.executable, "-m", "tests.log.appender", str(store), "60", "900"]
            at = 1 if point == failpoints.CLAIM_CREATED else 7
            environment = os.environ | {"WFSTORE_FAILPOINT": f"{point}=kill@{at}"}
            subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False, timeout=30)
        for claim in (store / "log").iterdir():
            past = time.time() - CLAIM_GRACE_S - 1
            os.utime(claim, (past, past))
        subprocess.run([*command[:4], "3", "900"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=30)
        wanted = [event.task_id for event in LogReader(str(store)).events()]
        assert len(wanted) > 20
        assert eventually(lambda: all(len(one) >= len(wanted) for one in seen))
        stop.set()
        for watcher in watchers:
            watcher.result(timeout=5)
    assert seen == [wanted] * 3
