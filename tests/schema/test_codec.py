"""Events to Arrow and back, and tables of other versions."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log.events import FULL, plain, plains, stamped
from wfstore.model.events import Event
from wfstore.schema.codec import conform, encode, to_events
from wfstore.schema.columns import EVENT_SCHEMA
from wfstore.schema.rows import STORED_COLUMNS, Block, pack, table_of

_TEXT = st.none() | st.text()
_I32 = st.none() | st.integers(-(2**31), 2**31 - 1)
_I64 = st.none() | st.integers(-(2**63), 2**63 - 1)
_BY_TYPE = {pa.int16(): st.just(0), pa.int32(): _I32, pa.int64(): _I64, pa.timestamp("us"): _I64, pa.string(): _TEXT}
_REQUIRED = {"partition": st.just(0), "ts": st.integers(-(2**63), 2**63 - 1), "type": st.text()}
EVENTS = st.builds(
    Event,
    **{
        field.name: _REQUIRED.get(field.name, _BY_TYPE.get(field.type, st.none() | st.binary()))
        for field in EVENT_SCHEMA
    },
)


@pytest.mark.parametrize("count", [1, 3, 15, 16, 40])
def test_round_trip(count: int) -> None:
    events = [FULL, *plains(0, count - 1)]
    batch = encode(events, 100, 4)
    assert batch.schema.equals(EVENT_SCHEMA)
    assert list(to_events(batch)) == stamped(events, 100, 4)


def test_no_events() -> None:
    assert encode([], 1, 1).num_rows == 0
    assert list(to_events(encode([], 1, 1))) == []
    assert table_of([]).schema.equals(EVENT_SCHEMA)


def test_columns_not_asked_for_keep_their_defaults() -> None:
    (event,) = to_events(encode([FULL], 7, 1), columns={"seq", "type", "payload"})
    assert event == Event(seq=7, type=FULL.type, payload=FULL.payload)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=20))
def test_rows_and_arrow_say_the_same(events: list[Event]) -> None:
    rows = pack(events)
    block = Block(STORED_COLUMNS, 3, 11, rows.rows, rows.data)
    assert list(block.events()) == stamped(events, 11, 3)
    assert next(block.batches()).equals(encode(events, 11, 3))


def test_trimmed_block() -> None:
    rows = pack(plains(0, 5))
    block = Block(STORED_COLUMNS, 1, 1, rows.rows, rows.data).trimmed(1, 2)
    assert [event.seq for event in block.events()] == [2, 3]
    assert [event.task_id for event in block.events({"task_id"})] == ["t1", "t2"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("run", "1"), ("run", 2**31), ("bytes", 2**63), ("ts", 2**63), ("name", b"x"), ("payload", "x"), ("run", True)],
)
def test_a_value_that_does_not_fit_is_refused_before_it_is_packed(column: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        pack([plain(1), plain(2)._replace(**{column: value})])


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="not Unicode"):
        pack([plain(1)._replace(name="\ud800")])


def test_conform_fills_missing_columns_and_leaves_unknown_ones_out() -> None:
    table = pa.Table.from_batches([encode([FULL], 1, 1)])
    older = table.drop_columns(["payload", "attributes"])
    newer = table.append_column("invented_later", pa.array([1]))
    assert conform(table) is table
    assert conform(newer).equals(table)
    assert list(to_events(conform(older))) == [*stamped([FULL._replace(payload=None, attributes=None)], 1, 1)]


def test_rows_of_other_versions() -> None:
    rows = pack([FULL])
    newer = Block((*STORED_COLUMNS[:-1], "invented_later"), 1, 1, rows.rows, rows.data)
    (event,) = newer.events()
    assert event == stamped([FULL._replace(payload=None)], 1, 1)[0]
    assert table_of([newer]).schema.equals(EVENT_SCHEMA)
