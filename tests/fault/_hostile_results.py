"""What user code returns or raises when it means harm: kept and given back exactly, or a failure that is told clearly.

It runs as a worker runs it, but for Ray; the outcome travels, is decided, written, and looked at through every face.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import io
import json
import pickle
import sys
import threading
import weakref
from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest
import ray

from tests.cli.stores import spec
from tests.fault._hostile_faces import Faces
from wfstore.engine import worker
from wfstore.engine.assignment import Assignment, dump_outcome, load_outcome
from wfstore.errors import NotCheckpointedError, WorkflowExecutionError
from wfstore.model.commands import RecordOutcome, Submit
from wfstore.model.dag import DagSpec
from wfstore.schema.rows import pack

#: Where a value leaves its mark when somebody unpickles it who was not asked to.
_MARK = "WFSTORE_FAULT_MARK"


class Case(NamedTuple):
    """name; make: what user code does; ends: "kept" and read back the same, "failed" with an error that says why, or
    "armed": kept, and whoever unpickles it is harmed, so nobody does."""

    name: str
    make: Callable[[], Any]
    ends: str


class Reduce:
    """Pickles itself as it was told to."""

    def __init__(self, how: Callable[[], Any]) -> None:
        self._how = how

    def __reduce__(self) -> Any:
        return self._how()


def _raise(error: BaseException) -> Any:
    raise error


class Trap:
    """Unpickling it leaves a mark and ends the process."""

    def __reduce__(self) -> Any:
        return exec, (f"import os; open(os.environ.get('{_MARK}', os.devnull), 'w').close(); os._exit(13)",)


class Repr:
    """Describes itself as it was told to; equal to its like."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Repr) and other.how == self.how

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        match self.how:
            case "raises":
                raise RuntimeError("no repr")
            case "exits":
                sys.exit(4)
            case "huge":
                return "x" * 50_000_000
            case "itself":
                return repr(self)
            case "number":
                return 7  # type: ignore[return-value]
            case "terminal":
                return "\x1b[2J\x1b]0;owned\x07\u202e<script>alert(1)</script>\ud800"
        return "\n" * 100


class Everything:
    """Has every attribute, and each is itself."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __eq__(self, other: object) -> bool:
        return type(other) is Everything

    __hash__ = None  # type: ignore[assignment]


class Liar:
    """Says that it is an int, empty, false, and of a length that there is not."""

    __class__ = int  # type: ignore[assignment]

    def __len__(self) -> int:
        raise OverflowError("no length")

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __eq__(self, other: object) -> bool:
        return type(other) is Liar

    __hash__ = None  # type: ignore[assignment]


class Colour(enum.Enum):
    RED = "\x1b[31mred"


Pair = namedtuple("Pair", "first second")


@dataclass
class Record:
    first: Any
    second: Any = "\ud800"


def _nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


def _itself() -> list[Any]:
    made: list[Any] = [1]
    made.append(made)
    return made


def _frame() -> Any:
    return sys._getframe()


async def _coroutine() -> None:
    await asyncio.sleep(0)


class Error(Exception):
    """With a text, pickling and class of the caller's choice."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how

    def __str__(self) -> str:
        match self.how:
            case "raises":
                raise RuntimeError("no text")
            case "exits":
                raise SystemExit(5)
            case "huge":
                return "x" * 20_000_000
            case "terminal":
                return "\x1b[2J\x07\ud800\u202e\0<script>alert(1)</script>"
            case "number":
                return 7  # type: ignore[return-value]
        return "\n\n"

    def __reduce__(self) -> Any:
        if self.how == "unpicklable":
            raise RuntimeError("no pickle")
        return Error, (self.how,)


class Base(BaseException):
    """Not an Exception."""


def _circular() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def _group() -> None:
    error: Exception = ValueError("inner")
    for _ in range(200):
        error = ExceptionGroup("outer", [error])
    raise error


def _recursion() -> Any:
    return _recursion()


def _kept(name: str, make: Callable[[], Any]) -> Case:
    return Case(name, make, "kept")


def _fails(name: str, make: Callable[[], Any]) -> Case:
    return Case(name, make, "failed")


RESULTS: list[Case] = [
    *(
        _fails(f"an error whose text {how}", lambda how=how: _raise(Error(how)))
        for how in ("raises", "exits", "huge", "number", "lines", "unpicklable")
    ),
    _fails("an error for terminals", lambda: _raise(Error("terminal"))),
    _fails("an error of a class for terminals", lambda: _raise(type("\x1b[2J<b>\u202e", (Exception,), {})("x"))),
    _fails("an error of a class of a megabyte", lambda: _raise(type("X" * 1_000_000, (Exception,), {})("x"))),
    _fails("an error of a class that is no Unicode", lambda: _raise(type("half\ud800", (Exception,), {})("x"))),
    _fails("an error with a lock", lambda: _raise(ValueError(threading.Lock()))),
    _fails("an error that causes itself", _circular),
    _fails("200 groups of errors in each other", _group),
    _fails("no end", _recursion),
    _fails("no memory", lambda: _raise(MemoryError())),
    _fails("exit", lambda: sys.exit("\x1b[2J")),
    _fails("an interrupt", lambda: _raise(KeyboardInterrupt())),
    _fails("the end of a generator", lambda: _raise(GeneratorExit())),
    _fails("the end of an iterator", lambda: next(iter([]))),
    _fails("what is not an Exception", lambda: _raise(Base("x"))),
    _fails("a lock", threading.Lock),
    _fails("a generator", lambda: (number for number in range(3))),
    _fails("a coroutine", _coroutine),
    _fails("a frame", _frame),
    _fails("a thread", threading.current_thread),
    _fails("a weak reference", lambda: weakref.ref(Repr)),
    _fails("a stream", lambda: sys.__stdin__ if sys.__stdin__ is not None else threading.Lock()),
    _fails("a lock in a list in a dict", lambda: {"a": [threading.Lock()]}),
    _fails("pickling that raises", lambda: Reduce(lambda: _raise(RuntimeError("no pickle")))),
    _fails("pickling that raises text that is none", lambda: Reduce(lambda: _raise(Error("terminal")))),
    _fails("pickling that raises what cannot be said", lambda: Reduce(lambda: _raise(Error("raises")))),
    _fails("pickling that exits", lambda: Reduce(lambda: _raise(SystemExit(3)))),
    _fails("pickling that is interrupted", lambda: Reduce(lambda: _raise(KeyboardInterrupt()))),
    _fails("pickling that returns nonsense", lambda: Reduce(lambda: 7)),
    _fails("pickling that returns another nonsense", lambda: Reduce(lambda: (1, 2, 3, 4, 5, 6, 7))),
    _fails("100,000 lists in each other", lambda: _nested(100_000)),
    Case("a trap", Trap, "armed"),
    Case("a trap among other values", lambda: {"rows": [1, 2, Trap()]}, "armed"),
    Case("a trap in a large value", lambda: [b"x" * 100_000, Trap()], "armed"),
    _kept("a list in itself", _itself),
    _kept("50 lists in each other", lambda: _nested(50)),
    _kept("half a surrogate pair", lambda: "half \ud800"),
    _kept("control characters", lambda: "\0\x1b[2J\x07\u202e\x85\u2028</script><script>alert(1)</script>"),
    _kept("a number of 300,000 digits", lambda: 1 << 1_000_000),
    _kept("40 MB", lambda: b"x" * 40_000_000),
    _kept("no number", lambda: float("nan")),
    _kept("a million items", lambda: list(range(1_000_000))),
    *(_kept(f"a repr: {how}", lambda how=how: Repr(how)) for how in ("raises", "exits", "huge", "itself", "number")),
    _kept("a repr for terminals", lambda: Repr("terminal")),
    _kept("a repr of line ends", lambda: [Repr("lines"), {"a": Repr("raises")}]),
    _kept("every attribute", Everything),
    _fails("a liar", Liar),
    _kept("an enum", lambda: Colour.RED),
    _kept("a named tuple", lambda: Pair("\x1b", Repr("exits"))),
    _kept("a record", lambda: Record(Repr("raises"))),
    _kept("classes and functions", lambda: [Repr, len, json.dumps, type(None), NotImplemented, ...]),
    _kept("an exception as a value", lambda: [ValueError("a"), Base("b"), Error("terminal")]),
    _kept("dates at their ends", lambda: [datetime.max, datetime.min, timedelta.max, Fraction(1, 3), 1j]),
    _kept("an array of objects", lambda: np.array([Repr("raises"), None], dtype=object)),
    _kept("an empty array of a strange shape", lambda: np.zeros((0, 3, 0))),
    _kept("a dict of strange keys", lambda: {None: 1, (1, "\ud800"): 2, float("inf"): 3, "\n": 4, b"\0": 5}),
    _kept("a default dict", lambda: defaultdict(list, {"a": [1]})),
    _kept("what looks like a pickle", lambda: b"\x80\x05cos\nsystem\n(S'true'\ntR."),
    _kept("what looks like a frame of the log", lambda: b"\xf5WFE" + bytes(40)),
    _kept("a buffer", lambda: io.BytesIO(b"x").getvalue()),
]  # fmt: skip


def act(number: int) -> Any:
    """What a task of user code does in this case; wrapped in other values beyond the end of the catalogue."""
    case = RESULTS[number % len(RESULTS)]
    match number // len(RESULTS):
        case 0:
            return case.make()
        case 1:
            return [case.make()]
        case 2:
            return {"a": (case.make(), "\ud800")}
        case 3:
            return Pair(case.make(), b"x" * 40_000)
    return Record([case.make(), {"b": case.make()}])


class Results(Faces):
    """A store of workflows of one task each, which does what a case says."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._mark = root / "mark"
        self._outcomes: dict[int, Any] = {}

    def do(self, number: int) -> None:
        """Run the case as a worker would, and decide what came of it."""
        name = f"r{number}"
        with _worker(self._mark):
            outcome = load_outcome(dump_outcome(worker._run(self._assignment(name, number), ())[0]))
        before = len(self._simulation.log)
        self._simulation.do(Submit(name, DagSpec((spec("only", max_retries=0),), 0), {}))
        (key,) = [key for key in self._simulation.open_attempts() if key[0] == name]
        self._simulation.do(RecordOutcome(*key, outcome))
        try:
            pack(self._simulation.log[before:])
        except (TypeError, ValueError) as error:
            del self._simulation.log[before:]
            raise AssertionError(f"the manager cannot write what came of it: {error}") from error
        self._outcomes[number] = outcome

    def _assignment(self, name: str, number: int) -> Assignment:
        body = cloudpickle.dumps(lambda: act(number))
        manager = ("manager", "namespace", "node", 1)
        return Assignment(
            name, 1, "only", 1, self.path, "", manager, f"{number:064x}", body, None, (), (), False, True, False
        )

    def look(self, number: int) -> str:
        """Raises AssertionError unless it ended as it has to, and every face shows that."""
        name, case = f"r{number}", RESULTS[number % len(RESULTS)]
        self.check(name, {})
        found = self._store.history(name).to_dict()
        status, task = found["workflow"]["status"], found["tasks"][0]
        kept = case.ends != "failed"
        assert status == ("SUCCESSFUL" if kept else "FAILED"), f"{case.name}: {status} {task['error_type']}"
        if kept:
            shown = task["output_repr"] or ""
            assert len(shown) <= 120 and shown.isprintable(), f"{case.name}: its description is {shown!r}"
            if case.ends == "kept":
                self._same(number)
        else:
            self._told(name, case, found["workflow"])
        answer = self._client.get(f"/workflows/{name}/tasks/only")
        assert answer.status_code == 200 and "<script>alert" not in answer.text, f"{case.name}: the task's page"
        assert not self._mark.exists(), f"{case.name}: somebody unpickled it"
        return case.ends

    def _same(self, number: int) -> None:
        given, found = act(number), self._store.output(f"r{number}")
        assert type(found) is type(given)
        assert pickle.dumps(_plain(found)) == pickle.dumps(_plain(given)), "output() gives something else"

    def _told(self, name: str, case: Case, workflow: dict[str, Any]) -> None:
        kind, message = workflow["error_type"], workflow["error_message"]
        assert kind and len(kind) + len(message or "") < 5_000, f"{case.name}: failed without a reason"
        f"{kind}{message}".encode()
        with pytest.raises((WorkflowExecutionError, NotCheckpointedError)) as raised:
            self._store.output(name)
        str(raised.value).encode()


def _plain(value: Any) -> bytes:
    return cloudpickle.dumps(value)


@contextlib.contextmanager
def _worker(mark: Path) -> Iterator[None]:
    """What a worker process has around user code, without Ray."""
    context = SimpleNamespace(get_node_id=lambda: "node", get_task_id=lambda: "task")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_MARK, str(mark))
        patch.setattr(ray, "get_runtime_context", lambda: context)
        patch.setattr(worker, "check_storage_visible", lambda *what: None)
        patch.setattr(worker, "REPORTER", SimpleNamespace(watch=lambda *what: contextlib.nullcontext()))
        yield


@contextlib.contextmanager
def uncleaned(off: bool) -> Iterator[None]:
    """Within it, where `off`, texts of user code are taken as they are: the negative control."""
    with pytest.MonkeyPatch.context() as patch:
        if off:
            patch.setattr(worker, "_clean", lambda text: text)
        yield
