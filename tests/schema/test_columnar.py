"""Columns at once say what row by row says, of every row; and of bytes that are no rows, nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log.events import FULL, plains
from tests.schema.test_codec import EVENTS
from wfstore.model.events import Event
from wfstore.schema import cells, rows
from wfstore.schema.columnar import arrays_of
from wfstore.schema.columns import EVENT_SCHEMA
from wfstore.schema.rows import STORED_COLUMNS, Block, pack, table_of

_HEADER = b"\xdc\x00" + bytes([len(STORED_COLUMNS)])
_TYPES = [EVENT_SCHEMA.field(name).type for name in STORED_COLUMNS]
#: Around every width that msgpack has for integers and lengths.
_POWERS = [1 << bits for bits in (0, 5, 7, 8, 15, 16, 31, 32, 63)]
_EDGES = [sign * power + more for power in _POWERS for sign in (1, -1) for more in (-1, 0, 1)]
_I64 = st.sampled_from([edge for edge in _EDGES if -(2**63) <= edge < 2**63])
_I32 = st.sampled_from([edge for edge in _EDGES if -(2**31) <= edge < 2**31])
_LONG = st.sampled_from([0, 31, 32, 255, 256, 65535, 65536])
_WIDE = st.builds(
    lambda small, large, text, payload, shift: FULL._replace(
        run=small,
        worker_pid=small,
        bytes=large,
        ts=large,
        ts_source=large,
        attributes=text,
        payload=payload,
        name=shift,
    ),
    _I32,
    _I64,
    st.none() | st.builds(lambda size: "x" * size, _LONG) | st.builds(lambda size: "é" * (size // 2), _LONG),
    st.none() | st.builds(lambda size: b"y" * size, _LONG) | st.just(_HEADER * 5) | st.just(_HEADER + b"\xc0" * 30),
    st.none() | st.text(max_size=3),
)
_MANY = st.lists(EVENTS | _WIDE, min_size=1, max_size=20)


def _block(events: list[Event], columns: tuple[str, ...] = STORED_COLUMNS) -> Block:
    packed = pack(events)
    return Block(columns, 3, 11, packed.rows, packed.data)


def _by_row(block: Block, wanted: Any = None) -> pa.Table:
    return pa.Table.from_batches(block._batches_by_row(wanted), schema=EVENT_SCHEMA)


@contextmanager
def _slices_of(size: int) -> Iterator[None]:
    before, cells._SLICE_BYTES = cells._SLICE_BYTES, size
    try:
        yield
    finally:
        cells._SLICE_BYTES = before


def _at_once(block: Block) -> bool:
    return arrays_of(block.data, block.rows, _TYPES) is not None


@pytest.fixture(autouse=True)
def however_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MANY_ROWS", 1)


@settings(max_examples=60, deadline=None)
@given(_MANY, st.integers(0, 3), st.integers(0, 3), st.sampled_from([1, 64, 3000, 1 << 20]))
def test_same_as_row_by_row(events: list[Event], skip: int, drop: int, slice_bytes: int) -> None:
    whole = _block(events)
    with _slices_of(slice_bytes):
        assert _at_once(whole)
        for block in (whole, whole.trimmed(min(skip, len(events)), 0), whole.trimmed(0, min(drop, len(events)))):
            table = pa.Table.from_batches(block.batches(), schema=EVENT_SCHEMA)
            table.validate(full=True)
            assert table.equals(_by_row(block))
            wanted = {"seq", "type", "payload", "attributes", "run"}
            assert table_of([block], wanted).equals(_by_row(block, wanted))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_say_what_row_by_row_says_of_them(data: st.DataObject) -> None:
    block = _block(data.draw(_MANY))
    damaged = bytearray(block.data)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))
    other = block._replace(data=bytes(damaged[:cut]), rows=block.rows + data.draw(st.sampled_from([0, 0, -1, 1])))
    if other.rows:
        assert _said(lambda: table_of([other])) == _said(lambda: _by_row(other))


def _said(read: Callable[[], pa.Table]) -> Any:
    try:
        return read().to_pydict()
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


def test_a_payload_that_is_full_of_what_rows_begin_with() -> None:
    bait = _HEADER + b"\x00" * 21
    some = [FULL._replace(payload=bait * 5), *plains(0, 40), FULL._replace(payload=_HEADER * 100)]
    many = [FULL._replace(payload=_HEADER * 5000), *plains(0, 3)]
    assert not _at_once(_block(many))
    assert table_of([_block(many)]).equals(_by_row(_block(many)))
    for size in (200, 1 << 20):
        with _slices_of(size):
            assert _at_once(_block(some))
            assert table_of([_block(some)]).equals(_by_row(_block(some)))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300, 70_000])
def test_rows_of_any_width(count: int) -> None:
    """Columns that another version of the log has, and does not have."""
    names = ("ts", "type", *(f"later_{number}" for number in range(count)))[:count]
    row = [7, "x", *(None, 1.5, True, b"b" * 300, "s" * 40, -1) * (count // 6 + 1)][:count]
    block = Block(names, 1, 1, 20, msgpack.packb(row) * 20)
    if count:
        table = table_of([block])
        assert table.equals(_by_row(block))
        assert table["type"].to_pylist() == ["x" if count > 1 else None] * 20
    types = [EVENT_SCHEMA.field(name).type if name in EVENT_SCHEMA.names else None for name in names]
    assert (arrays_of(block.data, 20, types) is None) == (count in (0, 70_000))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("run", 2**31), ("run", "1"), ("bytes", 2**63), ("partition", -32769), ("ts", 1.5), ("ts", True),
        ("name", b"x"), ("name", 1), ("payload", "x"), ("attributes", {"a": 1}),
        ("name", msgpack.ExtType(1, b"x")), ("payload", [1]),
    ],
)  # fmt: skip
def test_what_no_version_wrote_is_left_to_row_by_row(column: str, value: Any) -> None:
    at = STORED_COLUMNS.index(column)
    row = list(FULL._replace(seq=None)[1:2] + FULL[3:])
    good = msgpack.packb(row)
    block = Block(STORED_COLUMNS, 1, 1, 3, good + msgpack.packb([*row[:at], value, *row[at + 1 :]]) + good)
    assert not _at_once(block)
    assert _said(lambda: table_of([block])) == _said(lambda: _by_row(block))


def test_text_that_is_not_utf8() -> None:
    block = _block([*plains(0, 5), FULL, *plains(5, 5)])
    broken = block._replace(data=block.data.replace("ü".encode(), b"\xc3("))
    assert not _at_once(broken)
    with pytest.raises(ValueError):
        table_of([broken])


@pytest.mark.parametrize("chunk_rows", [2, 4096])
@pytest.mark.parametrize(("rows_more", "data"), [(1, b""), (-1, b""), (0, b"\xc0"), (0, b"\xdc"), (1, b"\xc0")])
def test_other_rows_than_were_promised(
    rows_more: int, data: bytes, chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_CHUNK_ROWS", chunk_rows)
    block = _block(plains(0, 10))
    other = block._replace(rows=10 + rows_more, data=block.data + data)
    assert not _at_once(other)
    with pytest.raises(ValueError):
        table_of([other])
    with pytest.raises(ValueError):
        table_of([block._replace(data=block.data[:-1])])


def test_nothing() -> None:
    assert arrays_of(b"", 1, _TYPES) is None
    assert not arrays_of(b"", 0, _TYPES)
