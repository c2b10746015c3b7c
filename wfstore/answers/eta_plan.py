"""What is left of a running workflow: its open tasks, how far each is, and those that continuations will add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any

import polars as pl

from wfstore.answers.eta_past import TIMER, Past, Template, numbered

_OVER = frozenset({"SUCCESSFUL", "CAUGHT", "FAILED", "CANCELED", "SKIPPED"})
#: Futures that differ in what continuations add: so many are tried, the most frequent ones.
_FUTURES = 6


@dataclass
class Open:
    """A task that has not ended. above: ids of the tasks whose outputs it takes; after: the one that created it.

    Seconds, None where there is none: elapsed: since user code began; age: since it was submitted; due: until it ends
    (a timer) or is tried next."""

    key: str
    ordinal: int
    type: str
    above: list[str]
    after: str | None = None
    elapsed: float | None = None
    age: float | None = None
    due: float | None = None


@dataclass(frozen=True)
class Ended:
    """A task that has: what its last attempt took, seconds."""

    key: str
    ordinal: int
    seconds: float


@dataclass
class Plan:
    """tasks: the open ones by id; goes_on: task id -> the one whose output becomes its own; last: seconds since the
    last end of a task, None before the first."""

    tasks: dict[str, Open]
    ended: list[Ended]
    goes_on: dict[str, str]
    last: float | None
    grown: set[str] = field(default_factory=set)

    def order(self) -> list[str]:
        """Ids, upstream first."""
        graph = {name: self.above(name) for name in self.tasks}
        return [name for name in TopologicalSorter(graph).static_order() if name in self.tasks]

    def above(self, name: str) -> list[str]:
        """The open tasks it waits for: where one went on with a continuation, the last of that."""
        task = self.tasks[name]
        wanted = [self.output(one) for one in task.above]
        if task.after is not None:
            wanted.append(task.after)
        return [one for one in dict.fromkeys(wanted) if one in self.tasks]

    def output(self, name: str) -> str:
        while name in self.goes_on:
            name = self.goes_on[name]
        return name


def plan(tasks: pl.DataFrame, attempts: pl.DataFrame, edges: pl.DataFrame, now: datetime) -> Plan:
    """Of the frames of a `History`; now: UTC without a zone."""
    last = {
        row["task_id"]: row
        for row in attempts.sort("submitted_seq")
        .select("task_id", "status", "submitted_at", "started_at", "ended_at")
        .iter_rows(named=True)
    }
    special = edges.filter(pl.col("kind").is_in(["continuation", "waited"]))
    waited = {(up, name) for up, name, kind in _pairs(special) if kind == "waited"}
    goes_on = {up: name for up, name, kind in _pairs(special) if kind == "continuation"}
    found = Plan({}, [], goes_on, None)
    wanted = ("task_id", "task_key", "ordinal", "type", "status", "creator", "upstream", "due_at")
    for row in numbered(tasks).select(wanted).iter_rows(named=True):
        name, attempt = row["task_id"], last.get(row["task_id"])
        if row["creator"] is not None:
            found.grown.add(row["creator"])
        if row["status"] in _OVER:
            if attempt is not None and attempt["started_at"] and attempt["ended_at"]:
                seconds = (attempt["ended_at"] - attempt["started_at"]).total_seconds()
                if row["type"] != TIMER and row["status"] == "SUCCESSFUL":
                    found.ended.append(Ended(row["task_key"], row["ordinal"], max(seconds, 0.0)))
                since = max((now - attempt["ended_at"]).total_seconds(), 0.0)
                found.last = since if found.last is None else min(found.last, since)
            continue
        above = [one for one in row["upstream"] or () if (one, name) not in waited]
        found.tasks[name] = _open(row, attempt, above, now)
    return found


def _open(row: Mapping[str, Any], attempt: Mapping[str, Any] | None, above: list[str], now: datetime) -> Open:
    task = Open(row["task_key"], row["ordinal"], row["type"], above, row["creator"])
    if row["due_at"] is not None and (row["type"] == TIMER or row["status"] == "RETRYING"):
        task.due = max((row["due_at"] - now).total_seconds(), 0.0)
    if attempt is not None and attempt["ended_at"] is None:
        if attempt["started_at"] is not None:
            task.elapsed = max((now - attempt["started_at"]).total_seconds(), 0.0)
        submitted = attempt["submitted_at"] or attempt["started_at"] or now
        task.age = max((now - submitted).total_seconds(), 0.0)
    return task


def _pairs(edges: pl.DataFrame) -> Any:
    return edges.select("upstream_task_id", "task_id", "kind").iter_rows()


def futures(now: Plan, past: Past) -> list[tuple[float, Plan]]:
    """(share, plan): the plan with what the open tasks added in each past run, alike ones together. Shares sum to 1."""
    growing = [(name, (task.key, task.ordinal)) for name, task in now.tasks.items() if name not in now.grown]
    if not past.templates or not growing:
        return [(1.0, now)]
    chosen = Counter(
        tuple((name, found) for name, place in growing if (found := run.get(place)) is not None)
        for run in past.templates
    )
    most = chosen.most_common(_FUTURES)
    total = sum(count for _, count in most)
    return [(count / total, _grown(now, added)) for added, count in most]


def _grown(now: Plan, added: tuple[tuple[str, Template], ...]) -> Plan:
    if not added:
        return now
    tasks, goes_on = dict(now.tasks), dict(now.goes_on)
    for root, template in added:
        names = [f"{root}\0{number}" for number in range(len(template.tasks))]
        for name, task in zip(names, template.tasks, strict=True):
            creator = root if task.creator < 0 else names[task.creator]
            tasks[name] = Open(task.key, task.ordinal, task.type, [names[one] for one in task.above], creator)
            if task.next is not None:
                goes_on[name] = names[task.next]
        if template.output is not None:
            goes_on[root] = names[template.output]
    return Plan(tasks, now.ended, goes_on, now.last, now.grown)
