"""The workflows of an imaginary company for `generate.py`: names, DAGs, and what their tasks take and return."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from wfstore.model.dag import TIMER, DagSpec, RetryPolicy, TaskOptions, TaskSpec
from wfstore.model.payload import PayloadRef
from wfstore.payloads import Upstream, hash_of

#: Values of tasks that keep theirs: so many integers from here on, all of nine digits.
FIRST_VALUE, VALUES = 100_000_000, 900_000_000

# fmt: off
_VERBS = [
    "load", "parse", "clean", "join", "score", "train", "merge", "render", "upload", "notify", "check", "split",
    "fetch", "index", "rank", "audit", "convert", "sample", "match", "export", "label", "embed", "dedupe", "pack",
    "verify", "route", "price", "forecast", "resize", "crop", "detect", "align", "trim", "count", "encode", "sign",
    "archive", "publish", "compare", "validate",
]
# fmt: on
# fmt: off
_SUBJECTS = [
    "orders", "invoices", "events", "images", "genomes", "clicks", "payments", "sensors", "reports", "users", "logs",
    "prices", "maps", "models", "documents", "tickets", "routes", "claims", "scans", "feeds",
]
# fmt: on
#: Some verbs are far more frequent than others.
_RANKS = [1 / (rank + 1) for rank in range(len(_VERBS))]


@dataclass(frozen=True)
class Kind:
    """One of the workflows that the generated company runs: name, DAG and what its tasks take.

    medians: seconds, by task name; big, gone: names of tasks whose outputs are payload files, or are not kept
    """

    name: str
    dag: DagSpec
    medians: dict[str, float]
    big: dict[str, PayloadRef] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    dynamic: DagSpec | None = None
    dynamic_task: str = ""


def kinds(rng: random.Random, files: list[PayloadRef], bodies: Callable[[str], str], count: int = 40) -> list[Kind]:
    """The most frequent one first. files: large outputs to choose from; bodies: hash of a function by its name."""
    names = [f"{subject}.{verb}" for subject in _SUBJECTS for verb in _VERBS[:12]]
    rng.shuffle(names)
    return [_Plan(rng, name.partition(".")[0], bodies).kind(name, files) for name in names[:count]]


class _Plan:
    """One DAG in the making."""

    def __init__(self, rng: random.Random, subject: str, bodies: Callable[[str], str]) -> None:
        self._rng, self._subject, self._bodies = rng, subject, bodies
        self._tasks: list[TaskSpec] = []
        self._names = [f"{subject}.{verb}" for verb in rng.choices(_VERBS, _RANKS, k=12)]
        different = sorted(set(self._names))
        self._gone = frozenset(rng.sample(different, k=min(2, len(different) - 1)))

    def kind(self, name: str, files: list[PayloadRef]) -> Kind:
        """A chain; in some a timer, a fan, and a task at the end that returns a continuation."""
        rng = self._rng
        last = self._add(self._names[0])
        if rng.random() < 0.12:
            last = self._timer(last)
        for task_name in self._names[1 : rng.choice((1, 2, 2, 3, 3, 4))]:
            last = self._add(task_name, last)
        if rng.random() < 0.2:
            catches = rng.random() < 0.4
            mapped = [self._add(self._names[10], last, catches=catches) for _ in range(rng.choice((2, 2, 3, 4, 12)))]
            last = self._add(self._names[11], *mapped)
        if self._tasks[last].name in self._gone:  # what the workflow returns is kept
            last = self._add(f"{self._subject}.finish", last)
        dynamic = self._continuation() if rng.random() < 0.2 else None
        dynamic_task = f"{self._subject}.plan" if dynamic else ""
        if dynamic:
            last = self._add(dynamic_task, last)
        specs = [*self._tasks, *(dynamic.tasks if dynamic else ())]
        medians = {spec.name: rng.lognormvariate(0.0, 2.0) for spec in specs}
        plain = [spec.name for spec in self._tasks if spec.name not in self._gone and spec.name != dynamic_task]
        big = {task_name: rng.choice(files) for task_name in plain if rng.random() < 0.1}
        return Kind(name, DagSpec(tuple(self._tasks), last), medians, big, self._gone, dynamic, dynamic_task)

    def _add(self, name: str, *upstream: int, catches: bool = False) -> int:
        options = TaskOptions(
            retry_exceptions=True,
            catch_exceptions=catches or None,
            checkpoint=False if name in self._gone else None,
            retry=RetryPolicy(delay_s=30.0) if self._rng.random() < 0.2 else RetryPolicy(),
        )
        self._tasks.append(self._spec(name, upstream)._replace(options=options))
        return len(self._tasks) - 1

    def _spec(self, name: str, upstream: tuple[int, ...]) -> TaskSpec:
        kinds_ = ("argument",) * len(upstream)
        return TaskSpec(name, name, self._bodies(name), pickled_args(len(upstream)), upstream, kinds_)

    def _timer(self, upstream: int) -> int:
        facts = {"delay_s": self._rng.choice((5.0, 60.0, 600.0))}
        spec = TaskSpec("sleep", "wfstore.sleep", "", None, (upstream,), ("order",), type=TIMER, facts=facts)
        self._tasks.append(spec)
        return len(self._tasks) - 1

    def _continuation(self) -> DagSpec:
        """Some tasks at once, and one that takes what they return."""
        width = self._rng.choice((2, 3, 5, 8))
        parts = [self._spec(f"{self._subject}.part", ()) for _ in range(width)]
        return DagSpec((*parts, self._spec(f"{self._subject}.total", tuple(range(width)))), width)


def pickled_args(upstream: int) -> PayloadRef:
    """A task's arguments: outputs of as many tasks; without them one integer that differs between workflows."""
    if upstream:
        data = pickle.dumps((tuple(Upstream(position) for position in range(upstream)), {}), 5)
        return PayloadRef(hash_of(data), len(data), data)
    data = pickle.dumps(((FIRST_VALUE,), {}), 5)
    return PayloadRef("A" * 64, len(data), data)
