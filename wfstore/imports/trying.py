"""Whether an imported workflow that has not ended could be resumed: its code and arguments are opened, as a worker
would. Nothing of it is called; what does not open here may open on a cluster that has the modules it names."""

from __future__ import annotations

from wfstore.imports.history import Told
from wfstore.imports.keeping import Keeper
from wfstore.model.apply import replay
from wfstore.model.payload import PayloadRef
from wfstore.model.plan import plan
from wfstore.model.state import TaskState
from wfstore.payloads import loads


class Trial:
    """Opens each pickle once, however many tasks share it."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._reasons: dict[str, str | None] = {}

    def problems(self, workflow_id: str, told: Told) -> list[tuple[str | None, str]]:
        """(task id, reason) for each task that a resume would run and that would not open."""
        workflow = replay(told.events).workflows[workflow_id]
        if workflow.output_task not in workflow.tasks:
            return [(None, "ray.workflow did not keep its DAG")]
        to_run = plan(workflow, [workflow.output_task]).to_run
        found = ((task.task_id, told.lost.get(task.task_id) or self._reason(task)) for task in to_run)
        return [(task_id, reason) for task_id, reason in found if reason is not None]

    def _reason(self, task: TaskState) -> str | None:
        refs = [PayloadRef(task.function_hash, 0), *([] if task.args is None else [task.args])]
        return next((reason for ref in refs if (reason := self._open(ref)) is not None), None)

    def _open(self, ref: PayloadRef) -> str | None:
        if ref.hash not in self._reasons:
            self._reasons[ref.hash] = self._opened(ref)
        return self._reasons[ref.hash]

    def _opened(self, ref: PayloadRef) -> str | None:
        data = self._keeper.kept(ref)
        if data is None:
            return None
        try:
            loads(data)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # a pickle may name code that raises anything, even exit
            return f"it does not open here: {type(error).__name__}: {error}"
        return None
