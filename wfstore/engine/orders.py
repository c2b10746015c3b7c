"""From the state to an order: everything a worker needs for one attempt, by value where small, by place where large."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from wfstore.engine import packages
from wfstore.engine.assignment import FILE, INLINE, LATER, REF, Assignment, Source
from wfstore.engine.executor import Order
from wfstore.model.dag import ACTOR, NESTED, ORDER, WAIT
from wfstore.model.payload import PayloadRef
from wfstore.model.plan import source
from wfstore.model.state import TaskState, WorkflowState
from wfstore.payloads import PayloadStore, loads

_FUNCTION_LIMIT_BYTES = 16 * 1024
_CACHED_FUNCTIONS = 512
_NOTHING = Source(LATER, "")


class Values:
    """Outputs that live only as long as this manager: Ray objects of large ones, bytes of those that are not kept."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    def put(self, workflow_id: str, task_id: str, value: Any) -> None:
        self._values.setdefault(workflow_id, {})[task_id] = value

    def get(self, workflow_id: str, task_id: str) -> Any:
        return self._values.get(workflow_id, {}).get(task_id)

    def forget(self, workflow_id: str, keep: str | None = None) -> None:
        """Drop what a workflow holds, but for the output of task `keep`."""
        held = self._values.pop(workflow_id, None)
        if held is not None and keep is not None and keep in held:
            self._values[workflow_id] = {keep: held[keep]}


class Orders:
    """Builds orders for one manager."""

    def __init__(self, storage: str, store_id: str, manager: tuple[str, str, str, int], values: Values) -> None:
        self._storage = storage
        self._store_id = store_id
        self._manager = manager
        self._values = values
        self._payloads = PayloadStore(storage)
        self._functions: OrderedDict[str, bytes | None] = OrderedDict()
        self._environments: dict[tuple[str, ...], dict[str, Any]] = {}
        self.runtime_env: dict[str, Any] = {}
        self.most_bytes: Callable[[], int | None] = lambda: None

    def order(self, workflow: WorkflowState, task: TaskState) -> Order:
        """The order for the open attempt of `task`."""
        inputs: list[Any] = []
        sources = self._sources(workflow, task, inputs)
        options = task.options
        retry = options.retry_exceptions
        assignment = Assignment(
            workflow.workflow_id,
            task.open_run or workflow.run,
            task.task_id,
            task.open_attempt,
            self._storage,
            self._store_id,
            self._manager,
            task.function_hash,
            self._function(task.function_hash),
            None if task.args is None else place_of(task.args),
            sources,
            tuple(place_of(ref) for ref in task.shared),
            bool(options.catch_exceptions),
            options.checkpoint is not False,
            retry if isinstance(retry, bool) else place_of(retry),
            _leads_on(workflow, task),
            task.type,
            self._actor_call(workflow, task),
            options.interruptible,
            self._variables(workflow, task),
            self.most_bytes(),
        )
        environment = self._environment(workflow)
        # Somebody in a task waits for a workflow that was submitted there: it must not wait behind its like.
        nested = bool(workflow.driver.get("inside"))
        return Order(assignment, task.name, tuple(inputs), self._ray_options(task), environment, nested)

    @staticmethod
    def ready(workflow: WorkflowState, task: TaskState) -> bool:
        """Everything that the attempt needs is there: a wait may have been submitted before it was decided."""
        if task.type != WAIT:
            return True
        chosen = [task.upstream[position] for position in task.split or ()]
        return task.split is not None and all(workflow.tasks[workflow.tasks[name].root].resolved for name in chosen)

    def _sources(self, workflow: WorkflowState, task: TaskState, inputs: list[Any]) -> tuple[Source, ...]:
        sources = []
        for position, (task_id, kind) in enumerate(zip(task.upstream, task.kinds, strict=True)):
            if kind == ORDER:
                sources.append(_NOTHING)
            elif task.split is not None and position not in task.split:
                sources.append(Source(LATER, task_id))
            else:
                sources.append(self._source(workflow, task_id, kind == NESTED, task, inputs))
        return tuple(sources)

    @staticmethod
    def _actor_call(workflow: WorkflowState, task: TaskState) -> tuple[str, tuple[int, Any] | None] | None:
        if task.type != ACTOR:
            return None
        state = workflow.actor_state
        return task.facts["method"], None if state is None else place_of(state)

    def _source(
        self, workflow: WorkflowState, task_id: str, nested: bool, task: TaskState, inputs: list[Any]
    ) -> Source:
        end = source(workflow, workflow.tasks[task_id])
        ref = end.caught or end.output
        assert ref is not None, f"{task_id} has no output"
        if ref.data is not None:
            return Source(INLINE, ref.data, nested)
        held = self._values.get(workflow.workflow_id, end.task_id)
        if isinstance(held, bytes):
            return Source(INLINE, held, nested)
        # A second attempt may follow the loss of the object itself: it reads the file, if there is one.
        if held is None or (task.open_attempt > 1 and end.stored):
            return Source(FILE, ref.hash, nested)
        inputs.append([held] if nested else held)
        return Source(REF, len(inputs) - 1, nested)

    def _function(self, function_hash: str) -> bytes | None:
        """The body, read once; None when it is so large that each worker had better read it by itself."""
        if function_hash not in self._functions:
            data = self._payloads.get(function_hash)
            self._functions[function_hash] = data if len(data) <= _FUNCTION_LIMIT_BYTES else None
            if len(self._functions) > _CACHED_FUNCTIONS:
                self._functions.popitem(last=False)
        return self._functions[function_hash]

    def _ray_options(self, task: TaskState) -> dict[str, Any]:
        options = dict(task.options.ray_options)
        options.pop("name", None)
        pickled = task.options.ray_options_pickled
        if pickled is not None:
            options.update(loads(pickled.data if pickled.data is not None else self._payloads.get(pickled.hash)))
        return options

    def _variables(self, workflow: WorkflowState, task: TaskState) -> dict[str, str | None] | None:
        """What the manager's own environment variables have to be for this task: Ray lets every task that the manager
        submits inherit them from the driver that started it."""
        inherited = self.runtime_env.get("env_vars")
        if not inherited:
            return None
        theirs = (workflow.driver.get("runtime_env") or {}).get("env_vars", {})
        own = (task.options.ray_options.get("runtime_env") or {}).get("env_vars", {})
        return {name: own.get(name, theirs.get(name)) for name in inherited}

    def prepared(self, kept: Mapping[str, str]) -> bool:
        """These packages of a submitter are in this cluster, or known to be lost."""
        return tuple(sorted(kept)) in self._environments

    def prepare(self, runtime_env: dict[str, Any], kept: Mapping[str, str]) -> None:
        """Bring a submitter's packages into this cluster. Blocking; raises nothing: what is lost is left out, and the
        task that misses it says which module that is."""
        packages.restore(runtime_env, kept, self._payloads.get)
        self._environments[tuple(sorted(kept))] = packages.without_lost(runtime_env)

    def _environment(self, workflow: WorkflowState) -> dict[str, Any] | None:
        theirs = workflow.driver.get("runtime_env") or {}
        kept = workflow.driver.get("packages")
        if kept:
            theirs = self._environments.get(tuple(sorted(kept)), theirs)
        return None if theirs == self.runtime_env else dict(theirs)


def _leads_on(workflow: WorkflowState, task: TaskState) -> bool:
    """Its success will make another task ready that asks the same of Ray, or may be followed by another call."""
    if task.type == ACTOR:
        return True
    for task_id in workflow.tasks[task.root].downstream:
        dependent = workflow.tasks[task_id]
        if dependent.waiting == 1 and same_kind(task, dependent):
            return True
    return False


def same_kind(one: TaskState, other: TaskState) -> bool:
    """A worker leased for one may run the other."""
    pickled = one.options.ray_options_pickled or other.options.ray_options_pickled
    return pickled is None and one.options.ray_options == other.options.ray_options


def place_of(ref: PayloadRef) -> tuple[int, Any]:
    """Form and value of a payload, as in an assignment."""
    return (FILE, ref.hash) if ref.data is None else (INLINE, ref.data)
