"""Random legal histories: a manager without a cluster. Shared by the model's tests and by those of the SQL views."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import (
    Cancel,
    Command,
    Delete,
    Interrupt,
    Outcome,
    Place,
    RecordOutcome,
    RecordStarted,
    Resume,
    Submit,
)
from wfstore.model.dag import DagSpec, TaskOptions, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import State

T0 = 1_700_000_000_000_000


def ref(text: str = "x") -> PayloadRef:
    data = text.encode()
    return PayloadRef(f"{abs(hash(text)):064x}"[-64:], len(data), data)


def chain(length: int, **options: object) -> DagSpec:
    tasks = tuple(
        TaskSpec("f", "m.f", "00", None, (i - 1,) if i else (), ("argument",) if i else (), (), TaskOptions(**options))  # type: ignore[arg-type]
        for i in range(length)
    )
    return DagSpec(tasks, length - 1)


def random_dag(rng: random.Random, most: int = 6) -> DagSpec:
    tasks: list[TaskSpec] = []
    for position in range(rng.randint(1, most)):
        upstream = tuple(sorted(rng.sample(range(position), rng.randint(0, min(position, 3)))))
        options = TaskOptions(
            max_retries=rng.choice([0, 0, 1, 3]),
            catch_exceptions=rng.choice([None, None, True, False]),
            checkpoint=rng.choice([None, None, None, False, True]),
            ray_options=rng.choice([{}, {"num_cpus": 2}]),
        )
        name = rng.choice(["f", "g", "f_1"])
        tasks.append(
            TaskSpec(name, f"m.{name}", "ab", ref("args"), upstream, ("argument",) * len(upstream), (), options)
        )
    # What the output does not need would not be in the DAG: tie every loose end to the last task.
    used = {i for task in tasks for i in task.upstream}
    loose = tuple(i for i in range(len(tasks) - 1) if i not in used)
    last = tasks[-1]
    upstream = tuple(sorted({*last.upstream, *loose}))
    tasks[-1] = TaskSpec(
        last.name, last.function, last.function_hash, last.args, upstream, ("argument",) * len(upstream), (),
        last.options, {"k": 1},
    )  # fmt: skip
    return DagSpec(tuple(tasks), len(tasks) - 1)


@dataclass
class Simulation:
    """Commands go in, the log grows, the state follows."""

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    state: State = field(default_factory=State)
    log: list[Event] = field(default_factory=list)
    now: int = T0
    submitted: int = 0

    def do(self, command: Command) -> list[Event]:
        self.now += self.rng.randint(1, 5_000_000)
        events = decide(self.state, command, self.now)
        for event in events:
            self.append(event)
        return events

    def append(self, event: Event) -> None:
        event = event._replace(seq=len(self.log) + 1, epoch=1)
        self.log.append(event)
        apply(self.state, event)

    def open_attempts(self) -> list[tuple[str, int, str, int]]:
        return [
            (workflow.workflow_id, task.open_run or 0, task.task_id, task.open_attempt)
            for workflow in self.state.workflows.values()
            for task in workflow.open_attempts.values()
        ]

    def place(self) -> Place:
        return Place(self.now + self.rng.randint(0, 1000), "node", 7, "ray")

    def outcome(self, checkpoint: bool = True) -> Outcome:
        rng = self.rng
        ended = self.now + rng.randint(1000, 10_000)
        place = self.place() if rng.random() < 0.9 else None
        roll = rng.random()
        if roll < 0.6:
            return Outcome(True, ended, place, ref(rng.choice("abc")), checkpoint, "'a'")
        if roll < 0.75:
            return Outcome(True, ended, place, continuation=random_dag(rng, 3))
        kind = rng.choice(["app", "app", "system", "oom", "serialization"])
        return Outcome(
            False,
            ended,
            place,
            kind=kind,
            retryable=rng.random() < 0.5,
            error_type="E",
            error_message="m",
            error=ref("e"),
        )

    def step(self) -> list[Event]:
        """One random command; refused ones change nothing."""
        try:
            return self.do(self._random())
        except errors.WfstoreError:
            return []

    def _random(self) -> Command:
        rng = self.rng
        attempts = self.open_attempts()
        ids = [f"w{i}" for i in range(4)]
        roll = rng.random()
        if attempts and roll < 0.70:
            workflow_id, run, task_id, attempt = rng.choice(attempts)
            task = self.state.workflows[workflow_id].tasks[task_id]
            if rng.random() < 0.2:
                return RecordStarted(workflow_id, run, task_id, attempt, self.place())
            outcome = self.outcome(task.options.checkpoint is not False)
            return RecordOutcome(workflow_id, run, task_id, attempt, outcome)
        choice = rng.choice(["submit", "submit", "submit", "resume", "resume", "cancel", "delete", "interrupt"])
        workflow_id = rng.choice(ids)
        if choice == "submit":
            self.submitted += 1
            metadata = rng.choice([None, {}, {"name": "named", "n": self.submitted}])
            return Submit(workflow_id, random_dag(rng), metadata, {}, f"r{self.submitted}")
        if choice == "resume":
            return Resume(workflow_id)
        if choice == "interrupt":
            return Interrupt(workflow_id)
        return Cancel(workflow_id) if choice == "cancel" else Delete(workflow_id)


def random_history(seed: int, steps: int) -> Simulation:
    """A simulation after `steps` random commands, with limits on running and waiting workflows."""
    rng = random.Random(seed)
    simulation = Simulation(rng)
    running = rng.choice([None, 1, 2])
    limits = f'{{"max_running_workflows":{running or "null"},"max_pending_workflows":2}}'
    simulation.append(Event(ts=T0, type=ev.CONFIG_SET, attributes=limits))
    for _ in range(steps):
        simulation.step()
    return simulation
