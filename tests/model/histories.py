"""Random legal histories: a manager without a cluster. Shared by the model's tests and by those of the SQL views."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.model.dags import actor_call, chain, random_dag, random_options, ref
from wfstore import errors
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import (
    AwaitEvent,
    CallActor,
    Cancel,
    Command,
    Delete,
    Expire,
    Fire,
    Interrupt,
    Outcome,
    Place,
    RecordOutcome,
    RecordProgress,
    RecordRead,
    RecordStarted,
    Resume,
    SendEvent,
    Submit,
)
from wfstore.model.dag import ACTOR, EVENT, TIMER, WAIT, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.model.progress import Progress, checked
from wfstore.model.state import State, TaskState, WorkflowState

__all__ = ["T0", "Simulation", "actor_call", "chain", "random_dag", "random_history", "ref"]

T0 = 1_700_000_000_000_000
_WORKFLOWS = ("w0", "w1", "w2", "w3")
_ACTORS = ("a0", "a1")
_EVENT_KEYS = ("go", "stop")

AttemptKey = tuple[str, int, str, int]


@dataclass
class Simulation:
    """Commands go in, the log grows, the state follows.

    alarms: what the manager has to do at a time, as the events said it; choices: attempts at waits that have chosen;
    others: chances of those who send events and wait for them
    """

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    state: State = field(default_factory=State)
    log: list[Event] = field(default_factory=list)
    now: int = T0
    submitted: int = 0
    alarms: list[tuple[int, Fire | Expire]] = field(default_factory=list)
    choices: set[AttemptKey] = field(default_factory=set)
    done: list[Command] = field(default_factory=list)
    others: random.Random = field(default_factory=lambda: random.Random(0))

    def do(self, command: Command) -> list[Event]:
        self.now += self.rng.randint(1, 5_000_000)
        events = decide(self.state, command, self.now)
        for event in events:
            self.append(event)
        if events:
            self.done.append(command)
        return events

    def append(self, event: Event) -> None:
        event = event._replace(seq=len(self.log) + 1, epoch=1)
        self.log.append(event)
        apply(self.state, event)
        key = (event.workflow_id or "", event.run or 0, event.task_id or "", event.attempt or 0)
        if event.type == ev.WAIT_DECIDED:
            self.choices.add(key)
        elif event.type in (ev.TIMER_STARTED, ev.ATTEMPT_RETRY_SCHEDULED):
            due_at = event.attribute("due_at")
            if due_at is not None:
                self.alarms.append((due_at, Fire(*key)))
        elif event.type == ev.WORKFLOW_STARTED:
            deadline_at = event.attribute("deadline_at")
            if deadline_at is not None:
                self.alarms.append((deadline_at, Expire(*key[:2])))
        elif event.type == ev.WORKFLOW_DELETED:
            self.done = [command for command in self.done if command.workflow_id != event.workflow_id]

    def open_attempts(self) -> list[AttemptKey]:
        return [
            (workflow.workflow_id, task.open_run or 0, task.task_id, task.open_attempt)
            for workflow in self.state.workflows.values()
            for task in workflow.open_attempts.values()
        ]

    def reportable(self) -> list[AttemptKey]:
        """Attempts that a worker or a listener may report about now."""

        def may(key: AttemptKey) -> bool:
            task = self.state.workflows[key[0]].tasks[key[2]]
            return task.type != TIMER and (task.type != WAIT or key in self.choices)

        return [key for key in self.open_attempts() if may(key)]

    def ring(self, until: int | None = None) -> list[Event]:
        """Do what is due by `until` (default: now), in the order in which it is due."""
        self.now = max(self.now, until or 0)
        due = sorted((alarm for alarm in self.alarms if alarm[0] <= self.now), key=lambda alarm: alarm[0])
        self.alarms = [alarm for alarm in self.alarms if alarm[0] > self.now]
        return [event for _, command in due for event in self.do(command)]

    def crash(self) -> list[Event]:
        """The manager is gone with all its attempts and alarms; the next one says so."""
        self.alarms.clear()
        active = [w.workflow_id for w in self.state.workflows.values() if w.status in ("RUNNING", "PENDING")]
        left = [w.workflow_id for w in self.state.workflows.values() if w.open_attempts]
        return [event for workflow_id in dict.fromkeys([*active, *left]) for event in self.do(Interrupt(workflow_id))]

    def place(self) -> Place:
        return Place(self.now + self.rng.randint(0, 1000), "node", 7, "ray")

    def progress(self) -> Progress:
        fraction = self.rng.choice([0, 1, self.rng.random()])
        metrics = self.rng.choice([{}, {"loss": self.rng.random() / 1e7, "epoch": 3, "best": True, "note": None}])
        return checked(fraction, self.rng.choice([None, 'so "far"']), metrics)

    def outcome(self, workflow: WorkflowState, task: TaskState) -> Outcome:
        rng = self.rng
        ended = self.now + rng.randint(1000, 10_000)
        place = self.place() if rng.random() < 0.9 else None
        roll = rng.random()
        state = ref(f"state {len(self.log)}") if task.type == ACTOR else None
        said = self.progress() if rng.random() < 0.3 else None
        if roll < 0.6:
            kept = task.options.checkpoint is not False
            return Outcome(True, ended, place, ref(rng.choice("abc")), kept, "'a'", state=state, progress=said)
        if roll < 0.75:
            more = random_dag(rng, 3, left_over(workflow, task), task.type == ACTOR)
            return Outcome(True, ended, place, continuation=more, state=state)
        kind = rng.choice(["app", "app", "system", "oom", "serialization", "timeout", "lost"])
        retryable = rng.random() < 0.5
        return Outcome(
            False,
            ended,
            place,
            kind=kind,
            retryable=retryable,
            error_type="E",
            error_message="m",
            error=ref("e"),
            progress=said,
        )

    def step(self) -> list[Event]:
        """Something random happens; commands that are refused change nothing."""
        exchanged = self._exchange() if self.others.random() < 0.25 else []
        roll = self.rng.random()
        try:
            if roll < 0.08:
                return exchanged + self.ring()
            return exchanged + (self.crash() if roll < 0.10 else self.do(self._random()))
        except errors.WfstoreError:
            return exchanged

    def _exchange(self) -> list[Event]:
        """Somebody sends an event, or a listener waits for one. By chances of its own: so much else goes as it would
        without."""
        rng = self.others
        waiting = [key for key in self.open_attempts() if self.state.workflows[key[0]].tasks[key[2]].type == EVENT]
        command: Command
        if waiting and rng.random() < 0.6:
            command = AwaitEvent(*rng.choice(waiting), rng.choice(_EVENT_KEYS))
        else:
            request = f"s{rng.randint(1, 40)}"
            command = SendEvent(rng.choice(_WORKFLOWS + _ACTORS), rng.choice(_EVENT_KEYS), ref(request), request)
        try:
            events = decide(self.state, command, self.now)
        except errors.WfstoreError:
            return []
        for event in events:
            self.append(event)
        return events

    def duplicate(self) -> Command | None:
        """A command that had its effect in this life of its workflow, and may be given again by a retry."""
        again = [c for c in self.done if isinstance(c, _ONCE) or getattr(c, "request_id", None) is not None]
        return self.rng.choice(again) if again else None

    def _random(self) -> Command:
        rng = self.rng
        attempts = self.reportable()
        roll = rng.random()
        if attempts and roll < 0.72:
            workflow_id, run, task_id, attempt = rng.choice(attempts)
            roll = rng.random()
            if roll < 0.2:
                return RecordStarted(workflow_id, run, task_id, attempt, self.place())
            if roll < 0.35:
                place = self.place() if rng.random() < 0.5 else None
                return RecordProgress(workflow_id, run, task_id, attempt, self.progress(), place)
            workflow = self.state.workflows[workflow_id]
            return RecordOutcome(workflow_id, run, task_id, attempt, self.outcome(workflow, workflow.tasks[task_id]))
        if roll < 0.76 and (again := self.duplicate()) is not None:
            return again
        return self._asked()

    def _asked(self) -> Command:
        """What a user may ask for."""
        rng = self.rng
        self.submitted += 1
        request = f"r{self.submitted}"
        choice = rng.choice(["submit"] * 4 + ["actor"] * 3 + ["resume"] * 3 + ["cancel", "delete"])
        workflow_id = rng.choice(_WORKFLOWS + _ACTORS)
        if choice == "submit":
            metadata = rng.choice([None, {}, {"name": "named", "n": self.submitted}])
            timeout_s = rng.choice([None, None, 25.0])
            return Submit(rng.choice(_WORKFLOWS), random_dag(rng), metadata, {}, request, timeout_s=timeout_s)
        if choice == "actor":
            return self._actor(rng.choice(_ACTORS), request)
        if choice == "resume":
            return Resume(workflow_id, request, functions=rng.choice([(), (("ab", "cd", "c0de"),)]))
        return Cancel(workflow_id, request) if choice == "cancel" else Delete(workflow_id, request)

    def _actor(self, workflow_id: str, request: str) -> Command:
        rng = self.rng
        if workflow_id not in self.state.workflows or rng.random() < 0.1:
            return Submit(workflow_id, actor_call("__init__"), None, {}, request, actor=("m.Counter", "ab"))
        if rng.random() < 0.1:
            return RecordRead(workflow_id, "value", self.now, 0.1, "job")
        before = [TaskSpec("f", "m.f", "ab", options=random_options(rng))] if rng.random() < 0.3 else []
        retries = rng.choice([0, 1])
        caught = rng.choice([None, None, True])
        return CallActor(
            workflow_id, actor_call("incr", *before, max_retries=retries, catch_exceptions=caught), {}, request
        )


#: Commands that name the one thing that they end, so that they need no request id.
_ONCE = (Fire, Expire, RecordStarted, RecordOutcome)


def left_over(workflow: WorkflowState, task: TaskState) -> list[str]:
    """Tasks that `task` may refer to: those that a wait before it has given it as remaining ones."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    walk = [task]
    while walk:
        above = walk.pop()
        if above.type == WAIT:
            found.update(dict.fromkeys(above.upstream))
        names = [*above.upstream, *([above.creator] if above.creator else [])]
        walk += [workflow.tasks[name] for name in names if name not in seen]
        seen.update(names)
    return list(found)


def random_history(seed: int, steps: int) -> Simulation:
    """A simulation after `steps` random commands, with limits on running and waiting workflows."""
    rng = random.Random(seed)
    simulation = Simulation(rng, others=random.Random(seed + 1))
    running = rng.choice([None, 1, 2])
    limits = f'{{"max_running_workflows":{running or "null"},"max_pending_workflows":2}}'
    simulation.append(Event(ts=T0, type=ev.CONFIG_SET, attributes=limits))
    for _ in range(steps):
        simulation.step()
    return simulation
