"""A manager with a store of its own, and what tests ask of it: its process, its log, and whether the two agree."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ray

import wfstore
from wfstore import workflow
from wfstore.engine import client, host
from wfstore.engine.leases import owner_name
from wfstore.log import open_reader, verify
from wfstore.model import events as ev
from wfstore.model.apply import replay
from wfstore.model.events import Event
from wfstore.model.rows import TaskFacts, live_task_row, task_row, workflow_row
from wfstore.model.state import State


class World:
    """One storage and one manager. `use()` makes it the one that `workflow.*` talks to."""

    def __init__(self, folder: Path, storage: str | None = None, **limits: Any) -> None:
        self.folder = folder
        self.storage = storage or str(folder / "store")
        self.namespace = f"test-{uuid.uuid4().hex[:12]}"
        self.limits = limits
        self.use()

    def use(self) -> None:
        workflow.init(storage=self.storage, namespace=self.namespace, **self.limits)

    @property
    def handle(self) -> Any:
        return ray.get_actor(host.NAME, self.namespace)

    def call(self, method: str, *args: Any) -> Any:
        """Through the client, so that a manager that restarts is asked again."""
        self.use()
        link = client.current()
        assert link is not None
        return link.call(method, *args)

    def describe(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.call("describe")
        return facts

    def owner(self) -> dict[str, Any]:
        """What the owner of this manager's attempts says about itself."""
        actor = ray.get_actor(*owner_name((host.NAME, self.namespace)))
        facts: dict[str, Any] = ray.get(actor.describe.remote())
        return facts

    def file(self, name: str) -> Path:
        return self.folder / name

    # -- the log ----------------------------------------------------------------------------------------------------

    def events(self, type_: str | None = None, workflow_id: str | None = None) -> list[Event]:
        """The log from its beginning, or those of a type or workflow."""
        return [
            event
            for event in open_reader(self.storage).events()
            if (type_ is None or event.type == type_) and (workflow_id is None or event.workflow_id == workflow_id)
        ]

    def seq(self) -> int:
        """Of the last event in the log."""
        return len(self.events())

    def state(self, up_to: int | None = None) -> State:
        every = self.events()
        return replay(event for event in every if up_to is None or (event.seq or 0) <= up_to)

    def task_statuses(self, workflow_id: str) -> dict[str, str]:
        return {name: task.status for name, task in self.state().workflows[workflow_id].tasks.items()}

    def errors(self, workflow_id: str) -> list[tuple[str | None, str | None, str | None]]:
        """(task, kind, error type) of each attempt that failed."""
        found = self.events(ev.ATTEMPT_FAILED, workflow_id)
        return [(event.task_id, event.kind, event.error_type) for event in found]

    # -- the laws ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Memory, log, SQL and `list_all` say the same, and every byte of the store is as it was written."""
        self.use()
        self._check_rows(*self.call("live"))
        eventually(self._listed_as_logged, "list_all, the log and SQL agree")

    def _check_rows(self, seq: int, now: int, workflows: list[dict[str, Any]], tasks: list[tuple[Any, ...]]) -> None:
        """What the manager remembers is what a replay of the log up to that moment gives."""
        state = self.state(seq if workflows else None)
        for row in workflows:
            assert_same(row, workflow_row(state.workflows[row["workflow_id"]]))
        for row in (live_task_row(TaskFacts._make(task), seq, now) for task in tasks):
            found = state.workflows[row["workflow_id"]]
            assert_same(row, task_row(found, found.tasks[row["task_id"]]))

    def _listed_as_logged(self) -> bool:
        listed = {name: str(status) for name, status in workflow.list_all()}
        logged = {name: found.status for name, found in self.state().workflows.items()}
        rows = wfstore.open(self.storage, live=False).sql("select workflow_id, status from workflows").fetchall()
        return listed == logged == dict(rows)

    def calm(self) -> None:
        """End whatever is still open."""
        self.use()
        for workflow_id, _ in workflow.list_all({"RUNNING", "PENDING"}):
            workflow.cancel(workflow_id)

    def stop(self) -> None:
        """Check, end the manager in good order, and check what it left behind."""
        self.calm()
        self.check()
        handle = self.handle
        ray.get(handle.stop.remote())
        ray.kill(handle)
        report = verify(self.storage)
        assert report.ok, [str(problem) for problem in report.problems]
        shutil.rmtree(self.storage, ignore_errors="://" in self.storage)


#: Of an open workflow or task: the live row counts on until now.
_GROWING = frozenset({"elapsed_s", "as_of_seq"})


def assert_same(live: dict[str, Any], logged: dict[str, Any]) -> None:
    shared = (live.keys() & logged.keys()) - _GROWING
    assert len(shared) > 10
    assert {key: live[key] for key in shared} == {key: logged[key] for key in shared}


def eventually(condition: Callable[[], Any], what: str, timeout_s: float = 20.0, every_s: float = 0.05) -> None:
    """Wait until `condition()` is true; fail naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(every_s)


def executions(path: Path) -> Counter[str]:
    """How often each line stands in a file to which tasks append their name."""
    return Counter(path.read_text().split()) if path.exists() else Counter()


def ids(prefix: str = "w") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def names(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in pairs]


def start_ray(**options: Any) -> None:
    """A local Ray for tests. One that something else has left behind in this process is shut down first."""
    if ray.is_initialized():
        warnings.warn("Ray was still running in this process", stacklevel=2)
        ray.shutdown()
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    ray.init(address="local", num_cpus=2, **quiet, **options)


@contextlib.contextmanager
def local_ray() -> Iterator[None]:
    """Inside, a local Ray whose workers and subprocesses find wfstore and the tests' own modules, by PYTHONPATH."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    start_ray()
    yield
    ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
