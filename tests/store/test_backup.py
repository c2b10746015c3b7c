"""Backups: complete up to a seq, whatever happens meanwhile; only what is new is copied; what is wrong is named."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.store import backups
from tests.store.backups import Source, backup, killed, restore, said, up_to
from tests.store.trees import tree
from wfstore._backup import places
from wfstore.errors import DamageError, StorageError, StorageNotFoundError
from wfstore.log import (
    failpoints,
    lease_alive,
    now_us,
    open_writer,
    own_lease,
    read_lease,
    resolve_storage,
    verify,
    write_lease,
)
from wfstore.log.manifest import read_manifest
from wfstore.model.commands import Delete
from wfstore.model.events import MANAGER_STOPPED, Event
from wfstore.objects import bucket_of

KINDS = ("disk", "objects")


def rarely(*values: Any) -> Any:
    """A case for those who look for faults."""
    return pytest.param(*values, marks=pytest.mark.fault)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))


class Rooms:
    """Places that are empty yet."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def __call__(self, kind: str = "disk") -> str:
        self._count += 1
        return str(self._folder / f"place{self._count}") if kind == "disk" else backups.objects()


@pytest.fixture
def room(tmp_path: Path) -> Rooms:
    return Rooms(tmp_path)


def same(one: str, other: str) -> None:
    assert said(one).equals(said(other))


def names(storage: str) -> dict[str, int]:
    return places.place_of(resolve_storage(storage)).sizes("")


# -- from where to where ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "destination"),
    [("disk", "disk"), ("disk", "objects"), ("objects", "disk"), rarely("objects", "objects")],
)
def test_a_backup_and_what_is_new_since(source: str, destination: str, room: Rooms) -> None:
    store = Source(room(source)).grow(3).grow(1, open_=True)
    place = room(destination)
    first = backup(store.storage, place)
    assert first.verified and first.seq == said(store.storage).num_rows
    same(place, store.storage)
    again = backup(store.storage, place)
    assert (again.copied_files, again.copied_bytes, again.seq) == (0, 0, first.seq)

    store.grow(2)
    more = backup(store.storage, place)
    assert more.seq > first.seq
    assert more.copied_bytes < first.copied_bytes
    assert more.copied_files == 3 or source == destination == "objects", "two values, and a file of the log"
    same(place, store.storage)

    store.compact()
    done = backup(store.storage, place)
    same(place, store.storage)
    assert read_manifest(place).next_seq == done.seq + 1
    store.grow(1).reopen().grow(1)
    backup(store.storage, place)
    same(place, store.storage)
    assert verify(resolve_storage(place)).ok
    assert {name for name in names(place) if name.startswith("history")} == {
        name for name in names(store.storage) if name.startswith("history")
    }


@pytest.mark.parametrize(
    ("source", "destination"),
    [("disk", "disk"), ("objects", "objects"), rarely("disk", "objects"), rarely("objects", "disk")],
)
def test_a_restored_store_goes_on(source: str, destination: str, room: Rooms) -> None:
    store = Source(room()).grow(2).compact().grow(2).grow(1, open_=True)
    kept, place = room(source), room(destination)
    backup(store.storage, kept)
    done = restore(kept, place)
    same(place, store.storage)
    assert {"backup.json", "unfinished.json", "lease.json"}.isdisjoint(names(place))
    assert wfstore.open(place).workflows(status="RESUMABLE").height == 1

    writer = open_writer(place)
    assert (writer.next_seq, writer.restored) == (done.seq + 1, True)
    with_old = open_writer(store.storage)  # the original goes on by itself, and neither fences the other
    assert not with_old.restored
    for each in (writer, with_old):
        each.append(_event())
        assert not each.restored
        each.close()
    assert verify(resolve_storage(place)).ok
    with pytest.raises(StorageError, match="has another event"):
        backup(place, _after(store, kept))


def _event() -> list[Event]:
    return [Event(ts=now_us(), type=MANAGER_STOPPED)]


def _after(store: Source, kept: str) -> str:
    """The backup, with an event of the original that the restored store does not have."""
    backup(store.storage, kept)
    return kept


def grown(source: Source, rng: random.Random) -> None:
    """Something that can happen to a store between two backups."""
    step = rng.choice(["grow", "open", "reopen", "compact", "delete", "retain"])
    if step == "grow":
        source.grow(rng.randint(1, 3))
    elif step == "open":
        source.grow(1, open_=True)
    elif step == "reopen":
        source.reopen()
    elif step == "compact":
        source.compact()
    elif step == "delete":
        done = [name for name, in wfstore.open(source.storage).sql(
            "SELECT workflow_id FROM workflows WHERE status = 'SUCCESSFUL' ORDER BY 1").fetchall()]  # fmt: skip
        if done:
            source.do(Delete(rng.choice(done), f"r{rng.random()}"))


@pytest.mark.parametrize("seed", [*map(rarely, range(1, 40))])
def test_whatever_happens_between_backups(seed: int, room: Rooms) -> None:
    """Two backups, of either kind, follow one store; each of them can be restored to either kind."""
    rng = random.Random(seed)
    store = Source(room(rng.choice(KINDS)), segment_bytes=rng.choice([1, 2000, 16 << 20])).grow(2)
    kept = [room("disk"), room("objects")]
    for _ in range(5):
        for _ in range(rng.randint(0, 3)):
            grown(store, rng)
        place = rng.choice(kept)
        done = backup(store.storage, place)
        same(place, store.storage)
        assert done.lost == ()
        restored = room(rng.choice(KINDS))
        restore(place, restored)
        same(restored, store.storage)
        open_writer(restored).close()
        assert verify(resolve_storage(restored)).ok


def test_what_the_source_has_let_go_of_leaves_the_backup(room: Rooms) -> None:
    store = Source(room()).grow(2).compact()
    place = room()
    backup(store.storage, place)
    values = [Path(store.storage, name) for name in names(store.storage) if name.startswith("payloads")]
    for value in values:
        os.utime(value, (0, 0))
    store.do(Delete("w1", "r")).close()
    wfstore.open(store.storage).compact()
    left = [value for value in values if value.exists()]
    assert len(left) == len(values) - 1
    backup(store.storage, place)
    assert {name for name in names(place) if name.startswith("payloads")} == {
        str(value.relative_to(store.storage)) for value in left
    }


# -- beside a manager -------------------------------------------------------------------------------------------------


@pytest.mark.fault
def test_of_a_store_that_a_manager_writes_and_compacts(room: Rooms) -> None:
    storage, ready, stop = room(), backups.event(), backups.event()
    process = backups.start(backups.write_until, storage, ready, stop)
    try:
        assert ready.wait(60)
        kept = {kind: room(kind) for kind in KINDS}
        seqs = []
        for _ in range(2):
            for place in kept.values():
                done = backup(storage, place)
                seqs.append(done.seq)
                assert said(place).equals(up_to(storage, done.seq))
                assert set(wfstore.open(place).workflows()["status"]) == {"SUCCESSFUL", "RESUMABLE"}
            assert "RESUMABLE" not in set(wfstore.open(storage).workflows()["status"])
        lease = read_lease(storage)
        assert lease is not None and lease_alive(lease, now_us()), "the manager was not disturbed"
        assert seqs == sorted(set(seqs)), "it went on meanwhile"
    finally:
        stop.set()
        process.join()
    assert process.exitcode == 0
    for place in kept.values():
        backup(storage, place)
        same(place, storage)
        assert verify(resolve_storage(place)).ok


def test_the_source_is_only_read(room: Rooms) -> None:
    store = Source(room()).grow(2).compact().grow(1)
    before = tree(Path(store.storage))
    backup(store.storage, room())
    backup(store.storage, room("objects"))
    assert tree(Path(store.storage)) == before


def test_files_that_are_replaced_while_they_are_copied(room: Rooms) -> None:
    """The time of grace is over in the middle of it: the copy begins again with what there is then."""
    store = Source(room()).grow(2).compact().grow(2).compact()
    place = room()
    hits = 0

    def compact() -> None:
        nonlocal hits
        hits += 1
        if hits == 3:
            store.do(Delete("w1", "r"))
            store.compact()

    failpoints.arm(failpoints.BACKUP_FILE_COPIED, compact)
    try:
        done = backup(store.storage, place)
    finally:
        failpoints.disarm()
    assert hits >= 3
    same(place, store.storage)
    assert done.verified


# -- interrupted ------------------------------------------------------------------------------------------------------


def inodes(storage: str) -> dict[str, int]:
    folders = ("history", "payloads")
    found = tree(Path(storage))
    whole = {name: entry[1] for name, entry in found.items() if name.startswith(folders) and entry[3]}
    return {name: inode for name, inode in whole.items() if not name.endswith(".tmp")}


@pytest.mark.parametrize(
    ("point", "count"),
    [
        rarely(failpoints.BACKUP_FILE_COPIED, 1),
        (failpoints.BACKUP_FILE_COPIED, 6),
        rarely(failpoints.BACKUP_LOG_COPIED, 1),
        rarely(failpoints.BACKUP_BEFORE_NOTE, 1),
        rarely(failpoints.BACKUP_NOTED, 1),
    ],
)
def test_killed_in_the_middle(point: str, count: int, room: Rooms, tmp_path: Path) -> None:
    """The older backup can be restored; the next one goes on, and copies nothing again that is there and whole."""
    store = Source(room()).grow(3).compact().grow(1)
    place, before, after = room(), room(), room()
    backup(store.storage, place)
    shutil.copytree(store.storage, before)
    store.grow(4).compact().grow(1)
    assert killed("backup", store.storage, place, point, count)
    restore(place, after)
    same(after, store.storage if point == failpoints.BACKUP_NOTED else before)

    there = inodes(place)
    done = backup(store.storage, place)
    same(place, store.storage)
    still = inodes(place)
    assert {name: inode for name, inode in there.items() if name in still} == {
        name: inode for name, inode in still.items() if name in there
    }
    values = [name for name in still if name not in there]
    assert done.copied_files <= len(values) + 2, "and files of the log"
    assert verify(resolve_storage(place)).ok


@pytest.mark.parametrize("point", [*map(rarely, failpoints.BACKUP[:2]), failpoints.BACKUP_BEFORE_NOTE])
def test_a_first_backup_that_was_killed(point: str, room: Rooms) -> None:
    store = Source(room()).grow(3).compact().grow(1)
    place, other = room(), room()
    assert killed("backup", store.storage, place, point, 1)
    with pytest.raises(StorageError, match="never finished"):
        restore(place, other)
    backup(store.storage, place)
    same(place, store.storage)


@pytest.mark.parametrize("point", [failpoints.BACKUP_FILE_COPIED, *map(rarely, failpoints.BACKUP[1:3])])
def test_a_restore_that_was_killed(point: str, room: Rooms) -> None:
    """Nobody takes it for a whole store, unless it is one."""
    store = Source(room(), segment_bytes=1).grow(3).compact().grow(3)
    kept, place = room(), room()
    backup(store.storage, kept)
    assert killed("restore", kept, place, point, 2 if point == failpoints.BACKUP_FILE_COPIED else 1)
    if point == failpoints.BACKUP_FILE_COPIED:
        with pytest.raises(StorageNotFoundError):
            wfstore.open(place)
    with pytest.raises(StorageError, match="begun here"):
        backup(store.grow(1).storage, kept), restore(kept, place)
    shutil.rmtree(place)
    restore(kept, place)
    same(place, store.storage)


def test_a_killed_restore_goes_on(room: Rooms) -> None:
    store = Source(room()).grow(3).compact().grow(1)
    kept, place = room(), room()
    total = backup(store.storage, kept).files
    assert killed("restore", kept, place, failpoints.BACKUP_FILE_COPIED, 6)
    there = inodes(place)
    done = restore(kept, place)
    assert len(there) >= 5 and done.copied_files <= total - 5
    assert there.items() <= inodes(place).items()
    same(place, store.storage)


@pytest.mark.parametrize("segment_bytes", [1, rarely(16 << 20)])
def test_a_log_that_was_copied_half_way_is_no_log(segment_bytes: int, room: Rooms, monkeypatch: Any) -> None:
    """Whatever part of it is there: the first file comes last."""
    store = Source(room(), segment_bytes=segment_bytes).grow(1).reopen().grow(1).close()
    kept = room()
    backup(store.storage, kept)
    files = sum(name.startswith("log/") for name in names(kept))
    put = places.Disk.put
    for stop in range(files):
        place, left = room(), stop

        def fail(self: places.Disk, name: str, data: bytes) -> None:
            nonlocal left
            if name.startswith("log/"):
                left -= 1
                if left < 0:
                    raise StorageError(self.storage, "enough")
            put(self, name, data)

        monkeypatch.setattr(places.Disk, "put", fail)
        with pytest.raises(StorageError, match="enough"):
            restore(kept, place)
        monkeypatch.setattr(places.Disk, "put", put)
        if stop:
            with pytest.raises(DamageError):
                open_writer(place)
        restore(kept, place)
        same(place, store.storage)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_places_that_are_not_for_it(room: Rooms, tmp_path: Path) -> None:
    store = Source(room()).grow(1)
    full, file, other, inside = (tmp_path / name for name in ("full", "file", "other", "store"))
    full.mkdir()
    (full / "notes.txt").touch()
    file.touch()
    Source(str(other)).grow(1).close()
    refused = {
        str(full): "not empty .it has notes.txt.",
        str(file): "this is a file",
        str(other): "there is a store here",
        store.storage: "the store itself",
        f"{store.storage}/backup": "lies inside",
        str(tmp_path): "lies inside",
    }
    before = tree(tmp_path)
    for place, why in refused.items():
        with pytest.raises(StorageError, match=why):
            backup(store.storage, place)
    assert tree(tmp_path) == before
    (inside / "lost+found").mkdir(parents=True)
    assert backup(store.storage, inside).verified
    with pytest.raises(StorageError, match="filesystems"):
        backup(store.storage, "ftp://host/place")


def test_the_backup_of_another_store(room: Rooms) -> None:
    one, other = Source(room()).grow(1), Source(room()).grow(1)
    place = room()
    backup(one.storage, place)
    with pytest.raises(StorageError, match="backup of another store"):
        backup(other.storage, place)
    fresh = room()
    assert killed("backup", one.storage, fresh, failpoints.BACKUP_LOG_COPIED, 1)
    with pytest.raises(StorageError, match="backup of another store"):
        backup(other.storage, fresh)


def test_a_backup_that_was_used_as_a_store(room: Rooms) -> None:
    store, place = Source(room()).grow(1), room()
    backup(store.storage, place)
    write_lease(place, own_lease(now_us(), None, 2))
    with pytest.raises(StorageError, match="a manager runs on this backup"):
        backup(store.storage, place)
    Path(place, "lease.json").unlink()
    writer = open_writer(place)
    writer.append(_event())
    writer.close()
    with pytest.raises(StorageError, match="written to since"):
        backup(store.storage, place)


def test_a_backup_that_is_ahead_of_the_store(room: Rooms) -> None:
    store, old, new, back = Source(room()).grow(1), room(), room(), room()
    backup(store.storage, old)
    store.grow(1)
    backup(store.storage, new)
    restore(old, back)
    with pytest.raises(StorageError, match="goes up to event"):
        backup(back, new)
    assert backup(back, old).copied_files == 0


def test_two_at_once(room: Rooms) -> None:
    store, place, other = Source(room()).grow(1), room(), room()
    refused: list[str] = []

    def another() -> None:
        for call in (lambda: backup(store.storage, place), lambda: restore(place, other)):
            with pytest.raises(StorageError, match="under way") as error:
                call()
            refused.append(str(error.value))

    failpoints.arm(failpoints.BACKUP_LOG_COPIED, another)
    try:
        backup(store.storage, place)
    finally:
        failpoints.disarm()
    assert len(refused) == 2 and str(os.getpid()) in refused[0]
    backup(store.storage, place)


def test_no_store_and_no_backup(room: Rooms, tmp_path: Path) -> None:
    with pytest.raises(StorageNotFoundError):
        restore(room(), room())
    with pytest.raises(StorageNotFoundError):
        restore(room("objects"), room())
    place = room()
    store = Source(room()).grow(1)
    backup(store.storage, place)
    with pytest.raises(StorageError, match="there is a store here"):
        restore(place, store.storage)


def test_a_copy_that_was_made_by_other_means_can_be_restored(room: Rooms) -> None:
    store, copy, place = Source(room()).grow(2).compact().grow(1), room(), room("objects")
    shutil.copytree(store.storage, copy)
    restore(copy, place)
    same(place, store.storage)


# -- damage -----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def files(storage: str) -> Iterator[Path]:
    """One of each kind that a store keeps for good."""
    root = Path(storage)
    yield sorted(root.glob("log/*.wfl"))[0]
    yield sorted(root.glob("payloads/*/*"))[0]
    yield next(root.glob("history/tasks-*"))
    yield next(root.glob("history/manifest-*"))


@pytest.mark.parametrize("which", range(4))
def test_damage_at_the_source_is_named_and_the_older_backup_stays(which: int, room: Rooms) -> None:
    store, kept, place = Source(room()).grow(2).compact().grow(2).close(), room(), room()
    backup(store.storage, kept)
    path = list(files(store.storage))[which]
    flip(path)
    with pytest.raises(DamageError) as error:  # some of it whoever opens the store meets already
        backup(store.storage, place)
    assert path.name in str(error.value) and error.value.storage == store.storage
    assert restore(kept, room()).verified
    if "payloads" in path.parts:
        # What the older backup has whole is not read at the source.
        assert backup(store.storage, kept).copied_files == 0
        assert verify(resolve_storage(kept)).ok


@pytest.mark.parametrize("which", range(4))
def test_damage_in_the_backup_is_named(which: int, room: Rooms) -> None:
    store, kept = Source(room()).grow(2).compact().grow(2), room()
    backup(store.storage, kept)
    path = list(files(kept))[which]
    flip(path)
    with pytest.raises(DamageError) as error:
        restore(kept, room())
    assert path.name in str(error.value) and kept in str(error.value)
    if path.suffix == ".json":
        assert backup(store.storage, kept).verified, "it is small, and compared"
        return
    with pytest.raises(DamageError) as error:
        backup(store.storage, kept)
    assert path.name in str(error.value) and "Remove this file" in str(error.value)
    path.unlink()
    assert backup(store.storage, kept).copied_files == 1
    same(kept, store.storage)


def test_a_description_that_was_changed(room: Rooms) -> None:
    store, kept = Source(room()).grow(1), room()
    backup(store.storage, kept)
    path = Path(kept, "backup.json")
    path.write_text(path.read_text().replace('"seq": ', '"seq": 1'))
    for call in (lambda: restore(kept, room()), lambda: backup(store.storage, kept)):
        with pytest.raises(DamageError, match=r"backup\.json"):
            call()


def test_values_that_are_lost(room: Rooms) -> None:
    store = Source(room()).grow(3).compact()
    large = sorted(Path(store.storage).glob("payloads/*/*"), key=lambda path: path.stat().st_size)[-2:]
    large[0].unlink()
    flip(large[1])
    place, other = room(), room("objects")
    with pytest.raises(DamageError, match=large[1].name):
        backup(store.storage, place)
    large[1].unlink()
    with pytest.raises(DamageError, match="missing: `wfstore verify`"):
        backup(store.storage, place)
    done = backup(store.storage, place, lost_values=True)
    assert set(done.lost) == {str(path.relative_to(store.storage)) for path in large}
    same(place, store.storage)
    assert restore(place, other).lost == done.lost
    assert len(verify(resolve_storage(other)).problems) == 2


# -- small ------------------------------------------------------------------------------------------------------------


def test_an_empty_store(room: Rooms) -> None:
    for kind in KINDS:
        storage = room(kind)
        open_writer(storage).close()
        for other in KINDS:
            place, back = room(other), room(kind)
            assert backup(storage, place).seq == 0
            restore(place, back)
            writer = open_writer(back)
            assert writer.append(_event()) == (1, 1)
            writer.close()
            assert verify(resolve_storage(back)).ok


def test_values_of_object_storage_are_fetched_anew(room: Rooms) -> None:
    """And not taken from this machine's copies, which may be right where the object is not."""
    store = Source(room("objects")).grow(2).compact()
    same(store.storage, store.storage)
    bucket = bucket_of(store.storage)
    name = next(name for name in names(store.storage) if name.startswith("history/tasks-"))
    data = bytearray(bucket.get(name) or b"")
    data[len(data) // 2] ^= 1
    bucket.put(name, bytes(data))
    with pytest.raises(DamageError, match="history/tasks-"):
        backup(store.storage, room())


def test_progress_and_files_of_its_owner_alone(room: Rooms) -> None:
    store, place = Source(room()).grow(2).compact(), room()
    told: list[tuple[str, int, int]] = []
    began = time.time()
    done = backup(store.storage, place, progress=lambda *said: told.append(said))
    copying = [(done_, total) for what, done_, total in told if what == "copying"]
    assert copying == sorted(copying) and copying[-1] == (done.bytes, done.bytes)
    assert {entry[0] & 0o777 for entry in tree(Path(place)).values()} == {0o600, 0o700}
    assert abs(done.taken_at.timestamp() - began) < 60
    assert done.as_dict()["seq"] == done.seq
