"""What `verify` found: each problem with its place, what it concerns, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

#: Told what is being done, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]

TORN_TAIL, LOG, WITNESS, HISTORY, PAYLOAD, DISAGREEMENT, FOREIGN = (
    "torn-tail",
    "log",
    "witness",
    "history",
    "payload",
    "disagreement",
    "foreign",
)
_RESTORE = "`wfstore backup` keeps one, `wfstore restore` puts it into another folder"
#: kind of problem -> what to do.
ADVICE = {
    TORN_TAIL: "nothing was lost: start a manager, which leaves it out, or run `wfstore verify --repair`",
    LOG: f"take the file from a backup ({_RESTORE}); until then stop the manager, and change nothing in log/",
    WITNESS: "take missing segments from a backup; where none is missing, remove store.json: the next manager makes it",
    HISTORY: f"take the file from a backup ({_RESTORE}); everything that it does not hold can be read meanwhile",
    PAYLOAD: "take the file from a backup; or resume or rerun the workflow, which makes what it can make anew",
    DISAGREEMENT: "no byte is damaged, so this is a fault of wfstore: keep the store and report it with this text",
    FOREIGN: "take it out of this folder: it belongs to another store",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in which file and at which byte. repairable: `repair` can settle it without loss.

    kind: one of `ADVICE`; concerns: which events or workflows, in words; since_seq: the first event that it concerns;
    since_us: when that was, or when the last event before it was, microseconds UTC. Empty or None where not known.
    """

    path: str
    offset: int
    message: str
    repairable: bool = False
    kind: str = LOG
    concerns: str = ""
    since_seq: int | None = None
    since_us: int | None = None

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.kind]

    @property
    def since(self) -> datetime | None:
        """`since_us` as a time in UTC."""
        return None if self.since_us is None else datetime.fromtimestamp(self.since_us / 1e6, UTC)

    def as_dict(self) -> dict[str, Any]:
        """For machines; `since` as a time."""
        names = ("path", "offset", "message", "kind", "repairable", "concerns", "since_seq", "since", "advice")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        if self.kind == DISAGREEMENT:
            return f"{self.path}: {self.message}"
        return f"{self.path} at byte {self.offset}: {self.message}"


@dataclass(slots=True)
class VerifyReport:
    """What was looked at and what was found. repaired: problems that are settled now and no longer in `problems`.

    frames, events, segments, bytes: of the log; history_events: in history files; left_behind: files in the folder
    `history` that nobody needs, such as those of a compaction that was killed. A later one removes them.

    Where the whole store was compared: workflows, rows: of the views, each of which a replay of the events has made
    just so; rows_in_both: events that log and history files both hold, and hold alike. replayed: whether that was done;
    it is not where bytes are damaged that it needs.
    """

    problems: list[Problem] = field(default_factory=list)
    repaired: list[Problem] = field(default_factory=list)
    frames: int = 0
    events: int = 0
    segments: int = 0
    bytes: int = 0
    payloads: int = 0
    history_files: int = 0
    history_events: int = 0
    left_behind: list[str] = field(default_factory=list)
    replayed: bool = False
    workflows: int = 0
    rows: int = 0
    rows_in_both: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems


def silent(what: str, done: int, total: int) -> None:
    """A `Progress` for nobody."""
