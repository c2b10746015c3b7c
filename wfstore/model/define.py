"""Tasks enter a workflow: checks of what was given, ids, and the rows that define them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from wfstore.errors import InvalidCommandError
from wfstore.model import events as ev
from wfstore.model.dag import ACTOR, ARGUMENT, FUNCTION, ORDER, DagSpec, TaskOptions, TaskSpec
from wfstore.model.draft import Draft
from wfstore.model.events import Event
from wfstore.model.identity import Keys
from wfstore.model.payload import PayloadRef, payload_uri
from wfstore.model.state import TaskState, WorkflowState
from wfstore.model.statuses import PENDING
from wfstore.model.wire import dumps, options_to_json, ref_to_json

MAX_ID_LENGTH = 1024
#: A dict in a dict is one.
_MOST_LEVELS = 100
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def check_workflow_id(workflow_id: object) -> None:
    """Any text of up to 1,024 characters without control characters, but "." and "..", which no address can hold. Ids
    never become paths.

    Raises TypeError for what is no text, InvalidCommandError (a ValueError) else.
    """
    if not isinstance(workflow_id, str):
        raise TypeError("workflow_id has to be a string type.")
    if not workflow_id:
        raise InvalidCommandError("workflow_id is empty")
    if (length := str.__len__(workflow_id)) > MAX_ID_LENGTH:
        raise InvalidCommandError(
            f"workflow_id has {length:,} characters ({_shown(workflow_id)}); at most {MAX_ID_LENGTH:,} fit"
        )
    found = _FORBIDDEN.search(workflow_id)
    if found:
        raise InvalidCommandError(
            f"workflow_id {_shown(workflow_id)} contains {found.group()!r}; use printable characters"
        )
    if workflow_id in (".", ".."):
        raise InvalidCommandError(f"workflow_id {workflow_id!r} means a folder in every address; choose another")


def check_metadata(metadata: object) -> dict[str, Any] | None:
    """User metadata is a dict that JSON can hold. Returns what JSON gives back: a plain copy, whatever its class was.

    Raises InvalidCommandError (a ValueError) naming the key.
    """
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise InvalidCommandError("metadata must be a dict.")
    try:
        items = list(metadata.items())
    except (Exception, SystemExit) as error:  # of the user's own class
        raise InvalidCommandError(f"metadata must be a dict; its items raised {type(error).__name__}") from error
    plain: list[tuple[str, Any]] = []
    for key, value in items:
        try:
            text = json.dumps({key: value}, allow_nan=False, ensure_ascii=False)
            text.encode()
            said = json.loads(text, object_pairs_hook=_unique)
            if _deeper_than(_MOST_LEVELS, said):
                raise ValueError(f"more than {_MOST_LEVELS} levels")
            plain += said.items()
        except (TypeError, ValueError, RecursionError) as error:
            shown = _shown(key) if isinstance(key, str) else f"of type {type(key).__name__}"
            raise InvalidCommandError(
                f"metadata must be JSON serializable, instead, we got '{type(error).__name__}: {error}' "
                f"under the key {shown}"
            ) from None
    return _unique(plain)


def _shown(text: str) -> str:
    """As Python writes it, whatever its own class says, and not at any length."""
    return str.__repr__(text)[:60] + ("..." if str.__len__(text) > 58 else "")


def _deeper_than(levels: int, value: Any) -> bool:
    """Whoever pickles, writes or reads it has a stack of his own, which may end earlier than that of json here."""
    there = [value]
    for _ in range(levels + 1):
        there = [
            item
            for some in there
            if isinstance(some, dict | list)
            for item in (some.values() if isinstance(some, dict) else some)
        ]
        if not there:
            return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keys that JSON takes for one, as 1 and "1", would lose a value."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise InvalidCommandError(
            "metadata must be JSON serializable, and two of its keys are one and the same in JSON"
        )
    return made


class Names:
    """Gives ids to tasks: those of `workflow` are taken, and it counts on from there. `keys` gives their keys."""

    def __init__(self, workflow: WorkflowState | None = None) -> None:
        self.keys = Keys(workflow)
        self._tasks: Mapping[str, Any] = {} if workflow is None else workflow.tasks
        self._counted: Mapping[str, int] = {} if workflow is None else workflow.counters
        self._new: set[str] = set()
        self._counters: dict[str, int] = {}

    def give(self, name: str) -> str:
        count = self._counters.get(name, self._counted.get(name, 0))
        task_id = name if count == 0 else f"{name}_{count}"
        while task_id in self._new or task_id in self._tasks:
            count += 1
            task_id = f"{name}_{count}"
        self._counters[name] = count + 1
        self._new.add(task_id)
        return task_id

    def check(self, task_id: str) -> str:
        """Raises InvalidCommandError for an id that is no task's."""
        if task_id not in self._tasks:
            raise InvalidCommandError(f"the workflow has no task {task_id!r} to refer to")
        return task_id


def effective(options: TaskOptions, parent: TaskOptions | None, is_output: bool) -> TaskOptions:
    """What a task inherits from the one whose continuation made it: `checkpoint` always, catching only its output.

    Both as ray.workflow had it: a task that is not kept keeps none of its children's outputs either.
    """
    if parent is None:
        return options
    checkpoint = options.checkpoint
    if parent.checkpoint is False:
        checkpoint = False
    catch = options.catch_exceptions
    if is_output and catch is None and parent.catch_exceptions:
        catch = True
    if checkpoint == options.checkpoint and catch == options.catch_exceptions:
        return options
    return options._replace(checkpoint=checkpoint, catch_exceptions=catch)


def define(
    draft: Draft, dag: DagSpec, names: Names, creator: TaskState | None = None, after: str | None = None
) -> list[tuple[str, TaskSpec]]:
    """Add a row per task to `draft`; returns (task_id, spec with what it inherits) in the order of the DAG.

    creator: the task whose continuation it is. after: the last call of the virtual actor that this is a call of. Calls
    of an actor follow one another: each is ordered behind the one before.
    """
    specs: list[tuple[str, TaskSpec]] = []
    parent = None if creator is None else creator.options
    for position, given in enumerate(dag.tasks):
        is_output = position == dag.output
        options = effective(given.options, parent, is_output)
        if given.type == ACTOR and options.checkpoint is False:
            # Its state is committed: a method cannot run again, only because somebody needs its output once more.
            options = options._replace(checkpoint=None)
        spec = given if options is given.options else given._replace(options=options)
        upstream = [specs[i][0] if isinstance(i, int) else names.check(i) for i in spec.upstream]
        if spec.type == ACTOR and after is not None:
            spec = spec._replace(upstream=(*spec.upstream, after), kinds=(*spec.kinds, ORDER))
            upstream.append(after)
        task_id = names.give(spec.name)
        if spec.type == ACTOR:
            after = task_id
        specs.append((task_id, spec))
        made_by = None if creator is None else creator.task_id
        key = names.keys.give(task_id, spec, upstream, made_by)
        row = _row(draft, task_id, key, spec, upstream, made_by)
        draft.events.append(row)
    return specs


def _row(draft: Draft, task_id: str, key: str, spec: TaskSpec, upstream: list[str], creator: str | None) -> Event:
    args: PayloadRef | None = spec.args
    attributes: dict[str, Any] = {
        "function": spec.function,
        "key": None if key == spec.function else key,
        "code": spec.code,
        "upstream": upstream,
        "kinds": None if all(kind == ARGUMENT for kind in spec.kinds) else list(spec.kinds),
        "options": options_to_json(spec.options),
        "metadata": dict(spec.metadata),
        "creator": creator,
        "shared": [ref_to_json(ref) for ref in spec.shared],
        "args": None if args is None else args.hash,
        "type": None if spec.type == FUNCTION else spec.type,
        "facts": dict(spec.facts),
    }
    return Event(
        ts=draft.now,
        type=ev.TASK_DEFINED,
        workflow_id=draft.workflow_id,
        run=draft.run or None,
        task_id=task_id,
        status=PENDING,
        task_status=PENDING,
        name=spec.name,
        hash=spec.function_hash,
        bytes=None if args is None else args.bytes,
        uri=None if args is None or args.data is not None else payload_uri(args.hash),
        attributes=dumps(attributes),
        payload=None if args is None else args.data,
    )


def files_of(dag: DagSpec) -> set[str]:
    """Hashes of the payload files that the tasks need; empty text for a value that retention has removed."""
    refs = [ref for task in dag.tasks for ref in (task.args, task.options.ray_options_pickled, *task.shared) if ref]
    bodies = {task.function_hash for task in dag.tasks if task.type == FUNCTION and task.function_hash}
    return bodies | {ref.hash for ref in refs if ref.data is None}


def defined_again(workflow: WorkflowState) -> DagSpec:
    """The DAG as it was submitted: without what continuations added. Raises InvalidCommandError for a virtual actor."""
    if workflow.actor is not None:
        raise InvalidCommandError(f"{workflow.workflow_id!r} is a virtual actor; only workflows can be run again")
    tasks = [task for task in workflow.tasks.values() if task.creator is None]
    position = {task.task_id: index for index, task in enumerate(tasks)}
    specs = tuple(
        TaskSpec(
            task.name,
            task.function,
            task.function_hash,
            task.args,
            tuple(position[upstream_id] for upstream_id in task.upstream),
            tuple(task.kinds),
            tuple(task.shared),
            task.options,
            task.metadata,
            task.type,
            task.facts,
            task.code,
        )
        for task in tasks
    )
    return DagSpec(specs, position[workflow.output_task])
