"""Two managers at once on object storage: acknowledged once means read once, in order."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress

import pytest

from tests.log.events import plain, plains
from wfstore.errors import FencedError
from wfstore.log import Cursor, failpoints, open_reader, open_writer, verify
from wfstore.log.objects import claim as claim_module
from wfstore.log.objects import writer as writer_module
from wfstore.objects import Bucket, bucket_of


def test_a_claim_is_the_fence(memory: str) -> None:
    old = open_writer(memory)
    old.append([plain(0)])
    reader = open_reader(memory)
    _, cursor = reader.read()
    new = open_writer(memory)
    with pytest.raises(FencedError, match="epoch 1"):
        old.append([plain(1)])
    old.close()
    assert (new.epoch, new.append([plain(2)])) == (2, (2, 2))
    assert reader.read(cursor)[0]["task_id"].to_pylist() == ["t2"]
    assert [(event.seq, event.epoch) for event in reader.events()] == [(1, 1), (2, 2)]
    new.close()
    assert verify(memory).ok


def takeovers(storage: str, commits: int, fences: int) -> tuple[int, int]:
    """Rivals take the log from each other while a reader follows."""
    acknowledged: dict[int, str] = {}
    open_writer(storage).close()
    done = threading.Event()
    fenced: list[int] = []
    followed: list[tuple[int, str]] = []

    def rival(name: int) -> None:
        number, chance = 0, random.Random(name)
        while not done.is_set():
            time.sleep(chance.random() * 0.03)
            try:
                writer = open_writer(storage)
                while not done.is_set():
                    number += 1
                    seq, _ = writer.append([plain(name * 100_000 + number)])
                    acknowledged[seq] = f"t{name * 100_000 + number}"
                    time.sleep(0.001)
            except FencedError:
                fenced.append(name)

    def follow() -> None:
        reader, cursor = open_reader(storage), Cursor()
        while not done.is_set():
            table, cursor = reader.read(cursor)
            followed.extend(zip(table["seq"].to_pylist(), table["task_id"].to_pylist(), strict=True))
            time.sleep(0.01)

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(rival, 1), pool.submit(rival, 2), pool.submit(follow)]
        deadline = time.monotonic() + 60
        while (len(acknowledged) < commits or len(fenced) < fences) and time.monotonic() < deadline:
            if wait(running, timeout=0.02, return_when=FIRST_EXCEPTION).done:
                break
        done.set()
    for future in running:
        future.result()
    final = {event.seq or 0: event.task_id for event in open_reader(storage).events()}
    assert list(final) == list(range(1, len(final) + 1))
    assert acknowledged.items() <= final.items()
    assert followed == list(final.items())[: len(followed)]
    open_writer(storage).close()
    assert verify(storage).ok
    return len(acknowledged), len(fenced)


def test_takeovers_lose_and_double_nothing(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SUMMONS_EVERY_S", 0.02)
    commits, fences = takeovers(memory, 300, 40)
    assert commits >= 300 and fences >= 40


def test_takeovers_over_http(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SUMMONS_EVERY_S", 0.1)
    commits, fences = takeovers(s3, 60, 6)
    assert commits >= 60 and fences >= 6


def test_a_writer_that_never_pauses_is_asked_to_stop(s3: str) -> None:
    """A claimant sees an object only after its writer did: without the summons it would always come too late."""
    old = open_writer(s3)
    done: list[BaseException] = []

    def commit() -> None:
        try:
            while True:
                old.append([plain(0)])
        except FencedError as error:
            done.append(error)

    thread = threading.Thread(target=commit)
    thread.start()
    time.sleep(0.1)
    began = time.monotonic()
    new = open_writer(s3)
    took = time.monotonic() - began
    thread.join(10)
    assert done and took < 10
    assert new.append([plain(1)])[0] == new.next_seq - 1
    left = [entry.name for entry in bucket_of(s3).entries("summons")]
    assert left == []
    assert verify(s3).ok


def test_each_writer_that_overtakes_a_claimant_is_asked_to_stop(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival claims while somebody waits for the first writer to stop, and never pauses either."""
    monkeypatch.setattr(claim_module, "_CLAIM_FOR_S", 5.0)
    monkeypatch.setattr(writer_module, "SUMMONS_EVERY_S", 0.02)
    rivals = [open_writer(memory)]
    original, asked, inside = Bucket.create, [0], [False]

    def create(bucket: Bucket, name: str, data: bytes) -> bool:
        """Somebody else is quicker whenever the claimant is about to put its claim."""
        if threading.current_thread() is not claimant or inside[0]:
            return original(bucket, name, data)
        inside[0], asked[0] = True, asked[0] + 1
        try:
            if asked[0] == 4:
                rivals.append(open_writer(memory))
            time.sleep(0.03)
            with suppress(FencedError):
                rivals[-1].append([plain(asked[0])])
        finally:
            inside[0] = False
        return original(bucket, name, data)

    claimant = threading.current_thread()
    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "create", create)
        new = open_writer(memory)
    assert [new.epoch, new.append([plain(1000)])[0]] == [3, new.next_seq - 1]
    assert [entry.name for entry in bucket_of(memory).entries("summons")] == []


def test_a_claimant_does_not_read_all_that_came_meanwhile(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer may be faster than who reads its objects one by one, and a takeover would never come to an end."""
    old = open_writer(memory)
    gets: list[str] = []
    original = Bucket.get

    def get(bucket: Bucket, name: str) -> bytes | None:
        gets.append(name)
        return original(bucket, name)

    def commit() -> None:
        failpoints.disarm()
        for number in range(300):
            old.append([plain(number)])
        monkeypatch.setattr(Bucket, "get", get)

    failpoints.arm(failpoints.CLAIM_SCANNED, commit)
    new = open_writer(memory)
    assert (new.epoch, new.append([plain(300)])) == (2, (301, 301))
    assert len(gets) < 10
    with pytest.raises(FencedError):
        old.append([plain(301)])
    new.close()
    assert verify(memory).ok


def test_a_late_writer_finds_its_place_taken_after_a_trim(memory: str) -> None:
    """The fence outlives compaction: claims are never removed."""
    from wfstore.log.objects.trim import trim

    old = open_writer(memory)
    old.append(plains(0, 3))
    new = open_writer(memory)
    for number in range(3, 9):
        new.append([plain(number)])
    trimmed = trim(memory, 9)
    assert trimmed.files == 6
    with pytest.raises(FencedError):
        old.append([plain(99)])
    assert [event.seq for event in open_reader(memory).events(Cursor.after(8))] == [9]
    third = open_writer(memory)
    assert (third.epoch, third.append([plain(9)])) == (3, (10, 10))
