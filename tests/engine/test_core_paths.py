"""Ways of an attempt through the manager's heart, without Ray: none is given to nobody, or out of a cancel's reach."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.engine.test_executor_window import CRASHED, FakeLeases, fake, order  # noqa: F401
from wfstore.engine.core import Core
from wfstore.engine.executor import Ended, TaskExecutor


def bare_core(ends: list[Ended], leases: FakeLeases) -> Any:
    core: Any = Core.__new__(Core)
    core._on_ended = ends.extend
    core._executor = TaskExecutor(ends.extend, leases)
    core._executor.adopt({})
    core._listeners = SimpleNamespace(cancel=lambda key: None)
    core._lingering = {}
    core._changes = SimpleNamespace(note=lambda events: None)
    return core


def test_attempts_whose_packages_cannot_be_prepared_end() -> None:
    def prepare(runtime_env: Any, kept: Any) -> None:
        raise RuntimeError("the GCS does not answer")

    async def scene() -> None:
        ends: list[Ended] = []
        core = bare_core(ends, FakeLeases())
        keys = [("w", 1, f"t{n}", 1) for n in range(3)]
        core._orders = SimpleNamespace(prepare=prepare)
        core._preparing = {("uri",): list(keys)}
        await core._prepare(("uri",), {"runtime_env": {}, "packages": {"uri": "hash"}})
        assert [end.key for end in ends] == keys
        assert {end.outcome.kind for end in ends} == {"system"}
        assert core._preparing == {}, "a later attempt tries anew"

    asyncio.run(scene())


def test_what_a_lingering_worker_is_given_can_be_canceled_at_once(fake: FakeLeases) -> None:  # noqa: F811
    async def scene() -> None:
        core = bare_core([], fake)
        first, second, third = order(1), order(2), order(3)
        core._executor.submit(first)
        lingering = asyncio.ensure_future(core._linger(first.key))
        await asyncio.sleep(0)
        core._give(second)
        assert core._executor.runs(second.key), "nobody else may be given it now"
        core._withdraw(second.key)
        assert fake.leases[0].canceled
        core._give(third)
        assert fake.leases[1].key == third.key, "it lingers for one"
        assert await lingering == second
        assert not core._lingering

    asyncio.run(scene())


def test_a_lingering_worker_that_died_is_given_nothing(fake: FakeLeases) -> None:  # noqa: F811
    async def scene() -> None:
        core = bare_core([], fake)
        first, second = order(1), order(2)
        core._executor.submit(first)
        lingering = asyncio.ensure_future(core._linger(first.key))
        await asyncio.sleep(0)
        fake.end(fake.leases[0], CRASHED)
        for _ in range(3):
            await asyncio.sleep(0)
        core._give(second)
        assert fake.leases[1].key == second.key
        assert await lingering is None

    asyncio.run(scene())


def test_submissions_go_on_after_one_that_failed() -> None:
    async def scene() -> None:
        core = bare_core([], FakeLeases())
        core._to_submit = []
        core._log = SimpleNamespace(is_open=False)
        turns = iter([RuntimeError("broken"), True, False])
        done: list[Any] = []

        def submit_some() -> bool:
            turn = next(turns)
            done.append(turn)
            if isinstance(turn, Exception):
                raise turn
            return bool(turn)

        core._submit_some = submit_some
        core._pump = asyncio.ensure_future(core._submit_rest())
        with pytest.raises(RuntimeError):
            await core._pump
        core._act([])
        assert core._pump is not None
        await core._pump
        assert len(done) == 3
        assert core._pump is None

    asyncio.run(scene())
