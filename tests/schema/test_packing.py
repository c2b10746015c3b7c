"""A row of the log taken apart for history files: what goes where, and that it can be put together again."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from tests.log.events import FULL
from wfstore.model.events import TASK_DEFINED, Event
from wfstore.schema.codec import encode, to_events
from wfstore.schema.packing import parted, whole

_HASH = hashlib.sha256(b"p").hexdigest()
_ARGUMENTS = f',"args":"{_HASH}"'
_VALUE = f'"value":{{"hash":"{_HASH}","bytes":1,"data":"cA=="}}'
_STRIPPED = f'"value":{{"hash":"{_HASH}","bytes":1}}'


def _table(events: list[Event]) -> pa.Table:
    half = len(events) // 2
    parts = [encode(events[:half], 1, 1), encode(events[half:], half + 1, 1)]
    return pa.Table.from_batches([part for part in parts if part.num_rows])


def _defined(attributes: str | None, payload: bytes | None = b"p") -> Event:
    return Event(
        ts=5, type=TASK_DEFINED, workflow_id="w", task_id="t", attributes=attributes, payload=payload, hash="f" * 64
    )


@pytest.mark.parametrize(
    ("event", "kept", "packed"),
    [
        (_defined(f'{{"function":"f"{_ARGUMENTS}}}'), '{"function":"f"}', None),
        (_defined(f'{{"function":"ü"{_ARGUMENTS}}}'), '{"function":"ü"}', None),
        (_defined(f'{{"function":"f"{_ARGUMENTS}}}', None), f'{{"function":"f"{_ARGUMENTS}}}', None),
        (_defined(f'{{"function":"f"{_ARGUMENTS},"z":1}}'), '{"function":"f","z":1}', None),
        (_defined(f'{{"a":1,{_VALUE}{_ARGUMENTS}}}'), f'{{"a":1,{_STRIPPED}}}', f'{{"a":1,{_VALUE}{_ARGUMENTS}}}'),
        (_defined(f'{{"a":1,{_VALUE}}}', None), f'{{"a":1,{_STRIPPED}}}', f'{{"a":1,{_VALUE}}}'),
        (_defined('{"function":"f"}', None), '{"function":"f"}', None),
        (_defined(None), None, None),
        (_defined(""), "", None),
        (FULL._replace(attributes=f'{{"a":1,{_VALUE}{_ARGUMENTS}}}'), f'{{"a":1,{_VALUE}{_ARGUMENTS}}}', None),
    ],
)
def test_attributes(event: Event, kept: str | None, packed: str | None) -> None:
    others = [FULL, _defined(f'{{"function":"g"{_ARGUMENTS}}}'), _defined(None, None), FULL]
    for events in ([event], [*others, event], [event, *others], [*others[:2], event, *others[2:]]):
        seq = events.index(event) + 1
        rows, packs = parted(_table(events))
        assert rows["attributes"].to_pylist()[seq - 1] == kept
        found = {row["seq"]: row for row in packs.to_pylist()}
        assert found.get(seq, {}).get("attributes") == packed
        assert (seq in found) == (event.payload is not None or packed is not None)


def test_whole_again() -> None:
    texts = [f'{{"function":"f"{_ARGUMENTS}}}', f'{{"a":1,{_VALUE}{_ARGUMENTS}}}']
    digest = hashlib.sha256(FULL.payload or b"").hexdigest()
    events = [*(_defined(text) for text in texts), FULL._replace(hash=digest), Event(ts=1, type="manager.stopped")]
    table = _table(events)
    assert list(to_events(whole(*parted(table)))) == list(to_events(table))


def test_no_rows() -> None:
    rows, packs = parted(_table([FULL]).slice(0, 0))
    assert rows.num_rows == packs.num_rows == 0
