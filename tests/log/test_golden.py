"""Stores that were written once and are read for ever: this version's, an older one's and a newer one's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.log.events import FULL, plains, stamped
from wfstore.log import LogReader, open_writer, verify
from wfstore.model.events import Event
from wfstore.schema.codec import to_events

GOLDEN = Path(__file__).parent / "golden"
EVENTS = [FULL, *plains(0, 3)]
V1 = [*stamped([*EVENTS, *plains(3, 2)], 1, 1), *stamped([*EVENTS, *plains(3, 2)], 7, 2)]
EXPECTED = {
    "v1": V1,
    "older": stamped([event._replace(payload=None) for event in EVENTS], 1, 1),
    "newer": stamped(EVENTS, 1, 1),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_read(name: str) -> None:
    reader = LogReader(str(GOLDEN / name))
    assert list(reader.events()) == EXPECTED[name]
    assert list(to_events(reader.read()[0])) == EXPECTED[name]
    assert verify(str(GOLDEN / name)).ok


@pytest.mark.parametrize("name", EXPECTED)
def test_go_on_writing(name: str, tmp_path: Path) -> None:
    store = tmp_path / name
    shutil.copytree(GOLDEN / name, store)
    writer = open_writer(str(store))
    first, _ = writer.append([FULL])
    writer.close()
    events: list[Event] = [*EXPECTED[name], *stamped([FULL], first, writer.epoch)]
    assert list(LogReader(str(store)).events()) == events
    assert list(to_events(LogReader(str(store)).read()[0])) == events
    assert verify(str(store)).ok
