"""Durable workflows on Ray whose whole history you can query.

``wfstore.open(storage)`` reads any store, ``wfstore.history(id)`` and ``wfstore.sql(query)`` read the default one;
``from wfstore import workflow`` runs workflows. Importing this package imports neither Ray nor DuckDB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfstore._version import __version__ as __version__

if TYPE_CHECKING:
    from wfstore import errors as errors
    from wfstore import workflow as workflow
    from wfstore._comparing import diff as diff
    from wfstore._comparing import regressions as regressions
    from wfstore._history import History as History
    from wfstore._observe import WorkflowObservability as WorkflowObservability
    from wfstore._store import Store as Store
    from wfstore._store import history as history
    from wfstore._store import open as open
    from wfstore._store import restore as restore
    from wfstore._store import sql as sql
    from wfstore._store import what_if as what_if

_HOMES = {
    "Store": "wfstore._store",
    "open": "wfstore._store",
    "history": "wfstore._store",
    "restore": "wfstore._store",
    "sql": "wfstore._store",
    "what_if": "wfstore._store",
    "History": "wfstore._history",
    "diff": "wfstore._comparing",
    "regressions": "wfstore._comparing",
    "WorkflowObservability": "wfstore._observe",
}
_PACKAGES = ("errors", "workflow")

__all__ = [
    "History",
    "Store",
    "WorkflowObservability",
    "diff",
    "errors",
    "history",
    "open",
    "regressions",
    "restore",
    "sql",
    "what_if",
    "workflow",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return import_module(f"wfstore.{name}")
    raise AttributeError(f"module 'wfstore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
