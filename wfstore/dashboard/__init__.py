"""The web pages and the HTTP API over one store, with or without a live manager.

``create_app(observability, settings)`` makes the ASGI application, ``server.serve`` runs it. Nothing here is imported
by the read side; it needs the extra ``dashboard``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfstore.dashboard.app import create_app as create_app
    from wfstore.dashboard.settings import Settings as Settings

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from wfstore.dashboard.app import create_app

        return create_app
    if name == "Settings":
        from wfstore.dashboard.settings import Settings

        return Settings
    raise AttributeError(f"module 'wfstore.dashboard' has no attribute {name!r}")
