"""How one listener ends, on a host without Ray (catalogue section 17)."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.engine.listeners.orders import Driven, assignment, checkpointed, error_of, value_of
from wfstore.engine.assignment import FILE, REF, Assignment, Source
from wfstore.engine.context import current_task
from wfstore.engine.listeners.api import EventListener, TimerListener
from wfstore.model.commands import Outcome
from wfstore.payloads import PayloadStore, Upstream, dumps


def ended(job: Assignment, inputs: tuple[Any, ...] = ()) -> Outcome:
    async def drive() -> Outcome:
        return await Driven().run(job, inputs)

    return asyncio.run(drive())


def polling(poll: Callable[..., Coroutine[Any, Any, Any]]) -> type[EventListener]:
    """A listener class, which is a closure, as users write them (A7)."""

    class Listener(EventListener):
        async def poll_for_event(self, *args: Any, **kwargs: Any) -> Any:
            return await poll(*args, **kwargs)

    return Listener


def test_the_event_is_the_output(tmp_path: Path) -> None:
    async def poll(topic: str, number: int) -> Any:
        await asyncio.sleep(0.01)
        return {"topic": topic, "number": number, "thread": threading.get_ident()}

    outcome = ended(assignment(tmp_path, polling(poll), "orders", 7))
    value = value_of(outcome, tmp_path)
    assert (value["topic"], value["number"]) == ("orders", 7)
    assert value["thread"] != threading.get_ident()
    assert outcome.place is not None
    assert outcome.place.worker_pid == os.getpid()
    assert outcome.place.started_at <= outcome.ended_at
    assert outcome.stored and outcome.output_repr


def test_a_plain_function_may_block_and_run_a_loop_of_its_own(tmp_path: Path) -> None:
    class Plain:
        def poll_for_event(self, word: str) -> str:
            time.sleep(0.05)
            return asyncio.run(asyncio.sleep(0, word))

    assert value_of(ended(assignment(tmp_path, Plain, "hello")), tmp_path) == "hello"


def test_a_plain_function_that_returns_a_coroutine(tmp_path: Path) -> None:
    class Plain:
        def poll_for_event(self, word: str) -> Any:
            return asyncio.sleep(0.01, word)

    assert value_of(ended(assignment(tmp_path, Plain, "hello")), tmp_path) == "hello"


def test_timer(tmp_path: Path) -> None:
    due = time.time() + 0.4
    outcome = ended(assignment(tmp_path, TimerListener, due))
    assert value_of(outcome, tmp_path) is None
    assert time.time() >= due
    assert ended(assignment(tmp_path, TimerListener, 0)).ok


def test_a2_event_checkpointed_gets_the_event_on_a_new_instance(tmp_path: Path) -> None:
    told = tmp_path / "told"

    class Listener(EventListener):
        def __init__(self) -> None:
            self.polled = False

        async def poll_for_event(self) -> str:
            self.polled = True
            return "event"

        async def event_checkpointed(self, event: Any) -> None:
            told.write_text(f"{event} {self.polled}")
            return "nobody asks for this"  # type: ignore[return-value]

    assert value_of(ended(checkpointed(tmp_path, Listener, "event")), tmp_path) == "event"
    assert told.read_text() == "event False"


@pytest.mark.parametrize("listener", [EventListener, TimerListener])
def test_a_listener_that_does_nothing_when_checkpointed(tmp_path: Path, listener: type) -> None:
    assert value_of(ended(checkpointed(tmp_path, listener, [1, 2])), tmp_path) == [1, 2]


def test_base_class_cannot_poll(tmp_path: Path) -> None:
    outcome = ended(assignment(tmp_path, EventListener))
    assert (outcome.kind, outcome.error_type) == ("app", "NotImplementedError")


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), KeyboardInterrupt(), Odd("odd"), asyncio.CancelledError(), StopIteration()],
)
@pytest.mark.parametrize("moment", ["at once", "later", "plain"])
def test_whatever_user_code_raises(tmp_path: Path, error: BaseException, moment: str) -> None:
    class Raises(EventListener):
        async def poll_for_event(self, *args: Any, **kwargs: Any) -> Any:
            if moment == "later":
                await asyncio.sleep(0.01)
            raise error

    class RaisesPlainly:
        def poll_for_event(self) -> None:
            raise error

    async def drive() -> None:
        driven = Driven()
        listener = RaisesPlainly if moment == "plain" else Raises
        outcome = await driven.run(assignment(tmp_path, listener))
        assert outcome.kind == "app"
        assert not outcome.retryable
        expected = RuntimeError if isinstance(error, StopIteration) else type(error)
        assert type(error_of(outcome)).__name__ == expected.__name__
        assert outcome.error_type == expected.__name__
        # The host goes on.
        assert (await driven.run(assignment(tmp_path, TimerListener, 0))).ok

    asyncio.run(drive())


def test_retryable_exceptions(tmp_path: Path) -> None:
    async def poll() -> None:
        raise KeyError("k")

    job = assignment(tmp_path, polling(poll))
    assert ended(job._replace(retry_exceptions=True)).retryable
    assert ended(job._replace(retry_exceptions=(0, dumps((LookupError,))))).retryable
    assert not ended(job._replace(retry_exceptions=(0, dumps((OSError,))))).retryable


def test_what_cannot_be_pickled(tmp_path: Path) -> None:
    async def poll() -> Any:
        return threading.Lock()

    assert ended(assignment(tmp_path, polling(poll))).kind == "serialization"


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    job = assignment(tmp_path, EventListener)
    assert ended(job._replace(function=b"nonsense", function_hash="0" * 64)).kind == "serialization"
    assert ended(job._replace(args=(FILE, "0" * 64))).kind == "serialization"
    assert ended(job._replace(function=dumps(42), function_hash="1" * 64)).error_type == "AttributeError"


def test_an_init_that_raises(tmp_path: Path) -> None:
    class Broken(EventListener):
        def __init__(self) -> None:
            raise ConnectionError("no broker")

    outcome = ended(assignment(tmp_path, Broken))
    assert (outcome.kind, outcome.error_message) == ("app", "no broker")


def test_a_large_event_is_a_file_even_where_outputs_are_not_kept(tmp_path: Path) -> None:
    async def poll() -> bytes:
        return b"x" * 3_000_000

    job = assignment(tmp_path, polling(poll), checkpoint=False)
    outcome = ended(job)
    assert outcome.output is not None
    assert outcome.output.data is None
    assert outcome.stored
    assert value_of(outcome, tmp_path) == b"x" * 3_000_000


def test_arguments_from_files_and_from_ray_objects(tmp_path: Path) -> None:
    async def poll(*args: Any) -> Any:
        return args

    large = PayloadStore(str(tmp_path)).put_file(dumps("from a file"))
    sources = (Source(FILE, large.hash), Source(REF, 0))
    args = (FILE, PayloadStore(str(tmp_path)).put_file(dumps(((Upstream(0), Upstream(1), 3), {}))).hash)
    job = assignment(tmp_path, polling(poll), sources=sources, args=args)
    assert value_of(ended(job, ("an object",)), tmp_path) == ("from a file", "an object", 3)


def test_catch_exceptions(tmp_path: Path) -> None:
    async def poll() -> str:
        return "event"

    assert value_of(ended(assignment(tmp_path, polling(poll), catch=True)), tmp_path) == ("event", None)


def test_workflow_context_is_each_listeners_own(tmp_path: Path) -> None:
    async def poll() -> Any:
        before = current_task()
        await asyncio.sleep(0.02)
        inside = await asyncio.to_thread(current_task)
        child = await asyncio.create_task(asyncio.sleep(0, current_task()))
        assert before == inside == child == current_task()
        assert before is not None
        return before.workflow_id

    async def drive() -> None:
        driven = Driven()
        jobs = [assignment(tmp_path, polling(poll)) for _ in range(20)]
        await driven.take(*jobs)
        for job in jobs:
            assert value_of(await driven.outcome(job), tmp_path) == job.workflow_id
        assert current_task() is None

    asyncio.run(drive())
