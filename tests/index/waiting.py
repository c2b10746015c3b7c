"""Worlds of tasks that are no plain functions: timers, waits, retries that wait, and a virtual actor."""

from __future__ import annotations

import pickle
from typing import Any

from tests.index.worlds import World, dag, spec
from tests.model.histories import actor_call, ref
from wfstore.model.commands import CallActor, Outcome, RecordOutcome, RecordRead, Submit
from wfstore.model.dag import TIMER, WAIT, WAITED, DagSpec, RetryPolicy, TaskSpec
from wfstore.model.payload import PayloadRef
from wfstore.payloads import hash_of

#: Microseconds that every timer of these worlds takes.
DELAY_US = 60_000_000


def payload(value: object) -> PayloadRef:
    data = pickle.dumps(value)
    return PayloadRef(hash_of(data), len(data), data)


def timer(name: str) -> TaskSpec:
    return TaskSpec(name, "sleep", "ab", type=TIMER, facts={"delay_s": DELAY_US / 1e6})


def wait_for(*upstream: int, num_returns: int = 1) -> TaskSpec:
    kinds = (WAITED,) * len(upstream)
    return TaskSpec("wait", "wait", "ab", ref("w"), upstream, kinds, type=WAIT, facts={"num_returns": num_returns})


def slow_retry(name: str, *upstream: int) -> TaskSpec:
    return spec(name, *upstream, max_retries=2, retry=RetryPolicy(30.0, jitter=0.0))


def timed(world: World, workflow_id: str = "timed") -> None:
    """A function and a timer, a wait for the first of both, and what comes after; the function and the wait are done,
    the timer (which nobody needs any more) was given up."""
    world.submit(workflow_id, dag(spec("a"), timer("nap"), wait_for(0, 1), spec("after", 2)))
    world.end("a", workflow_id)
    world.end("wait", workflow_id, output=payload((["a"], ["nap"])))


class Counter:
    """The virtual actor `c`: it is called, and its calls end, as a test says."""

    def __init__(self, world: World, actor_id: str = "c") -> None:
        self.world = world
        self.actor_id = actor_id
        self.calls = 0
        world.do(Submit(actor_id, actor_call("__init__"), None, {}, "create", actor=("shop.Counter", "ac")))
        self.end("__init__", None, 0)

    def call(self, method: str = "incr", **options: Any) -> str:
        """The id of the call's task."""
        self.calls += 1
        self.world.do(CallActor(self.actor_id, actor_call(method, **options), {}, f"call {self.calls}"))
        task = self.world.simulation.state.workflows[self.actor_id].last_call
        assert task is not None
        return task

    def end(self, task_id: str, value: object, state: object) -> None:
        self.world.end(task_id, self.actor_id, output=payload(value), state=payload(state))

    def returns(self, task_id: str, continuation: DagSpec, state: object) -> None:
        """The method changes the state and returns a workflow."""
        more = {"output": None, "continuation": continuation, "state": payload(state)}
        self.world.end(task_id, self.actor_id, **more)

    def read(self, method: str = "value", error: str | None = None) -> None:
        ended = self.world.simulation.now
        why = (None, None) if error is None else (error, "no")
        self.world.do(RecordRead(self.actor_id, method, ended, 0.25, "job-1", *why))


def lost_worker(world: World, task_id: str) -> None:
    (found,) = [opened for opened in world.simulation.open_attempts() if opened[2] == task_id]
    failed = Outcome(False, world.simulation.now, kind="system", error_type="WorkerDied", error_message="it died")
    world.do(RecordOutcome(*found, failed._replace(stdout="out\n", stderr="err\n")))
