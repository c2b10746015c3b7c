"""What writers of these campaigns append, and what a log may hold after they were killed: both follow from numbers.

A writer is the `turn`-th one of a case. Its commits are known beforehand, so a log that was cut off is judged exactly:
every acknowledged commit, at most the one that was under way when the writer died, whole, and nothing else.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from wfstore.errors import StorageNotFoundError
from wfstore.log import LogReader
from wfstore.log.survey import CLAIM_GRACE_S
from wfstore.model.events import CONFIG_SET, Event

_SIZES = (0, 10, 300, 3_000, 20_000)


class Row(NamedTuple):
    """What identifies an event: no two have the same."""

    name: str
    payload: bytes | None


def commit(case: int, turn: int, number: int) -> list[Event]:
    """The `number`-th commit of a writer."""
    chance = random.Random(f"{case}.{turn}.{number}")
    events = []
    for row in range(chance.choice((1, 1, 2, 5))):
        name = f"{turn}.{number}.{row}"
        payload = chance.randbytes(chance.choice(_SIZES)) or None
        events.append(Event(ts=1_000_000 + number, type=CONFIG_SET, name=name, payload=payload))
    return events


def rows(events: Iterable[Event]) -> list[Row]:
    return [Row(event.name or "", event.payload) for event in events]


def read(store: str | Path) -> list[Row]:
    """All there is; seqs have to be 1, 2, 3, ... A store whose first writer died while it made it is an empty log.

    Whether it may be empty is for the ledger to say: a store that vanished with acknowledged commits is a loss.
    """
    try:
        reader = LogReader(str(store))
    except StorageNotFoundError:
        return []
    events = list(reader.events())
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "seqs are not 1, 2, 3, ..."
    return rows(events)


class Ledger:
    """What a log has to hold. Writers note what was acknowledged to them; `check` settles what else may be there.

    names: judge by names alone; history files keep values elsewhere.
    """

    def __init__(self, case: int, *, names: bool = False) -> None:
        self.case = case
        self._names = names
        self.settled: list[Row] = []
        self.acknowledged = self.unacknowledged = 0
        self._open: list[tuple[int, int]] = []

    def note(self, turn: int, acknowledged: int) -> None:
        """The writer of this turn is gone after so many acknowledged commits."""
        self._open.append((turn, acknowledged))
        self.acknowledged += acknowledged

    def check(self, found: Sequence[Row], *, settle: bool = True) -> None:
        """Raises AssertionError unless these are rows that the log may hold now.

        settle: from here on it has to hold them, as a new writer has gone on behind them.
        """
        at = len(self.settled)
        assert found[:at] == self.settled, _difference(found, self.settled)
        for turn, acknowledged in self._open:
            for number in range(acknowledged):
                at = self._take(found, at, self._rows(turn, number), f"commit {number} of turn {turn}")
            under_way = self._rows(turn, acknowledged)
            if found[at : at + 1] == under_way[:1]:
                at = self._take(found, at, under_way, f"the unacknowledged commit {acknowledged} of turn {turn}")
                self.unacknowledged += settle
        assert at == len(found), f"{len(found) - at} events that nobody wrote, the first is {found[at].name}"
        if settle:
            self.settled, self._open = list(found), []

    def _rows(self, turn: int, number: int) -> list[Row]:
        found = rows(commit(self.case, turn, number))
        return [row._replace(payload=None) for row in found] if self._names else found

    def _take(self, found: Sequence[Row], at: int, wanted: list[Row], what: str) -> int:
        got = list(found[at : at + len(wanted)])
        assert got == wanted, f"{what} is lost or changed: {[row.name for row in got]} at seq {at + 1}"
        return at + len(wanted)


def _difference(found: Sequence[Row], settled: Sequence[Row]) -> str:
    for seq, (one, other) in enumerate(zip(found, settled, strict=False), 1):
        if one != other:
            return f"seq {seq} was {other.name} and is {one.name}"
    return f"the log had {len(settled)} events and has {len(found)}"


def outwait_claims(store: str | Path) -> None:
    """As after ten seconds: a claim whose writer died hides nothing any more."""
    past = time.time() - CLAIM_GRACE_S - 1
    for name in os.listdir(Path(store) / "log"):
        os.utime(Path(store) / "log" / name, (past, past))
