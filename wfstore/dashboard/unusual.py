"""What is out of the ordinary now, in a few lines: attempts that are stuck, new kinds of error, sizes never seen.

On a large store that is a second of work; so it is done once a minute at most, while somebody looks, and never while a
page waits for longer than a moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from wfstore import _text as text
from wfstore._observe import WorkflowObservability
from wfstore.dashboard.templating import task_path, workflow_path
from wfstore.errors import WfstoreError

#: So long an answer is shown; so long a page waits for one that is not ready; so many lines of each kind.
KEPT_S, WAIT_S, LINES = 60.0, 0.1, 3
#: With more it takes long in any case, and is begun when the page that asked is drawn, here and in the browser.
MANY_EVENTS, DRAWN_S = 1_000_000, 1.0
CLOSE_S = 5.0
_log = logging.getLogger("wfstore.dashboard")

Row = dict[str, Any]


class Line(NamedTuple):
    """One thing: what it is, the sentence that says it, its page, and the report that has the rest."""

    kind: str
    said: str
    href: str
    report: str


class Answer(NamedTuple):
    """pending: these are those of before, and new ones are being made."""

    lines: tuple[Line, ...]
    pending: bool


NOTHING = Answer((), False)


class Unusual:
    """The lines of one store. Used from any thread."""

    def __init__(self, observability: WorkflowObservability) -> None:
        self._observability = observability
        self._lock = threading.Lock()
        self._lines: tuple[Line, ...] = ()
        self._made_at: float | None = None
        self._making: threading.Thread | None = None
        self._closed = threading.Event()

    def lines(self, large: bool = False) -> Answer:
        """Those of the last minute; where there are none yet, what was known before. large: the store has
        `MANY_EVENTS`."""
        with self._lock:
            if self._made_at is not None and time.monotonic() - self._made_at < KEPT_S:
                return Answer(self._lines, False)
            if self._making is None or not self._making.is_alive():
                self._making = threading.Thread(
                    target=self._make, args=(DRAWN_S if large else 0.0,), name="wfstore-unusual", daemon=True
                )
                self._making.start()
            making = self._making
        making.join(0.0 if large else WAIT_S)
        return Answer(self._lines, making.is_alive())

    def close(self) -> None:
        """Look no more, and wait for what is under way: a process that ends meanwhile ends with an abort."""
        self._closed.set()
        if self._making is not None:
            self._making.join(CLOSE_S)

    def _make(self, after_s: float) -> None:
        self._closed.wait(after_s)
        try:
            found = tuple(line for name, say in _KINDS.items() for line in map(say, self._rows(name)))
        except WfstoreError as error:  # the page's other parts say what is wrong with the store
            _log.warning("cannot tell what is unusual: %s", error)
            found = ()
        with self._lock:
            self._lines, self._made_at = found, time.monotonic()

    def _rows(self, report: str) -> list[Row]:
        return [] if self._closed.is_set() else self._observability.store.report(report, limit=LINES).to_dicts()


def _stuck(row: Row) -> Line:
    said = (
        f"{row['task_id']} of {row['workflow_id']} has been running for {text.duration(row['running_s'])}; "
        f"99 % of {text.number(row['n'])} took at most {text.duration(row['p99_s'])}"
    )
    return Line("stuck", said, task_path(row["workflow_id"], row["task_id"]), "stuck")


def _error(row: Row) -> Line:
    said = (
        f"{row['error_type']}: {row['fingerprint']} ({text.number(row['n'])} attempts in "
        f"{text.number(row['workflows'])} workflows since {text.clock(row['first_at'])} UTC, none before)"
    )
    return Line("new error", said, task_path(row["last_workflow_id"], row["last_task_id"]), "new_errors")


def _output(row: Row) -> Line:
    said = (
        f"{row['task_id']} of {row['workflow_id']} made {text.size(row['output_bytes'])}; {text.number(row['n'])} "
        f"before it had {text.size(row['min_bytes'])} to {text.size(row['max_bytes'])}"
    )
    return Line("output size", said, workflow_path(row["workflow_id"]), "unusual_outputs")


_KINDS: dict[str, Callable[[Row], Line]] = {"stuck": _stuck, "new_errors": _error, "unusual_outputs": _output}
