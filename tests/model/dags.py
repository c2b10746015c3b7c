"""Random DAGs of every type of task, as the adapters of both generations could have built them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from wfstore.model.dag import (
    ACTOR,
    ARGUMENT,
    EVENT,
    EVENT_CHECKPOINTED,
    FUNCTION,
    NESTED,
    TIMER,
    WAIT,
    WAITED,
    DagSpec,
    RetryPolicy,
    TaskOptions,
    TaskSpec,
)
from wfstore.model.payload import PayloadRef

_DELAYS = RetryPolicy(4.0, 2.0, 0.1, 10.0)


def ref(text: str = "x") -> PayloadRef:
    data = text.encode()
    return PayloadRef(hashlib.sha256(data).hexdigest(), len(data), data)


def chain(length: int, **options: object) -> DagSpec:
    tasks = tuple(
        TaskSpec("f", "m.f", "00", None, (i - 1,) if i else (), ("argument",) if i else (), (), TaskOptions(**options))  # type: ignore[arg-type]
        for i in range(length)
    )
    return DagSpec(tasks, length - 1)


def actor_call(method: str, *before: TaskSpec, **options: object) -> DagSpec:
    """A method of a virtual actor; what is `before` it are its arguments."""
    upstream = tuple(range(len(before)))
    call = TaskSpec(
        method, f"m.Counter.{method}", "ac", None, upstream, (ARGUMENT,) * len(upstream), (),
        TaskOptions(**options), type=ACTOR, facts={"method": method},  # type: ignore[arg-type]
    )  # fmt: skip
    return DagSpec((*before, call), len(before))


def random_options(rng: random.Random) -> TaskOptions:
    return TaskOptions(
        max_retries=rng.choice([0, 0, 1, 3]),
        catch_exceptions=rng.choice([None, None, True, False]),
        checkpoint=rng.choice([None, None, None, False, True]),
        ray_options=rng.choice([{}, {"num_cpus": 2}]),
        retry=rng.choice([RetryPolicy(), _DELAYS]),
        timeout_s=rng.choice([None, None, 30.0]),
        interruptible=rng.random() < 0.1,
    )


class _Growing:
    """The tasks of a DAG so far, and which of them have a method of an actor upstream: no wait may choose among those,
    as a method must have ended before the actor's next call begins."""

    def __init__(self, rng: random.Random, refs: Sequence[str], actor: bool) -> None:
        self.rng = rng
        self.refs = refs
        self.actor = actor
        self.tasks: list[TaskSpec] = []
        self.methods: set[int | str] = set()

    def add(self, type_: str, upstream: tuple[int | str, ...], **facts: object) -> int:
        rng = self.rng
        name = {FUNCTION: rng.choice(["f", "g", "f_1"]), ACTOR: "incr"}.get(type_, type_)
        kinds = tuple(WAITED if type_ == WAIT else rng.choice([ARGUMENT, ARGUMENT, NESTED]) for _ in upstream)
        position = len(self.tasks)
        options = random_options(rng)
        self.tasks.append(
            TaskSpec(name, f"m.{name}", "ab", ref("args"), upstream, kinds, (), options, {"k": 1}, type_, facts)
        )
        if type_ == ACTOR or self.methods & set(upstream):
            self.methods.add(position)
        return position

    def some_upstream(self, most: int = 3) -> tuple[int | str, ...]:
        rng = self.rng
        count = len(self.tasks)
        chosen: tuple[int | str, ...] = tuple(sorted(rng.sample(range(count), rng.randint(0, min(count, most)))))
        return (*chosen, rng.choice(self.refs)) if self.refs and rng.random() < 0.4 else chosen

    def grow(self) -> None:
        rng = self.rng
        roll = rng.random()
        if roll < 0.10:
            self.add(TIMER, self.some_upstream(1), delay_s=rng.choice([0.0, 3.0, 20.0]))
        elif roll < 0.18:
            self.add(EVENT_CHECKPOINTED, (self.add(EVENT, self.some_upstream(1)),))
        elif roll < 0.34 and (choices := [*range(len(self.tasks)), *self.refs]):
            among = [item for item in rng.choices(choices, k=rng.randint(1, 3)) if item not in self.methods]
            if among:
                wanted = rng.randint(1, len(among))
                timeout_s = rng.choice([None, None, 0.0, 5.0])
                facts = {} if timeout_s is None else {"timeout_s": timeout_s}
                self.add(WAIT, tuple(among), num_returns=wanted, **facts)
        else:
            self.add(ACTOR if self.actor and roll < 0.75 else FUNCTION, self.some_upstream())

    def tie(self) -> DagSpec:
        """What the output does not need would not be in the DAG: one more task takes every loose end."""
        used = {item for task in self.tasks for item in task.upstream}
        loose = tuple(position for position in range(len(self.tasks)) if position not in used)
        if len(loose) != 1 and self.rng.random() < 0.3:
            self.add(TIMER, loose, delay_s=3.0)
        elif len(loose) != 1:
            self.add(FUNCTION, loose)
        return DagSpec(tuple(self.tasks), len(self.tasks) - 1)


def random_dag(rng: random.Random, most: int = 6, refs: Sequence[str] = (), actor: bool = False) -> DagSpec:
    """refs: tasks that the workflow has already and a value of this DAG's creator refers to; actor: with methods."""
    growing = _Growing(rng, refs, actor)
    for _ in range(rng.randint(1, most)):
        growing.grow()
    return growing.tie()
