"""Payload files that nothing refers to: what goes, what stays, and that no writer or reader notices."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from wfstore.payloads import PayloadStore, collect, hash_of

DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(str(tmp_path))


def aged(store: PayloadStore, data: bytes, seconds: float) -> str:
    """Kept, and last used so long ago."""
    name = store.put_file(data).hash
    moment = time.time() - seconds
    os.utime(store.path(name), (moment, moment))
    return name


def test_what_goes(store: PayloadStore) -> None:
    needed = aged(store, b"needed", 9 * DAY_S)
    gone = aged(store, b"gone", DAY_S + 60)
    young = aged(store, b"young", DAY_S - 60)
    assert store.unreferenced({needed}) == [store.path(gone)]
    assert store.remove_unreferenced(lambda: {needed}) == (1, 4)
    assert store.exists(needed) and store.exists(young) and not store.exists(gone)
    assert store.remove_unreferenced(lambda: {needed}) == (0, 0)
    assert store.put_file(b"gone").hash == gone and store.get(gone) == b"gone"


def test_nobody_is_asked_where_nothing_is_old(store: PayloadStore) -> None:
    store.put_file(b"young")

    def kept() -> set[str]:
        raise AssertionError("asked")

    assert store.remove_unreferenced(kept) == (0, 0)
    assert PayloadStore(store.storage + "/nothing").remove_unreferenced(kept) == (0, 0)


def test_one_that_is_put_again_while_others_are_chosen_stays(store: PayloadStore) -> None:
    name = aged(store, b"again", 2 * DAY_S)

    def kept() -> set[str]:
        store.put_file(b"again")
        return set()

    assert store.remove_unreferenced(kept) == (0, 0)
    assert store.get(name) == b"again"


def test_one_that_is_put_again_at_the_last_moment_comes_back(
    store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Touched between the last look and the rename; read while it has another name."""
    name = aged(store, b"again", 2 * DAY_S)
    rename, seen = os.rename, []

    def slow(source: str, target: str) -> None:
        if target.endswith(".gone"):
            store.put_file(b"again")
        rename(source, target)
        if target.endswith(".gone"):
            seen.append((store.get(name), store.exists(name)))

    monkeypatch.setattr(os, "rename", slow)
    assert store.remove_unreferenced(set) == (0, 0)
    assert seen == [(b"again", True)]
    assert store.get(name) == b"again"
    assert [path.name for path in Path(store.path(name)).parent.iterdir()] == [name]


def test_what_the_killed_left_behind(store: PayloadStore) -> None:
    """Half a file goes; one that was on its way comes back, and goes the next time."""
    name = aged(store, b"killed", 2 * DAY_S)
    path = Path(store.path(name))
    path.rename(f"{path}.0123abcd.gone")
    half, fresh = path.with_name(f"{name}.7-ab.tmp"), path.with_name(f"{name}.8-ab.tmp")
    for file in (half, fresh):
        file.write_bytes(b"ki")
    os.utime(half, (0, 0))
    assert store.get(name) == b"killed"
    assert store.remove_unreferenced(set) == (0, 0), "it may be on its way yet"
    assert not half.exists() and fresh.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "LATELY_S", -60.0)
        assert store.remove_unreferenced(set)[0] == 1
    assert not store.exists(name)


def test_no_writer_loses_what_it_put(store: PayloadStore) -> None:
    """After `put` has returned, and within the grace, `get` works: whatever several removers do meanwhile."""
    values = [bytes([number]) * 50 for number in range(3)]
    grace_s, until = 0.25, time.monotonic() + 1.5
    lost: list[object] = []
    removed = [0, 0]

    def going() -> bool:
        now = time.monotonic()
        return now < until or (not any(removed) and now < until + 20)

    def remove(number: int) -> None:
        while going():
            removed[number] += collect.remove_unreferenced(f"{store.storage}/payloads", set, grace_s)[0]

    def write(number: int) -> None:
        while going():
            data = values[number % 3]
            began = time.monotonic()
            name = store.put_file(data).hash
            try:
                found = store.get(name)
            except Exception as error:
                found = repr(error).encode()
            if found != data and time.monotonic() - began < grace_s / 2:
                lost.append(found)
            time.sleep(grace_s * (0.9 + number / 20))

    threads = [threading.Thread(target=remove, args=(n,)) for n in range(2)]
    threads += [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert sum(removed) > 0, "there was something to lose"
    for data in values:
        assert store.put_file(data).hash == hash_of(data) and store.get(hash_of(data)) == data
