"""What listeners ask about events that were sent, on a host without Ray: the test answers in place of the manager."""

from __future__ import annotations

import asyncio
import functools
import pickle
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.engine.listeners.orders import Driven, assignment, checkpointed, error_of, value_of
from wfstore.engine.assignment import FILE, INLINE
from wfstore.errors import PayloadMissingError, WorkflowEventHandleError
from wfstore.payloads import PayloadStore, dumps
from wfstore.workflow.http_event_provider import HTTPListener
from wfstore.workflow.workflow_context import get_current_workflow_id


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def asked(driven: Driven, count: int = 1) -> None:
    await driven.until(lambda: len(driven.asks) >= count, f"{count} are asked for")


@on_a_loop
async def test_a_listener_asks_once_and_gets_the_pair(tmp_path: Path) -> None:
    driven, job = Driven(), assignment(tmp_path, HTTPListener, "go")
    await driven.take(job)
    await asked(driven)
    assert driven.asks == [(job.key, "go")]
    await driven.host.answer([(job.key, "go", INLINE, dumps({"a": 1}), None)])
    assert value_of(await driven.outcome(job), tmp_path) == ("go", {"a": 1})


@on_a_loop
async def test_without_a_key_it_is_the_task(tmp_path: Path) -> None:
    driven, job = Driven(), assignment(tmp_path, HTTPListener)
    await driven.take(job)
    await asked(driven)
    assert driven.asks == [(job.key, "wait")]


@on_a_loop
async def test_a_large_payload_is_read_from_its_file(tmp_path: Path) -> None:
    driven, job = Driven(), assignment(tmp_path, HTTPListener, "go")
    kept = PayloadStore(str(tmp_path)).put_file(dumps("x" * 100_000))
    await driven.take(job)
    await asked(driven)
    await driven.host.answer([(job.key, "go", FILE, kept.hash, None)])
    assert value_of(await driven.outcome(job), tmp_path) == ("go", "x" * 100_000)


@pytest.mark.parametrize(
    ("form", "value", "error", "raised"),
    [
        (INLINE, b"", WorkflowEventHandleError("w", "taken"), WorkflowEventHandleError),
        (INLINE, b"no pickle", None, pickle.UnpicklingError),
        (FILE, "0" * 64, None, PayloadMissingError),
    ],
)
@on_a_loop
async def test_what_goes_wrong_is_the_listeners_error(
    tmp_path: Path, form: int, value: Any, error: Exception | None, raised: type[Exception]
) -> None:
    driven, job = Driven(), assignment(tmp_path, HTTPListener, "go")
    await driven.take(job)
    await asked(driven)
    await driven.host.answer([(job.key, "go", form, value, error)])
    assert isinstance(error_of(await driven.outcome(job)), raised)


class Twice(HTTPListener):
    async def poll_for_event(self, event_key: str | None = None) -> Any:
        first = self.handle.get_event_payload.remote(get_current_workflow_id(), "a")
        try:
            await self.handle.get_event_payload.remote(get_current_workflow_id(), "a")
        except WorkflowEventHandleError as error:
            return str(error), await first
        return None


@on_a_loop
async def test_the_same_key_twice_in_one_listener(tmp_path: Path) -> None:
    driven, job = Driven(), assignment(tmp_path, Twice)
    await driven.take(job)
    await asked(driven)
    await driven.host.answer([(job.key, "a", INLINE, dumps(1), None), (job.key, "a", INLINE, dumps(2), None)])
    told, first = value_of(await driven.outcome(job), tmp_path)
    assert "the same key 'a' is used to get a payload again" in told
    assert first == ("a", 1)
    assert driven.asks == [(job.key, "a")]


class Elsewhere(HTTPListener):
    """Waits in a thread and in a task of its own."""

    async def poll_for_event(self, event_key: str | None = None) -> Any:
        def blocking() -> Any:
            return self.handle.get_event_payload.remote(get_current_workflow_id(), "thread").result(30)

        async def task() -> Any:
            return await self.handle.get_event_payload.remote(get_current_workflow_id(), "task")

        return await asyncio.gather(asyncio.to_thread(blocking), asyncio.create_task(task()))


@on_a_loop
async def test_threads_and_tasks_of_a_listener_may_ask(tmp_path: Path) -> None:
    driven, job = Driven(), assignment(tmp_path, Elsewhere)
    await driven.take(job)
    await asked(driven, 2)
    await driven.host.answer([(job.key, key, INLINE, dumps(key), None) for key in ("task", "thread", "unasked")])
    assert value_of(await driven.outcome(job), tmp_path) == [("thread", "thread"), ("task", "task")]


_let_go = threading.Event()


class Blocking(HTTPListener):
    def poll_for_event(self, event_key: str | None = None) -> Any:  # type: ignore[override]
        import tests.engine.listeners.test_asking as here

        try:
            return self.handle.get_event_payload.remote(get_current_workflow_id(), "never").result()
        finally:
            here._let_go.set()


@on_a_loop
async def test_cancel_lets_go_of_a_thread_that_blocks(tmp_path: Path) -> None:
    driven, job = Driven(), assignment(tmp_path, Blocking)
    await driven.take(job)
    await asked(driven)
    await driven.host.cancel([job.key])
    await driven.until(_let_go.is_set, "its thread goes on")
    await driven.host.answer([(job.key, "never", INLINE, dumps(1), None)])  # too late for anybody


@on_a_loop
async def test_what_it_reports_is_told_with_its_end_at_the_latest(tmp_path: Path) -> None:
    driven = Driven()
    jobs = [checkpointed(tmp_path, HTTPListener, ("go", n)) for n in range(50)]
    await driven.take(*jobs)
    for job in jobs:
        await driven.outcome(job)
        assert (job.workflow_id, "go", True) in driven.reports


def test_outside_of_a_listener_nobody_waits() -> None:
    with pytest.raises(WorkflowEventHandleError, match="only the code of a listener can wait"):
        HTTPListener().handle.get_event_payload.remote("w", "go")
    with pytest.raises(WorkflowEventHandleError, match="only the code of a listener can report"):
        HTTPListener().handle.report_checkpointed.remote("w", "go", True)
    assert isinstance(pickle.loads(pickle.dumps(HTTPListener.handle)), type(HTTPListener.handle))
