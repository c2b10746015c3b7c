"""Workflows for `generate.py`: what may happen to one, decided by the model itself, with times and values left open.

A script is the life of one workflow from its submission to its end: `wfstore.model.decide` is given commands at marked
times, so every row is one that a manager could have written. Its clocks say how the marks become real times.
"""

from __future__ import annotations

import heapq
import itertools
import pickle
import random
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.kinds import FIRST_VALUE, Kind
from wfstore.model.apply import apply
from wfstore.model.commands import (
    Cancel,
    Command,
    Fire,
    Interrupt,
    Outcome,
    Place,
    RecordOutcome,
    RecordStarted,
    Resume,
    Submit,
)
from wfstore.model.dag import TIMER
from wfstore.model.decide import decide
from wfstore.model.events import ATTEMPT_RETRY_SCHEDULED, ATTEMPT_SUBMITTED, TIMER_STARTED, Event
from wfstore.model.payload import PayloadRef
from wfstore.model.state import State, TaskState, WorkflowState
from wfstore.payloads import hash_of

#: Time number k stands as MARK + k * STEP; what exceeds it is a delay that a row says in advance.
MARK, STEP = 2_000_000_000_000_000, 10_000_000_000
#: The kinds of clocks. SUBMIT: given. MANAGER: it acts, after `base` and after the clock before. DUE: `base` + seconds.
#: START: a worker begins after `base`. END: user code of the median length `seconds` ends. USER: somebody asks, later.
SUBMIT, MANAGER, DUE, START, END, USER = range(6)

#: The number in a message differs from one failure to the next.
_ERRORS = (
    (ValueError, "could not convert string to float: 'n/a' (row %s)"),
    (KeyError, "customer_id"),
    (TimeoutError, "no answer to request %s within 30 s"),
)
#: Ray names a task by eight bytes of its own, no actor, and the job.
_NO_ACTOR = "f" * 24
#: Medians of what a worker spends beside user code. Six decimals, as they stand in rows: copies get others.
_FETCH_S, _CHECKPOINT_S, _CHECKPOINT_FILE_S = 0.000101, 0.000151, 0.012001
_TRACEBACK = "Traceback (most recent call last):\n" + "".join(
    f'  File "/srv/app/pipeline/{name}.py", line {line}, in {name}\n    return {name}(rows, **options)\n'
    for name, line in (("run", 88), ("step", 131), ("transform", 27))
)


class Clock(NamedTuple):
    """One time of a script. base: number of the clock that it follows; group: ENDs of alike attempts that ran side by
    side; their lengths are drawn together and given out in order."""

    kind: int
    base: int = 0
    seconds: float = 0.0
    group: int = -1


@dataclass(frozen=True)
class Script:
    """weight: how often it happens, beside all others; events: its rows with marks in them; status: in the end"""

    kind: Kind
    fate: str
    weight: float
    events: list[Event]
    clocks: list[Clock]
    status: str
    tasks: int
    attempts: int
    retries: int
    runs: int


def _failure(number: int, which: int, ended_at: int, place: Place, retryable: bool) -> Outcome:
    """User code raised; `number` marks what is different in each copy."""
    type_, text = _ERRORS[which]
    error = type_(text % f"E{number:05d}" if "%" in text else text)
    data = pickle.dumps((None, error), 5)
    said = "".join(traceback.format_exception_only(error))
    return Outcome(
        False,
        ended_at,
        place,
        kind="app",
        retryable=retryable,
        error_type=type_.__name__,
        error_message=str(error),
        traceback=_TRACEBACK + said,
        error=PayloadRef(f"F{number:063d}" if "%" in text else hash_of(data), len(data), data),
        fetch_s=_FETCH_S,
    )


# -- one life ---------------------------------------------------------------------------------------------------------


class _Life:
    """One workflow under way. Estimates of all times decide what happens first; real times are drawn for each copy."""

    def __init__(self, kind: Kind, fate: str, rng: random.Random) -> None:
        self.kind, self.rng = kind, rng
        self.state = State()
        self.events: list[Event] = []
        self.clocks = [Clock(SUBMIT)]
        self.estimates = [0.0]
        self.workflow_id = f"{kind.name}-#########"
        self._turn = itertools.count()
        self._todo: list[tuple[float, int, Callable[[], int], Command]] = []
        self._groups: dict[tuple[int, str], int] = {}
        self._count = itertools.count()
        self._last = 0
        self._fate = fate
        self._struck = ""
        self._retried = False

    @property
    def workflow(self) -> WorkflowState:
        return self.state.workflows[self.workflow_id]

    def live(self) -> None:
        metadata = {"name": self.kind.name, "batch": "B00000"}
        driver = {"job_id": "J0000000", "runtime_env": {}}
        submit = Submit(self.workflow_id, self.kind.dag, metadata, driver, self._request(), "scheduler")
        self._do(0, submit)
        if self._fate in ("canceled", "interrupted"):
            self._strike()
        self._work()
        if self._fate in ("resumed", "interrupted"):
            later = self._asked(5400.0 if self._fate == "resumed" else 20.0)
            self._fate = "plain"
            self._do(later, Resume(self.workflow_id, self._request(), "operator"))
            self._work()

    def _request(self) -> str:
        return f"Q{next(self._count):031d}"

    def _strike(self) -> None:
        """What comes from outside, in the middle of it."""
        canceled = self._fate == "canceled"
        command = Cancel(self.workflow_id, by="operator") if canceled else Interrupt(self.workflow_id)
        delay_s = 0.4 * self.kind.medians[self.kind.dag.tasks[0].name]
        heapq.heappush(self._todo, (delay_s, next(self._turn), lambda: self._asked(delay_s), command))

    def _work(self) -> None:
        while self._todo:
            _, _, clock, command = heapq.heappop(self._todo)
            self._do(clock(), command)

    def _clock(self, kind: int, base: int, seconds: float = 0.0, group: int = -1) -> int:
        self.clocks.append(Clock(kind, base, seconds, group))
        spread = self.rng.lognormvariate(0, 0.5) if kind == END else 1.0
        self.estimates.append(self.estimates[base] + 0.002 + seconds * spread)
        return len(self.clocks) - 1

    def _asked(self, seconds: float) -> int:
        return self._clock(USER, self._last, seconds)

    def _do(self, clock: int, command: Command) -> None:
        self._last = clock
        for event in decide(self.state, command, mark(clock)):
            self.events.append(event)
            apply(self.state, event)
            if event.type == ATTEMPT_SUBMITTED:
                self._begin(clock, self.workflow.tasks[event.task_id or ""])
            elif event.type in (TIMER_STARTED, ATTEMPT_RETRY_SCHEDULED):
                self._wait(clock, event)

    def _later(self, trigger: int, command: Command) -> None:
        when = self.estimates[trigger]
        heapq.heappush(self._todo, (when, next(self._turn), lambda: self._clock(MANAGER, trigger), command))

    def _wait(self, clock: int, event: Event) -> None:
        due_at = event.attribute("due_at")
        if due_at is None:
            return
        command = Fire(self.workflow_id, event.run or 0, event.task_id or "", event.attempt or 0)
        self._later(self._clock(DUE, clock, (due_at - mark(clock)) / 1e6), command)

    def _begin(self, clock: int, task: TaskState) -> None:
        """A worker has got an attempt: when it will begin and end, and how."""
        if task.type == TIMER:
            return
        number, median = next(self._count), self.kind.medians.get(task.name, 1.0)
        key = (self.workflow_id, self.workflow.run, task.task_id, task.attempt)
        start = self._clock(START, clock)
        group = self._groups.setdefault((clock, task.name), len(self._groups))
        end = self._clock(END, start, median, group)
        place = Place(mark(start), f"N{number:055d}", 1_000_000 + number, f"R{number:015d}{_NO_ACTOR}J0000000")
        if median > 0.2:
            self._later(start, RecordStarted(*key, place))
        outcome = self._outcome(task, number, mark(end), place)
        self._later(end, RecordOutcome(*key, outcome))

    def _outcome(self, task: TaskState, number: int, ended_at: int, place: Place) -> Outcome:
        if (kind := self._fails(task)) is not None:
            if kind == "system":
                lost = "the worker died unexpectedly"
                return Outcome(False, ended_at, place, kind=kind, error_type="WorkerCrashedError", error_message=lost)
            which = self.rng.randrange(len(_ERRORS))
            return _failure(number, which, ended_at, place, retryable=kind == "retryable")
        if task.name == self.kind.dynamic_task:
            return Outcome(True, ended_at, place, continuation=self.kind.dynamic, fetch_s=_FETCH_S)
        stored, shown, checkpoint_s = True, "<Table>", _CHECKPOINT_FILE_S
        if task.name in self.kind.gone:
            output, stored, checkpoint_s = PayloadRef(f"G{number:063d}", number), False, _CHECKPOINT_S
        elif task.name in self.kind.big:
            output = self.kind.big[task.name]
        else:
            data = pickle.dumps(FIRST_VALUE, 5)
            output = PayloadRef(f"H{number:063d}", len(data), data)
            shown, checkpoint_s = f"V{number:08d}", _CHECKPOINT_S
        return Outcome(True, ended_at, place, output, stored, shown, fetch_s=_FETCH_S, checkpoint_s=checkpoint_s)

    def _names(self, catching: bool) -> list[str]:
        functions = [spec for spec in self.kind.dag.tasks if spec.type != TIMER]
        return [spec.name for spec in functions if bool(spec.options.catch_exceptions) == catching]

    def _fails(self, task: TaskState) -> str | None:
        """How this attempt fails: "retryable", "system", "app" (for good); None: it does not."""
        run = self.workflow.run
        if self._fate in ("failed", "resumed") and run == 1:
            self._struck = self._struck or self.rng.choice(self._names(catching=False))
            return "app" if task.name == self._struck else None
        if self._fate == "caught" and not self._struck and task.name in self._names(catching=True):
            self._struck = task.name
            return "app"
        # The first task, so that it happens at all, and now and then another one.
        if self._fate == "retried" and task.attempt == 1 and (not self._retried or self.rng.random() < 0.05):
            self._retried = True
            return self.rng.choice(("retryable", "retryable", "system"))
        return None


def mark(clock: int) -> int:
    return MARK + clock * STEP


#: How often something other than success happens to a workflow; the rest goes well, some of it after retries.
_FATES = {"failed": 0.014, "resumed": 0.006, "canceled": 0.003, "interrupted": 0.003}
_RETRY_RATE = 0.03


def scripts(found: list[Kind], rng: random.Random) -> Iterator[Script]:
    """Lives of all kinds. Frequencies of kinds follow Zipf's law; 2 % fail, and 3 % of attempts are tried again."""
    for rank, kind in enumerate(found):
        share = 1 / (rank + 1) ** 1.1
        retried = 1 - (1 - _RETRY_RATE) ** len(kind.dag.tasks)
        caught = 0.03 if any(spec.options.catch_exceptions for spec in kind.dag.tasks) else 0.0
        plain = 1 - sum(_FATES.values()) - retried - caught
        for fate, rate in (*_FATES.items(), ("caught", caught), ("retried", retried), ("plain", plain)):
            if not rate:
                continue
            copies = 2 if fate in ("plain", "retried") else 1
            for _ in range(copies):
                yield script(kind, fate, share * rate / copies, rng)


def script(kind: Kind, fate: str, weight: float, rng: random.Random) -> Script:
    """One life. fate: of those above, "caught", "retried" or "plain"; weight: how often, beside all others."""
    life = _Life(kind, fate, rng)
    life.live()
    end = life.workflow
    return Script(
        kind, fate, weight, life.events, life.clocks, end.status, len(end.tasks), end.attempts, end.retries, end.runs
    )
