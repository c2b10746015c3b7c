"""What has to hold after a cluster was hurt, whatever happened to it: what the log says beside what ran, what was
acknowledged, and what a reader saw meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import wfstore
from wfstore.model import events as ev

#: What runs for so long has told somebody that it does.
_KNOWN_AFTER_US = 500_000


class Row(NamedTuple):
    """Of an event, what is looked at here; ts: microseconds since 1970."""

    seq: int
    type: str
    workflow_id: str | None
    task_id: str | None
    attempt: int | None
    ts: int
    kind: str | None = None

    @property
    def task(self) -> tuple[str, str]:
        return self.workflow_id or "", self.task_id or ""


def stored(storage: str) -> list[Row]:
    """The whole log, whatever part of it lies in history files."""
    question = "select seq, type, workflow_id, task_id, attempt, epoch_us(ts), kind from events order by seq"
    return [Row(*row) for row in wfstore.open(storage, live=False).sql(question).fetchall()]


class Body(NamedTuple):
    """One execution of user code."""

    task: tuple[str, str]
    pid: int
    began: int
    ended: int | None


def bodies(path: Path) -> list[Body]:
    """Every execution that the tasks wrote down, in the order in which they began."""
    found: list[Body] = []
    running: dict[tuple[str, str, str], int] = {}
    for text in path.read_text().splitlines() if path.exists() else ():
        word, workflow_id, task_id, pid, moment = text.split()
        key = (workflow_id, task_id, pid)
        if word == "begins":
            running[key] = len(found)
            found.append(Body((workflow_id, task_id), int(pid), int(moment), None))
        elif key in running:
            place = running.pop(key)
            found[place] = found[place]._replace(ended=int(moment))
    return found


def again(rows: Iterable[Row], ran: Iterable[Body]) -> list[str]:
    """Tasks whose success was in the log and that were submitted, recorded or executed again."""
    succeeded: dict[tuple[str, str], int] = {}
    submitted: Counter[tuple[str, str]] = Counter()
    found = []
    for row in rows:
        if row.type == ev.ATTEMPT_SUBMITTED:
            submitted[row.task] += 1
            if row.task in succeeded:
                found.append(f"{row.task} had succeeded and was submitted again (seq {row.seq})")
        elif row.type == ev.ATTEMPT_SUCCEEDED:
            if row.task in succeeded:
                found.append(f"{row.task} succeeded twice (seq {row.seq})")
            succeeded.setdefault(row.task, row.ts)
    executed: Counter[tuple[str, str]] = Counter()
    for body in ran:
        executed[body.task] += 1
        if body.began > succeeded.get(body.task, body.began):
            found.append(f"{body.task} ran again {(body.began - succeeded[body.task]) / 1e6:.3f} s after its success")
    for task, count in executed.items():
        if count > submitted[task]:
            found.append(f"{task} ran {count} times and was submitted {submitted[task]} times")
    return found


def begun_again(ran: Sequence[Body], kills: Iterable[int]) -> tuple[list[str], int]:
    """Bodies that ran when a manager was killed (microseconds), long enough for their start to be known, and were begun
    anew all the same; and how many went on."""
    latest = {body.task: body.began for body in ran}
    found, went_on = [], 0
    for moment in kills:
        for body in ran:
            if body.began < moment - _KNOWN_AFTER_US and (body.ended is None or body.ended > moment):
                went_on += latest[body.task] == body.began
                if latest[body.task] > body.began:
                    found.append(f"{body.task} ran for {(moment - body.began) / 1e6:.1f} s, and was begun again")
    return list(dict.fromkeys(found)), went_on


def unsound(rows: list[Row], seen: Iterable[Row]) -> list[str]:
    """Gaps in the log; and what a reader was given that is not what the log says, or not in its order."""
    found = []
    seqs = [row.seq for row in rows]
    if seqs != list(range(1, len(rows) + 1)):
        found.append(f"seqs have gaps or repeat: {len(rows)} rows up to {seqs[-1] if seqs else 0}")
    by_seq = {row.seq: row for row in rows}
    last = 0
    for row in seen:
        if row.seq <= last or (last and row.seq != last + 1):
            found.append(f"a reader was given seq {row.seq} after {last}")
        last = row.seq
        if by_seq.get(row.seq) != row:
            found.append(f"a reader was given {row}, the log has {by_seq.get(row.seq)}")
    return found


def broken_promises(journal: Path, rows: Iterable[Row]) -> list[str]:
    """What users were told that the log does not say, or were told wrong."""
    submitted = {row.workflow_id for row in rows if row.type == ev.WORKFLOW_SUBMITTED}
    succeeded = {row.workflow_id for row in rows if row.type == ev.WORKFLOW_SUCCEEDED}
    found = []
    for text in journal.read_text().splitlines() if journal.exists() else ():
        word, workflow_id, *more = text.split(" ", 2)
        if word == "wrong":
            found.append(f"{workflow_id}: a wrong answer: {' '.join(more)}")
        elif word != "unanswered" and workflow_id not in (submitted if word == "submitted" else succeeded):
            found.append(f"{workflow_id} was {word}, and the log does not know it")
    return found


def damaged(storage: str) -> list[str]:
    """What `wfstore verify` finds."""
    return [str(problem) for problem in wfstore.open(storage, live=False).verify().problems]


def findings(folder: Path, storage: str, seen: Iterable[Row] = ()) -> tuple[list[str], dict[str, int]]:
    """Everything that is wrong, and counts of what was looked at. `folder` has the journal and what ran."""
    rows, ran = stored(storage), bodies(folder / "bodies")
    found = again(rows, ran) + unsound(rows, seen)
    found += broken_promises(folder / "journal", rows) + damaged(storage)
    types = Counter(row.type for row in rows)
    counts = {
        "successes": types[ev.ATTEMPT_SUCCEEDED],
        "executions": len(ran),
        "lost_attempts": sum(row.kind == "lost" for row in rows),
        "events": len(rows),
        "managers": types[ev.MANAGER_STARTED],
    }
    return found, counts
