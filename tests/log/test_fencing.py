"""Two managers at once: what was acknowledged is read, what was not acknowledged is not read twice or in between."""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

import wfstore
from tests.log.events import plain, plains
from wfstore.errors import FencedError, StorageError
from wfstore.index.compaction import compact
from wfstore.log import Cursor, LogReader, claim, failpoints, open_writer, verify
from wfstore.log import reader as reader_module
from wfstore.log.survey import CLAIM_GRACE_S


@pytest.fixture(autouse=True)
def _disarmed() -> object:
    yield
    failpoints.disarm()


def seqs(store: Path) -> list[tuple[int | None, int | None, str | None]]:
    return [(event.seq, event.epoch, event.task_id) for event in LogReader(str(store)).events()]


def test_a_zombies_frames_behind_the_seal_never_show(tmp_path: Path) -> None:
    store = tmp_path / "store"
    zombie = open_writer(str(store))
    zombie.append([plain(0)])
    reader = LogReader(str(store))
    _, cursor = reader.read()
    writer = open_writer(str(store))
    with pytest.raises(FencedError):
        zombie.append([plain(1)])
    writer.append([plain(2)])
    zombie.close()
    assert seqs(store) == [(1, 1, "t0"), (2, 2, "t2")]
    assert reader.read(cursor)[0]["task_id"].to_pylist() == ["t2"]
    writer.close()
    assert verify(str(store)).ok
    assert '"epoch": 2' in (store / "store.json").read_text()


def test_a_segment_that_a_zombie_starts_does_not_exist(tmp_path: Path) -> None:
    store = tmp_path / "store"
    zombie = open_writer(str(store), segment_bytes=1)
    zombie.append([plain(0)])
    zombie.append([plain(1)])
    writer = open_writer(str(store))
    with pytest.raises(FencedError):
        zombie.append([plain(2)])
    assert (store / "log" / "seg-00000001-000004.wfl").exists()
    writer.append([plain(3)])
    assert seqs(store) == [(1, 1, "t0"), (2, 1, "t1"), (3, 2, "t3")]
    third = open_writer(str(store))
    third.append([plain(4)])
    assert seqs(store)[-1] == (4, 3, "t4")
    third.close()
    assert verify(str(store)).ok


def test_a_frame_written_before_the_claim_is_read_counts_though_nobody_acknowledged_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    zombie = open_writer(str(store))
    failpoints.arm(failpoints.APPEND_SYNCED, lambda: (failpoints.disarm(), open_writer(str(store)).append([plain(9)])))  # type: ignore[arg-type,return-value]
    with pytest.raises(FencedError):
        zombie.append([plain(0)])
    assert seqs(store) == [(1, 1, "t0"), (2, 2, "t9")]


def test_readers_wait_while_a_claim_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the claim and its seal a zombie's frame may or may not come to count. Half of a log is no answer."""
    monkeypatch.setattr(reader_module, "_CLAIM_PATIENCE_S", 0.2)
    store = tmp_path / "store"
    zombie = open_writer(str(store))
    zombie.append([plain(0)])
    between_was_called = False

    def between() -> None:
        nonlocal between_was_called
        failpoints.disarm()
        with pytest.raises(FencedError):
            zombie.append([plain(1)])
        with pytest.raises(StorageError, match="has claimed the log and does not begin"):
            seqs(store)
        between_was_called = True

    failpoints.arm(failpoints.CLAIM_SCANNED, between)
    writer = open_writer(str(store))
    assert between_was_called
    writer.append([plain(2)])
    assert seqs(store) == [(1, 1, "t0"), (2, 2, "t2")]


def test_a_read_that_begins_during_a_claim_has_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(0)])
    with ThreadPoolExecutor() as pool:
        reads = []

        def between() -> None:
            reads.append(pool.submit(seqs, store))
            time.sleep(0.05)
            assert not reads[0].done()

        failpoints.arm(failpoints.CLAIM_SCANNED, between)
        open_writer(str(store))
        assert reads[0].result(timeout=5) == [(1, 1, "t0")]


def test_a_claim_whose_manager_died_does_not_hide_the_log(tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(0)])
    claim = store / "log" / "seg-00000002-000001.wfl"
    claim.touch()
    past = time.time() - CLAIM_GRACE_S + 0.2
    os.utime(claim, (past, past))
    assert seqs(store) == [(1, 1, "t0")]
    assert time.time() - past > CLAIM_GRACE_S, "until then it may yet be finished, and is waited for"
    writer = open_writer(str(store))
    assert (writer.epoch, writer.append([plain(1)])) == (3, (2, 2))
    assert seqs(store) == [(1, 1, "t0"), (2, 3, "t1")]


def test_a_claim_that_stood_still_is_made_anew(tmp_path: Path) -> None:
    """Readers have gone on without it, and may have seen what its seal would take back."""
    store = tmp_path / "store"
    zombie = open_writer(str(store))
    zombie.append([plain(0)])
    reader = LogReader(str(store))
    cursor = Cursor()

    def stand_still() -> None:
        nonlocal cursor
        failpoints.disarm()
        with pytest.raises(FencedError):
            zombie.append([plain(1)])
        claim = store / "log" / "seg-00000002-000001.wfl"
        past = time.time() - CLAIM_GRACE_S - 1
        os.utime(claim, (past, past))
        table, cursor = reader.read()
        assert table["task_id"].to_pylist() == ["t0", "t1"]

    failpoints.arm(failpoints.CLAIM_SCANNED, stand_still)
    writer = open_writer(str(store))
    assert (writer.epoch, writer.append([plain(2)])) == (3, (3, 3))
    assert reader.read(cursor)[0]["task_id"].to_pylist() == ["t2"]
    assert seqs(store) == [(1, 1, "t0"), (2, 1, "t1"), (3, 3, "t2")]
    writer.close()
    assert verify(str(store)).ok


def test_a_claim_that_always_stands_still_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(0)])
    monkeypatch.setattr(claim, "CLAIM_LIMIT_S", -1.0)
    with pytest.raises(StorageError, match="took longer"):
        open_writer(str(store))
    monkeypatch.undo()
    assert open_writer(str(store)).append([plain(1)]) == (2, 2)


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_a_claim_has_the_age_that_the_clock_of_its_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """That is a server's, and this machine's may be far from it."""
    store, own = tmp_path / "store", time.time

    def stand_still() -> None:
        failpoints.disarm()
        past = own() - CLAIM_GRACE_S - 1
        os.utime(store / "log" / "seg-00000002-000001.wfl", (past, past))

    monkeypatch.setattr(time, "time", lambda: own() + ahead_s)
    open_writer(str(store)).append([plain(0)])
    assert claim.newest_age_s(str(store)) < CLAIM_GRACE_S
    failpoints.arm(failpoints.CLAIM_SCANNED, stand_still)
    assert open_writer(str(store)).epoch == 3
    assert [path.suffix for path in (store / "log").iterdir()] == [".wfl"] * 3


@pytest.mark.parametrize("rotating", [False, True])
def test_a_zombie_is_fenced_when_compaction_has_taken_the_claim_away(tmp_path: Path, rotating: bool) -> None:
    """It slept so long that the claim which fenced it, and its own segment, are no longer in the log."""
    store = str(tmp_path)
    zombie = open_writer(store, segment_bytes=1 if rotating else 1000)
    zombie.append([plain(0)])
    for number in (1, 2):
        writer = open_writer(store)
        writer.append([plain(number)])
    assert compact(store, grace_s=0, workers=1).removed.log_files >= 2
    before = (tmp_path / "store.json").read_text()
    with pytest.raises(FencedError, match="epoch 1"):
        zombie.append([plain(99)])
    zombie.close()
    sleeper = open_writer(store)
    for number in (3, 4):
        writer = open_writer(store)
        writer.append([plain(number)])
    assert (tmp_path / "store.json").read_text() != before
    before = (tmp_path / "store.json").read_text()
    compact(store, grace_s=0, workers=1)
    sleeper.close()
    assert (tmp_path / "store.json").read_text() == before, "it leaves store.json to its successors"
    rows = wfstore.open(store, live=False).sql("select task_id from events order by seq").fetchall()
    assert rows == [(f"t{number}",) for number in range(5)]
    writer.close()
    # History files say that nobody ever submitted these workflows.
    assert [str(problem) for problem in verify(store).problems if "/history/" not in problem.path] == []


def test_a_claimant_that_slept_through_a_compaction_is_fenced(tmp_path: Path) -> None:
    """Its claim, and the one that came after it, have left the log when it goes on."""
    store = str(tmp_path)
    open_writer(store).append([plain(0)])

    def sleep() -> None:
        failpoints.disarm()
        for number in (1, 2, 3):
            open_writer(store).append([plain(number)])
        compact(store, grace_s=0, workers=1)

    failpoints.arm(failpoints.CLAIM_SYNCED, sleep)
    with pytest.raises(FencedError, match="epoch 2"):
        open_writer(store)
    assert '"epoch": 5' in (tmp_path / "store.json").read_text()


def test_a_reader_that_slept_through_a_compaction_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(tmp_path)
    zombie = open_writer(store)
    zombie.append([plain(0)])
    reader = LogReader(store)
    original, slept = reader._claimed_since, []

    def sleeps_first(survey: object) -> bool:
        if not slept:
            slept.append(True)
            for number in (1, 2):
                open_writer(store).append([plain(number)])
            compact(store, grace_s=0, workers=1)
        return original(survey)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_claimed_since", sleeps_first)
    with pytest.raises(StorageError, match="in history files by now"):
        reader.read()


def test_a_reader_forgets_what_it_read_when_a_claim_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(0)])
    reader = LogReader(str(store))
    original, claimed = reader._claimed_since, []

    def claims_first(survey: object) -> bool:
        if not claimed:
            claimed.append(open_writer(str(store)))
            claimed[0].append([plain(1)])
        return original(survey)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_claimed_since", claims_first)
    table, cursor = reader.read()
    assert table["seq"].to_pylist() == [1, 2]
    assert cursor.epoch == 2


def test_takeovers_lose_and_double_nothing(tmp_path: Path) -> None:
    """Rivals take the log from each other while a reader follows: acknowledged once means read once, in order."""
    store = tmp_path / "store"
    acknowledged: dict[int, str] = {}
    open_writer(str(store)).close()
    done = threading.Event()
    fenced: list[int] = []
    followed: list[tuple[int | None, str | None]] = []

    def rival(name: int) -> None:
        number, chance = 0, random.Random(name)
        while not done.is_set():
            # Without a pause the rivals only ever claim, and hardly anything is acknowledged that could be lost.
            time.sleep(chance.random() * 0.02)
            try:
                writer = open_writer(str(store), segment_bytes=600)
                while not done.is_set():
                    number += 1
                    seq, _ = writer.append([plain(name * 100_000 + number)])
                    acknowledged[seq] = f"t{name * 100_000 + number}"
            except FencedError:
                fenced.append(name)

    def follow() -> None:
        reader, cursor = LogReader(str(store)), Cursor()
        while not done.is_set():
            table, cursor = reader.read(cursor)
            followed.extend(zip(table["seq"].to_pylist(), table["task_id"].to_pylist(), strict=True))

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(rival, 1), pool.submit(rival, 2), pool.submit(follow)]
        deadline = time.monotonic() + 60
        # So much work, not so much time: on a busy machine a second may hold almost nothing.
        while (len(acknowledged) < 300 or len(fenced) < 40) and time.monotonic() < deadline:
            if wait(running, timeout=0.02, return_when=FIRST_EXCEPTION).done:
                break
        done.set()
    for future in running:
        future.result()
    final = {event.seq: event.task_id for event in LogReader(str(store)).events()}
    assert list(final) == list(range(1, len(final) + 1))
    assert len(acknowledged) >= 300
    assert len(fenced) >= 40
    assert acknowledged.items() <= final.items()
    assert followed == list(final.items())[: len(followed)]  # type: ignore[comparison-overlap]
    open_writer(str(store)).close()
    assert verify(str(store)).ok


def test_a_reader_follows_a_live_writer(tmp_path: Path) -> None:
    store = tmp_path / "store"
    writer = open_writer(str(store), segment_bytes=5000)
    thread = threading.Thread(target=lambda: [writer.append(plains(i * 3, 3)) for i in range(150)])
    thread.start()
    reader, cursor, seen = LogReader(str(store)), Cursor(), []
    while True:
        alive = thread.is_alive()
        table, cursor = reader.read(cursor)
        seen += table["task_id"].to_pylist()
        if not alive:
            break
    assert seen == [f"t{i}" for i in range(450)]
