"""A call that waits for long outlives manager after manager; one that nobody answers ends. Ray is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError

from wfstore import errors
from wfstore.engine import client as module
from wfstore.engine.client import Client


class Managers:
    """Each answers by dying after so many seconds, or with what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lives_s: Iterator[float | str]) -> None:
        self.now = 0.0
        self.asked = 0
        self._lives_s = lives_s
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep))
        monkeypatch.setattr(module, "ray", SimpleNamespace(get=self._get))
        self.client = object.__new__(Client)
        self.client.storage = "/store"
        self.client._channel = None
        self.client._in_worker = self.client._sees_storage = False
        self.client._handle = SimpleNamespace(run=SimpleNamespace(remote=lambda: None))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _get(self, ref: Any) -> str:
        self.asked += 1
        life = next(self._lives_s)
        if isinstance(life, str):
            return life
        self.now += life
        raise ActorUnavailableError("restarting", b"1" * 16)


def test_a_call_that_waits_for_hours_outlives_many_managers(monkeypatch: pytest.MonkeyPatch) -> None:
    managers = Managers(monkeypatch, iter([3600.0, 0.1, 0.1, 7200.0, 0.1, 40.0, 0.1, "done"]))
    assert managers.client.call("run") == "done"
    assert managers.asked == 8


def test_a_call_that_nobody_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    managers = Managers(monkeypatch, iter([3600.0, *[0.1] * 10_000]))
    with pytest.raises(errors.ManagerLostError, match="does not answer"):
        managers.client.call("run")
    assert 3600 + module._RETRY_FOR_S <= managers.now < 3600 + module._RETRY_FOR_S + 1
