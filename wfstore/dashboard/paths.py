"""Ids in paths. A workflow's id may hold any printable character, slashes included: one percent-encoded segment.

Routes name such a segment ``{workflow_id:segment}``; `request.path_params` then holds the id itself. ASGI servers
decode a path before it is routed, which would make ``a%2Ftasks`` the tasks of ``a``: `ExactPaths` puts back what they
took.
Links are made by ``quote(workflow_id, safe="")``.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

_OURS = str.maketrans({"%": "%25", "/": "%2F"})


class SegmentConvertor(Convertor[str]):
    """One segment of a path, decoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("segment", SegmentConvertor())


class ExactPaths:
    """Decodes each segment of the path apart; ``%`` and ``/`` within one stay encoded until the convertor sees them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if scope["type"] == "http" and raw and b"%" in raw:
            scope = {**scope, "path": exact(raw.split(b"?", 1)[0].decode("ascii", "replace"))}
        await self._app(scope, receive, send)


def exact(raw: str) -> str:
    """The decoded path, in which a slash or percent sign that belongs to a segment is still encoded."""
    return "/".join(unquote(segment).translate(_OURS) for segment in raw.split("/"))
