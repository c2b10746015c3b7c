"""Two managers at once: what was acknowledged is read, what was not acknowledged is not read twice or in between."""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.log.events import plain, plains
from wfstore.errors import FencedError
from wfstore.log import Cursor, LogReader, failpoints, open_writer, verify
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


def test_readers_wait_while_a_claim_is_under_way(tmp_path: Path) -> None:
    """Between the claim and its seal a zombie's frame may or may not come to count."""
    store = tmp_path / "store"
    zombie = open_writer(str(store))
    zombie.append([plain(0)])
    seen: dict[str, object] = {}

    def between() -> None:
        failpoints.disarm()
        with pytest.raises(FencedError):
            zombie.append([plain(1)])
        seen["during"] = seqs(store)

    failpoints.arm(failpoints.CLAIM_SCANNED, between)
    writer = open_writer(str(store))
    assert seen["during"] == []
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
    assert seqs(store) == []
    past = time.time() - CLAIM_GRACE_S - 1
    os.utime(claim, (past, past))
    assert seqs(store) == [(1, 1, "t0")]
    writer = open_writer(str(store))
    assert (writer.epoch, writer.append([plain(1)])) == (3, (2, 2))
    assert seqs(store) == [(1, 1, "t0"), (2, 3, "t1")]


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
