"""`Store.as_of`: a store as it stood after an earlier event. It only reads."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

from wfstore import _text, errors
from wfstore._estimates import LiveRows
from wfstore._history import History
from wfstore._past import PastRuns
from wfstore._store import Store
from wfstore.index import catalog, filters, to_polars
from wfstore.index.asof import PastIndex
from wfstore.log.history import HistoryFiles
from wfstore.model.events import MANAGER_STOPPED


class StoreAsOf(Store):
    """What `Store.as_of` gives: every question of a `Store`, answered as if no event after `seq` were there.

    seq: the last event that counts, whatever is written meanwhile. What changes a store, copies or follows it raises
    ValueError here; the store itself does it.
    """

    def __init__(self, store: Store, seq: int, asked: datetime | None = None) -> None:
        """For `Store.as_of`. asked: the moment that was asked for, UTC; None: a seq was."""
        self.storage, self.seq, self._asked = store.storage, seq, asked
        self._reader, self._history = store._reader, HistoryFiles(store.storage)
        self._live = LiveRows(self, None)
        held = _value(store, "manager", {"seq": seq}) != MANAGER_STOPPED
        self._index: PastIndex = PastIndex(self._reader, seq, self._history, held=held)

    @cached_property
    def at(self) -> datetime | None:
        """The moment that was asked for, else when the event `seq` was written; UTC without a zone."""
        if self._asked is not None:
            return self._asked
        written: datetime | None = _value(self, "written", {"seq": self.seq})
        return written

    def _present(self) -> datetime | None:
        return self.at

    @cached_property
    def _past(self) -> PastRuns:
        return PastRuns(self._index, self.at)

    @property
    def gone(self) -> int:
        """How many ids were deleted since (by retention or by somebody), so that what they were then is not kept.

        They are not in the views. Some of them may only have been submitted later.
        """
        return self._index.gone()

    def history(self, workflow_id: str) -> History:
        """The history of one workflow as it stood then. Raises WorkflowNotFoundError, which says so where the workflow
        was deleted since and is no longer kept."""
        try:
            return super().history(workflow_id)
        except errors.WorkflowNotFoundError:
            lost = self._index.gone_at(workflow_id)
            if lost is None:
                what = f"There was no workflow {workflow_id!r} as of {self._words()}."
            else:
                since = f"Workflow {workflow_id!r} was deleted since (seq {lost[0]:,})"
                what = f"{since}; what it was as of {self._words()} is no longer kept."
            raise errors.WorkflowNotFoundError(workflow_id, what) from None

    def _words(self) -> str:
        return f"seq {self.seq:,}" + ("" if self._asked is None else f" ({_text.clock(self._asked)} UTC)")

    def _refuse(self, *args: Any, **named: Any) -> NoReturn:
        what = f"this is the store as of {self._words()}, which can only be asked"
        raise ValueError(f"{what}: do that with the store itself")

    backup = compact = follow = restore = retain = stats = verify = _refuse

    def __repr__(self) -> str:
        return f"<Store {self.storage!r} as of {self._words()}>"


def as_of(store: Store, when: filters.Moment | int) -> StoreAsOf:
    """What `Store.as_of` does."""
    return StoreAsOf(store, *place(store, when))


def place(store: Store, when: filters.Moment | int) -> tuple[int, datetime | None]:
    """The last event that counts, and the moment that was asked for; None where a seq was. Raises ValueError."""
    last, _ = store._index.refresh()
    if last < 1:
        raise ValueError("there is no event yet, so the store has no past")
    if isinstance(when, str) and when.strip().isdecimal() and when.isascii():
        when = int(when)
    if isinstance(when, bool):
        raise TypeError(f"a moment or the seq of an event is needed, not {when}")
    if isinstance(when, int):
        if not 1 <= when <= last:
            where = "in the future" if when > last else "before the beginning"
            raise ValueError(f"seq {when} is {where}: the events of this store are 1 to {last}")
        return when, None
    try:
        at = filters.utc(when)
    except ValueError as error:
        raise ValueError(f"{error}, and no seq of an event: the events of this store are 1 to {last}") from None
    if at is None:
        raise TypeError("a moment or the seq of an event is needed, not None")
    if at > datetime.now(UTC).replace(tzinfo=None):
        raise ValueError(f"{_text.clock(at)} UTC is in the future")
    seq = _value(store, "moment", {"at": at})
    if seq is None:
        first = _text.clock(_value(store, "beginning", {}))
        raise ValueError(f"{_text.clock(at)} UTC is before the beginning: the first event is of {first} UTC")
    return seq, at


def _value(store: Store, name: str, params: dict[str, Any]) -> Any:
    return to_polars(store._index.run(catalog.folder("asof")[name], params)).item()
