"""The manager as an observer sees it: there, or not there and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from wfstore.errors import ManagerLostError
from wfstore.log import lease_alive, now_us, read_lease
from wfstore.model.commands import Resume

#: For so long a manager that did not answer counts as gone, and one that did as there.
_DOWN_S, _UP_S = 1.0, 1.0
_LOOK_S = 2.0


class Manager(Protocol):
    """What of `engine.client.Client` is needed here."""

    def ask(self, method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        """What the manager's method returns. Raises ManagerLostError soon where there is no answer."""

    def cancel(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> None: ...

    def delete(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> None: ...

    def rerun(self, workflow_id: str, by: str | None = None, request_id: str | None = None) -> str: ...

    def resumption(
        self, workflow_id: str, code: str = "stored", by: str | None = None, request_id: str | None = None
    ) -> Resume: ...

    def order(self, command: Any) -> Any: ...


class Link:
    """The way to the manager of one storage, as far as there is one. find: gives the manager, None where none is."""

    def __init__(self, storage: str, find: Callable[[], Manager | None], asked_for: bool | None) -> None:
        self._storage, self._find, self._asked_for = storage, find, asked_for
        self._down_until = self._up_until = 0.0

    def manager(self) -> Manager | None:
        """None, too, for a moment after it did not answer."""
        return None if time.monotonic() < self._down_until else self._find()

    def ask(self, method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        """Raises ManagerLostError where nobody answers."""
        manager = self.manager()
        if manager is None:
            raise ManagerLostError(self._storage, "there is no live manager")
        try:
            answer = manager.ask(method, *args, timeout_s=timeout_s)
        except ManagerLostError:
            self._down_until, self._up_until = time.monotonic() + _DOWN_S, 0.0
            raise
        self._up_until = time.monotonic() + _UP_S
        return answer

    def alive(self, patience_s: float = _LOOK_S) -> bool:
        """Whether it answers now, or within the time given to it."""
        if time.monotonic() < self._up_until:
            return True
        if patience_s > _LOOK_S:  # an order asks anew, whatever a look met a moment ago
            self._down_until = 0.0
        try:
            self.ask("describe", timeout_s=patience_s)
        except ManagerLostError:
            return False
        return True

    def why_not(self, patience_s: float = _LOOK_S) -> str:
        """One sentence; empty where it answers."""
        if self.alive(patience_s):
            return ""
        lease = read_lease(self._storage)
        if lease is not None and lease_alive(lease, now_us()):
            where = f"the manager of {self._storage} runs on host {lease.host} as process {lease.pid}"
            if self._find_quietly() is not None:
                return f"{where} and does not answer at the moment: it may be restarting; try again"
            if self._asked_for is False:
                return (
                    f"{where}, and live state was not wanted here, so that it is not asked: open the store with "
                    "live=True, or start `wfstore dashboard --ray` on that host"
                )
            return (
                f"{where}, and this process is not connected to its Ray cluster: start `wfstore dashboard --ray` on "
                "that host, or in Python open the store with live=True; from elsewhere set RAY_ADDRESS to that cluster"
            )
        return (
            f"no manager runs: start one with workflow.init(storage={self._storage!r}) in a process "
            "that stays, or use the command line (`wfstore resume ID`), which starts one while it works"
        )

    def _find_quietly(self) -> Manager | None:
        try:
            return self._find()
        except ManagerLostError:
            return None


def finder(storage: str, live: bool | None) -> Callable[[], Manager | None]:
    """As `wfstore.open` takes `live`. Ray is imported only when it was asked for, or is there anyway."""

    def find() -> Manager | None:
        if live is False or (live is None and "wfstore.engine.client" not in sys.modules):
            return None
        from wfstore.engine.live import manager

        return manager(storage, join=bool(live))

    return find
