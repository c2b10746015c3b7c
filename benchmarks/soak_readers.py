"""The readers of `soak.py`: processes that ask one store the same kind of question for as long as it lasts.

    python -m benchmarks.soak_readers history|sql|follow STORAGE FOLDER

Until there is a file FOLDER/stop-readers. Then a JSON line says how many answers there were, and which were wrong.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import wfstore
from wfstore.errors import WorkflowNotFoundError

_PAUSE_S = 0.2
_CHOSEN = 200


class Reader:
    """One question, again and again."""

    def __init__(self, storage: str, folder: Path) -> None:
        self._store = wfstore.open(storage, live=False)
        self._stop = folder / "stop-readers"
        self._chance = random.Random(storage)
        self._ids: list[str] = []
        self._reports = self._store.reports()["name"].to_list()
        self.answers = 0
        self.wrong: list[str] = []

    def work(self, ask: Callable[[], None]) -> None:
        while not self._stop.exists():
            try:
                ask()
                self.answers += 1
            except Exception as error:  # the verdict is for whoever reads the line
                self.wrong.append(f"{type(error).__name__}: {error}"[:500])
            time.sleep(_PAUSE_S)

    def history(self) -> None:
        """Of some workflow of late."""
        if not self._ids or self._chance.random() < 0.02:
            question = f"SELECT workflow_id FROM workflows ORDER BY submitted_seq DESC LIMIT {_CHOSEN}"
            self._ids = [name for (name,) in self._store.sql(question).fetchall()]
            return
        workflow_id = self._chance.choice(self._ids)
        try:
            found = self._store.history(workflow_id)
        except WorkflowNotFoundError:  # deleted meanwhile, as it should be
            self._ids.remove(workflow_id)
            return
        done = found.tasks.filter(found.tasks["status"] == "SUCCESSFUL").height
        recorded = found.events.filter(found.events["type"] == "attempt.succeeded")["task_id"]
        assert recorded.n_unique() == len(recorded), f"{workflow_id}: a task succeeded twice"
        assert found.status != "SUCCESSFUL" or done, f"{workflow_id} is successful without a task that is"

    def sql(self) -> None:
        """A report, or a question of a user's own."""
        if self._chance.random() < 0.5:
            self._store.report(self._chance.choice(self._reports))
            return
        question = """
            SELECT count(*) FROM tasks WHERE status = 'SUCCESSFUL' AND ended_at IS NULL
            UNION ALL SELECT count(*) - count(DISTINCT (workflow_id, task_id)) FROM tasks
        """
        rows = self._store.sql(question).fetchall()
        assert [count for (count,) in rows] == [0, 0], f"tasks without an end, tasks twice: {rows}"

    def follow(self) -> None:
        """Every event from the beginning on, none left out, none twice."""
        last = 0
        with self._store.follow() as events:
            threading.Thread(target=self._close_at_the_end, args=(events.close,), daemon=True).start()
            for event in events:
                if last and event.seq != last + 1:
                    self.wrong.append(f"event {event.seq} after {last}")
                last = event.seq
                self.answers += 1

    def _close_at_the_end(self, close: Callable[[], None]) -> None:
        while not self._stop.exists():
            time.sleep(_PAUSE_S)
        close()


def main(question: str, storage: str, folder: str) -> None:
    reader = Reader(storage, Path(folder))
    reader.work(getattr(reader, question))
    print(json.dumps({"reader": question, "answers": reader.answers, "wrong": reader.wrong[:20]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
