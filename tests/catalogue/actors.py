"""Virtual actors of the catalogue's tests, and the steps that they start."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from wfstore import workflow


def _wait_for(path: str) -> None:
    deadline = time.monotonic() + 60
    while not Path(path).exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def _note(path: str, name: str) -> None:
    with open(path, "a") as file:
        file.write(name + "\n")


@workflow.step
def double(value: int) -> int:
    return 2 * value


@workflow.step
def fails_without(flag: str, log: str, value: int) -> int:
    _note(log, "fails_without")
    if not Path(flag).exists():
        raise ValueError("not yet")
    return value


@workflow.step
def counted(log: str, value: int) -> int:
    _note(log, "counted")
    return value


@workflow.virtual_actor
class Counter:
    """A number."""

    def __init__(self, value: int, wait_for: str | None = None) -> None:
        if wait_for is not None:
            _wait_for(wait_for)
        self.value = value

    def incr(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def incr_when(self, path: str) -> int:
        _wait_for(path)
        self.value += 1
        return self.value

    @workflow.virtual_actor.readonly
    def val(self) -> int:
        return self.value

    @workflow.virtual_actor.readonly
    def mutate(self) -> int:
        self.value += 1
        return self.value

    @workflow.virtual_actor.readonly
    def meet(self, folder: str, n: int, of: int) -> int:
        """Comes back once `of` calls are under way at the same time."""
        Path(folder, f"meet{n}").touch()
        for other in range(of):
            _wait_for(f"{folder}/meet{other}")
        return self.value

    @workflow.virtual_actor.readonly
    def returns_workflow(self) -> Any:
        return double.step(1)


@workflow.virtual_actor
class Troubled:
    """A number that cannot grow while a file is there."""

    def __init__(self, value: int, trouble: str, at_birth: bool = False) -> None:
        self.trouble = trouble
        self.value = value
        if at_birth:
            self._check()

    def _check(self) -> None:
        if Path(self.trouble).exists():
            raise ValueError("trouble")

    def incr(self) -> int:
        self._check()
        self.value += 1
        return self.value

    def caught(self) -> int:
        raise ValueError("always")

    @workflow.virtual_actor.readonly
    def val(self) -> int:
        return self.value

    def __getstate__(self) -> tuple[int, str]:
        return self.value, self.trouble

    def __setstate__(self, state: tuple[int, str]) -> None:
        self.value, self.trouble = state


@workflow.virtual_actor
class Parent:
    """Starts steps from its methods."""

    def __init__(self) -> None:
        self.value = 1
        self.note = "EMPTY"

    def double(self, update: bool) -> Any:
        if not update:
            return double.step(self.value)
        return self.update.step(double.step(self.value))

    def update(self, value: int) -> int:
        self.value = value
        return self.value

    def begin(self, flag: str, log: str) -> Any:
        self.note = "STARTING"
        return self.end.step(fails_without.options(max_retries=0).step(flag, log, counted.step(log, 5)))

    def end(self, value: int) -> int:
        self.note = "DONE"
        self.value = value
        return value

    def down(self, n: int, log: str, flag: str | None = None) -> Any:
        _note(log, f"down{n}")
        if n == 2 and flag is not None and not Path(flag).exists():
            raise ValueError("not yet")
        self.value = n
        return n if n == 0 else self.down.options(max_retries=0).step(n - 1, log, flag)

    @workflow.virtual_actor.readonly
    def state(self) -> list[Any]:
        return [self.value, self.note]


@workflow.virtual_actor
class Indirect:
    """Calls another actor, in its constructor and in a method."""

    def __init__(self, other: str) -> None:
        self.other = other
        Counter.get_or_create(other, 10)

    def incr(self) -> Any:
        return workflow.get_actor(self.other).incr.run()

    def incr_later(self) -> Any:
        return Counter.get_or_create(self.other, 0).incr.step()


@workflow.virtual_actor
class Nested:
    """Names of a recursion."""

    def __init__(self) -> None:
        self.n = 0

    def incr(self, n: int) -> Any:
        self.n += 1
        if n <= 1:
            return self.n
        return self.incr.options(name="incr", metadata={"current_n": self.n}).step(n - 1)


@workflow.virtual_actor
class Catching:
    """Uses a step that fails."""

    def __init__(self) -> None:
        self.value = 0

    def tries(self, flag: str, log: str) -> Any:
        return self.takes.step(fails_without.options(catch_exceptions=True, max_retries=0).step(flag, log, 1))

    def takes(self, pair: tuple[Any, Any]) -> str:
        self.value += 1
        return type(pair[1]).__name__
