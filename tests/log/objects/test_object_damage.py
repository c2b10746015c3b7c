"""Objects that are missing, changed or from elsewhere: an error that names the object, and never a wrong row."""

from __future__ import annotations

import json
import random

import pytest

from tests.log.events import plain, plains
from wfstore.errors import DamageError, StorageError, StorageNotFoundError, StorageVersionError
from wfstore.log import Cursor, open_reader, open_writer, verify
from wfstore.log.objects.link import parse_name
from wfstore.log.objects.reader import ObjectLogReader
from wfstore.log.objects.trim import trim
from wfstore.objects import Bucket, Entry, bucket_of


@pytest.fixture
def bucket(memory: str) -> Bucket:
    """A log of two epochs: claims are objects 1 and 5, each other object holds three events."""
    for epoch in range(2):
        writer = open_writer(memory)
        for number in range(3):
            writer.append(plains(epoch * 9 + number * 3, 3))
        writer.close()
    assert verify(memory).ok
    return bucket_of(memory)


def names(bucket: Bucket) -> list[str]:
    return [entry.name for entry in bucket.entries("log")]


def test_the_names(bucket: Bucket) -> None:
    places = [parse_name(name) for name in names(bucket)]
    firsts = [1, 1, 4, 7, 10, 10, 13, 16]
    assert places == list(zip(firsts, range(1, 9), strict=True))


def test_no_store(memory: str) -> None:
    for use in (open_reader, verify):
        with pytest.raises(StorageNotFoundError, match="WFSTORE_STORAGE"):
            use(memory)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_missing_object(bucket: Bucket, number: int) -> None:
    """But the newest, whose loss only store.json can show."""
    name = names(bucket)[number - 1]
    bucket.remove([name])
    reader = open_reader(bucket.storage)
    # Reading may begin behind the very first claim, which holds no events.
    if number > 1:
        with pytest.raises(DamageError, match=name):
            list(reader.events())
    found = verify(bucket.storage)
    assert [(problem.path, problem.offset) for problem in found.problems] == [(name, 0)]


@pytest.mark.parametrize("number", range(2, 8))
def test_a_claim_whose_listing_leaves_one_out(bucket: Bucket, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a listing that is made while others write may: what is there is no damage, what is not there is."""
    bucket.remove(["store.json"])  # without it the whole log is listed
    left_out = names(bucket)[number - 1]
    data = bucket.get(left_out) or b""
    listed = Bucket.entries

    def entries(self: Bucket, *args: str) -> list[Entry]:
        return [entry for entry in listed(self, *args) if entry.name != left_out]

    monkeypatch.setattr(Bucket, "entries", entries)
    bucket.remove([left_out])
    with pytest.raises(DamageError, match=f"object {number} before it is missing"):
        open_writer(bucket.storage)
    bucket.create(left_out, data)
    writer = open_writer(bucket.storage)
    assert (writer.epoch, writer.next_seq) == (3, 19)


def test_the_newest_object_is_missing(bucket: Bucket) -> None:
    name = names(bucket)[-1]
    bucket.remove([name])
    assert [problem.path for problem in verify(bucket.storage).problems] == [name]
    with pytest.raises(DamageError, match=r"store\.json counts on it"):
        open_writer(bucket.storage)
    reader = open_reader(bucket.storage)
    for cursor in (None, Cursor.after(12), Cursor.after(15)):
        with pytest.raises(DamageError, match=f"{name}.*ends before seq 16.*before seq 19"):
            reader.read(cursor)
    with pytest.raises(DamageError, match=name):
        list(reader.events())
    with pytest.raises(DamageError, match=name):
        reader.read_range(14, 16)
    assert reader.read_range(13, 14).num_rows == 2, "what is there can be read"


def test_what_follows_a_cursor_at_the_end_is_missing(bucket: Bucket) -> None:
    _, cursor = open_reader(bucket.storage).read(max_bytes=1)
    bucket.remove(names(bucket)[2:])
    with pytest.raises(DamageError, match="ends before seq"):
        open_reader(bucket.storage).read(cursor)


def test_every_changed_byte_is_found(bucket: Bucket) -> None:
    chance = random.Random(1)
    name = names(bucket)[5]
    good = bucket.get(name)
    assert good is not None
    for offset in sorted(chance.sample(range(len(good)), 60)):
        bad = bytearray(good)
        bad[offset] ^= 1 << chance.randrange(8)
        bucket.put(name, bytes(bad))
        with pytest.raises(DamageError, match=name):
            list(open_reader(bucket.storage).events())
        assert not verify(bucket.storage).ok
    for length in (0, 20, 200, len(good) - 1):
        bucket.put(name, good[:length])
        with pytest.raises(DamageError, match=name):
            list(open_reader(bucket.storage).events())
    bucket.put(name, good + b"x")
    with pytest.raises(DamageError, match="behind the last frame"):
        list(open_reader(bucket.storage).events())


def test_an_object_from_elsewhere_breaks_the_chain(bucket: Bucket) -> None:
    objects = names(bucket)
    bucket.put(objects[6], bucket.get(objects[7]) or b"")
    with pytest.raises(DamageError, match=objects[6]):
        list(open_reader(bucket.storage).events())


def test_store_json_is_lost(bucket: Bucket) -> None:
    store_id = json.loads(bucket.get("store.json") or b"")["store_id"]
    bucket.remove(["store.json"])
    assert [problem.path for problem in verify(bucket.storage).problems] == ["store.json"]
    assert len(list(open_reader(bucket.storage).events())) == 18
    writer = open_writer(bucket.storage)
    assert (writer.store_id, writer.epoch, writer.next_seq) == (store_id, 3, 19)
    assert verify(bucket.storage).ok


def test_a_newer_format_is_refused(bucket: Bucket) -> None:
    witness = json.loads(bucket.get("store.json") or b"")
    del witness["crc"]
    bucket.put("store.json", json.dumps(witness | {"format": 9}).encode())
    for use in (open_reader, open_writer, verify):
        with pytest.raises(StorageVersionError, match="format 9"):
            use(bucket.storage)


def test_trimmed(bucket: Bucket) -> None:
    """What is wholly below goes, claims and the newest object stay; reading goes on from the floor."""
    _, cursor = open_reader(bucket.storage).read(max_bytes=1)
    assert trim(bucket.storage, 11).files == 3
    assert [place.number for name in names(bucket) if (place := parse_name(name))] == [1, 5, 6, 7, 8]
    assert trim(bucket.storage, 11).files == 0
    assert trim(bucket.storage, 5).files == 0
    reader = open_reader(bucket.storage)
    for seq in (10, 11, 14, 18):
        assert [event.seq for event in reader.events(Cursor.after(seq))] == list(range(seq + 1, 19))
    assert reader.read_range(11, 12).num_rows == 2
    for early in (None, cursor, Cursor.after(4)):
        with pytest.raises(StorageError, match="no longer in the log"):
            open_reader(bucket.storage).read(early)
    assert verify(bucket.storage).ok
    writer = open_writer(bucket.storage)
    assert (writer.epoch, writer.append([plain(18)])) == (3, (19, 19))
    assert trim(bucket.storage, 20).files == 3
    assert [event.seq for event in reader.events(Cursor.after(18))] == [19]
    bucket.remove([names(bucket)[-1]])
    assert not verify(bucket.storage).ok or open_writer(bucket.storage).next_seq == 19


def test_pieces_for_compaction(bucket: Bucket) -> None:
    """Every object is final; claims alone are no piece, and trimmed ones leave no hole behind the floor."""
    reader = ObjectLogReader(bucket.storage)
    whole = sum(entry.bytes for entry in bucket.entries("log"))
    (piece,) = reader.sealed(1)
    assert (piece.first_seq, piece.last_seq) == (1, 18) and 0 < piece.bytes < whole
    assert [(p.first_seq, p.last_seq) for p in reader.sealed(12)] == [(10, 18)]
    assert reader.sealed(19) == [] and not reader.unsealed()
    trim(bucket.storage, 12)
    assert [(p.first_seq, p.last_seq) for p in ObjectLogReader(bucket.storage).sealed(12)] == [(10, 18)]
