"""A stand-in for the manager: an actor that holds a pool and remembers what it was told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psutil
import ray

from wfstore.engine.executor import AttemptKey, Ended, Order
from wfstore.engine.listeners import pool as pool_module
from wfstore.engine.listeners.pool import ListenerPool
from wfstore.model.commands import Outcome, Place


class Keeper:
    """changes: other values for constants of wfstore.engine.listeners.pool."""

    def __init__(self, **changes: float) -> None:
        for name, value in changes.items():
            setattr(pool_module, name, value)
        self.pool = ListenerPool(self._on_ended, self._on_started)
        self.outcomes: dict[AttemptKey, Outcome] = {}
        self.places: dict[AttemptKey, Place] = {}
        self.told_at: dict[AttemptKey, float] = {}

    def _on_ended(self, ends: list[Ended]) -> None:
        for key, outcome, value in ends:
            assert value is None
            assert key not in self.outcomes, "told twice"
            self.outcomes[key] = outcome
            self.told_at[key] = time.time()

    def _on_started(self, starts: list[tuple[AttemptKey, Place]]) -> None:
        self.places.update(starts)

    async def submit(self, orders: list[Order]) -> None:
        for number, order in enumerate(orders):
            self.pool.submit(order)
            if number % 32 == 31:
                await asyncio.sleep(0)

    async def cancel(self, keys: list[AttemptKey]) -> list[bool]:
        for key in keys:
            self.pool.cancel(key)
        return [self.pool.runs(key) for key in keys]

    async def submit_and_cancel(self, order: Order) -> bool:
        self.pool.submit(order)
        await asyncio.sleep(0)
        self.pool.cancel(order.key)
        return self.pool.runs(order.key)

    async def ended(self) -> dict[AttemptKey, Outcome]:
        return self.outcomes

    async def started(self) -> dict[AttemptKey, Place]:
        return self.places

    async def told(self) -> dict[AttemptKey, float]:
        """When each end was reported, seconds since 1970."""
        return self.told_at

    async def hosts(self) -> int:
        return sum(len(hosts) for hosts in self.pool._hosts.values())

    async def describe(self) -> list[dict[str, Any]]:
        hosts = [host for group in self.pool._hosts.values() for host in group]
        return [await host.handle.describe.remote() for host in hosts]

    async def figures(self) -> tuple[int, int, int]:
        """(started, ended, RSS in bytes)."""
        return len(self.places), len(self.outcomes), psutil.Process().memory_info().rss


def keep(**changes: float) -> Any:
    return ray.remote(Keeper).options(num_cpus=0, max_concurrency=1000).remote(**changes)
