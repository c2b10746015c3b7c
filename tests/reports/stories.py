"""Histories with times that a reader can check by hand: nothing happens but what is said, at the second it is said."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import wfstore
from tests.index.worlds import World, dag, spec
from tests.model.histories import T0, ref
from wfstore.index import catalog, reports, to_polars
from wfstore.log import open_writer
from wfstore.model.commands import Outcome, Place, RecordOutcome, RecordStarted, Resume

#: What the clock of these stories shows at their second 0.
START = datetime(2023, 11, 14, 22, 13, 20)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class _Still(random.Random):
    """Takes the chance out of a simulation's clock."""

    def randint(self, a: int, b: int) -> int:
        return 0


class Story(World):
    """A world whose clock stands still unless it is told."""

    def __init__(self, *, managed: bool = True) -> None:
        super().__init__(managed=managed)
        self.simulation.rng = _Still()

    def now(self, seconds: float) -> None:
        self.simulation.now = T0 + round(seconds * 1e6)

    def begins(self, workflow_id: str, task_id: str, began: float) -> None:
        """The worker says at once that the open attempt has begun."""
        self.now(began)
        self.do(RecordStarted(*self._open(workflow_id, task_id), self._place(began)))

    def ok(self, workflow_id: str, task_id: str, began: float, ended: float, **outcome: Any) -> None:
        """The open attempt succeeds; its output has as many bytes as the id of its task."""
        values: dict[str, Any] = {"output": ref(task_id), **outcome}
        self._ends(workflow_id, task_id, ended, Outcome(True, T0 + round(ended * 1e6), self._place(began), **values))

    def bad(self, workflow_id: str, task_id: str, began: float, ended: float, message: str, **outcome: Any) -> None:
        """The open attempt fails; its pickled error has 3 bytes."""
        values = {"kind": "app", "error_type": "ValueError", "error": ref("err"), **outcome}
        self._ends(
            workflow_id,
            task_id,
            ended,
            Outcome(False, T0 + round(ended * 1e6), self._place(began), error_message=message, **values),
        )

    def report(self, name: str, **params: Any) -> pl.DataFrame:
        query = catalog.folder("reports")[name]
        return to_polars(self.index.run(query, reports.bind(query, params)))

    def _open(self, workflow_id: str, task_id: str) -> tuple[str, int, str, int]:
        (found,) = [key for key in self.simulation.open_attempts() if (key[0], key[2]) == (workflow_id, task_id)]
        return found

    def _ends(self, workflow_id: str, task_id: str, ended: float, outcome: Outcome) -> None:
        self.now(ended)
        self.do(RecordOutcome(*self._open(workflow_id, task_id), outcome))

    def _place(self, began: float) -> Place:
        return Place(T0 + round(began * 1e6), "node", 7, "ray")


def shop() -> Story:
    """`one` succeeds with a retry; a day later `two` fails, is resumed and succeeds; `three` fails in `load`.

    one:   list 1-3, map 4-8, map_1 5-6 fails and again 6.5-8.5, total 9-10
    two:   load begins on day 1 at second 2 and takes 3 s; work 6-10 fails; resumed at 20: work 21-23
    three: load of day 1, 40-41, fails
    """
    story = Story()
    story.now(0)
    retried = spec("map", 0, max_retries=1, retry_exceptions=True)
    story.submit("one", dag(spec("list"), retried, retried, spec("total", 1, 2)), {"name": "shop"})
    story.ok("one", "list", 1, 3)
    story.bad("one", "map_1", 5, 6, "cannot read '/data/1.csv' at row 17", retryable=True)
    story.ok("one", "map", 4, 8)
    story.ok("one", "map_1", 6.5, 8.5)
    story.ok("one", "total", 9, 10)
    day = 86_400
    story.now(day)
    story.submit("two", dag(spec("load"), spec("work", 0)), {"name": "mill"})
    story.ok("two", "load", day + 2, day + 5)
    story.bad("two", "work", day + 6, day + 10, "no space left: 12 of 4096 MB")
    story.now(day + 20)
    story.do(Resume("two"))
    story.ok("two", "work", day + 21, day + 23)
    story.now(day + 30)
    story.submit("three", dag(spec("load", max_retries=0)), {"name": "mill"})
    story.bad("three", "load", day + 40, day + 41, "cannot read '/data/2.csv' at row 9")
    return story


def store_of(story: Story, path: Path) -> wfstore.Store:
    """A store on disk with what the story says."""
    path.mkdir()
    writer = open_writer(str(path))
    writer.append(story.simulation.log)
    writer.close()
    return wfstore.open(str(path))
