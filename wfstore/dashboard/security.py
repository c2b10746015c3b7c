"""Who may ask, and what a browser may do with the answer. Every request passes here before anything else sees it.

- **Token.** Each route, static files and the event stream included, needs ``Authorization: Bearer TOKEN`` or the
  cookie. The link printed at start (``/?token=TOKEN``, needed once per browser) sets the cookie, HttpOnly and
  SameSite=Strict, and redirects to the same address without the token, so that neither history nor a copied address
  holds it. The cookie holds no token but an HMAC of it. Comparisons take the same time whatever differs. The API takes
  no token from a query.
- **Host.** The Host header has to name this server: of a loopback address its three names, of any other address the
  address, any IP address (which no DNS answer can turn into another site) and the machine's name; and `allowed_hosts`.
  That stops DNS rebinding.
- **Methods.** GET and HEAD change nothing. Anything else needs the header ``X-Wfstore-Action: 1``, which a page of
  another site cannot send, since no CORS is granted; and Origin and Sec-Fetch-Site, where a browser sends them, have to
  say that the request comes from our own pages. Programs that send HTTP events (below ``/event/``) with the bearer
  token need no such header: no browser adds that one by itself.
- **Other sites' pages** cannot load ours as images, scripts or frames either, not even those of another port of this
  machine, to which the cookie would go.
- **Answers** carry a Content-Security-Policy of ``default-src 'self'``, nosniff, no-referrer, and may not be framed.
"""

from __future__ import annotations

import hmac
import html
import re
import socket
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.settings import Settings, is_address

ACTION_HEADER: Final = "X-Wfstore-Action"
#: Answers in JSON, also when they refuse; no redirect, and no token in the query.
MACHINE_PATHS: Final = ("/api/", "/event/")
_EVENT_PATH = "/event/"
_SAFE_METHODS = frozenset(("GET", "HEAD"))
_MAX_HEAD_BYTES = 65_536
_MAX_HEADERS = 200
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refusal(Exception):
    """A request that is not let in. The message is for whoever sent it and names no secret."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Security:
    """ASGI middleware around the whole application. See the module."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._token = settings.token.encode()
        self._pass = cookie_value(settings.token).encode()
        self._hosts = _known_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sealed = _sealing(send)
        try:
            _check_size(scope)
            self._check_host(headers)
            _check_fetch(scope["method"], headers)
            linked = self._by_link(scope, headers)
            if linked is not None:
                await linked(scope, receive, sealed)
                return
            self._check_caller(scope, headers)
        except Refusal as refusal:
            await _refused(refusal, scope, headers)(scope, receive, sealed)
            return
        await self._app(scope, _bounded(receive, headers, self._settings.max_body_bytes), sealed)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise Refusal(400, "A request needs one valid Host header.")
        name = (found[1] or found[2]).lower().rstrip(".")
        if name in self._hosts or (not self._settings.loopback and is_address(name)):
            return
        raise Refusal(403, "This server is not known by that Host; start it with --allow-host NAME to add one.")

    def _by_link(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to the link that carries the token; None for any other request."""
        path: str = scope["path"]
        if scope["method"] not in _SAFE_METHODS or path.startswith(MACHINE_PATHS):
            return None
        query = QueryParams(scope["query_string"])
        if "token" not in query:
            return None
        if not _same(query["token"], self._token):
            raise Refusal(401, "The link's token is not that of this server; it may have been started anew since.")
        rest = [(key, value) for key, value in query.multi_items() if key != "token"]
        response = _onward(_address(scope, rest), headers)
        name, value = cookie_name(scope, self._settings), self._pass.decode()
        response.set_cookie(name, value, max_age=30 * 86400, path="/", httponly=True, samesite="strict")
        return response

    def _check_caller(self, scope: Scope, headers: Headers) -> None:
        bearer = self._has_bearer(headers)
        if not (bearer or self._has_cookie(scope, headers)):
            raise Refusal(401, "A token is needed: open the link that wfstore dashboard printed, or send it as bearer.")
        if scope["method"] in _SAFE_METHODS or (bearer and scope["path"].startswith(_EVENT_PATH)):
            return
        if headers.get(ACTION_HEADER) != "1":
            raise Refusal(403, f"A request that changes something needs the header {ACTION_HEADER}: 1.")

    def _has_bearer(self, headers: Headers) -> bool:
        given = headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and _same(token.strip(), self._token)

    def _has_cookie(self, scope: Scope, headers: Headers) -> bool:
        name = cookie_name(scope, self._settings)
        return any(_same(value, self._pass) for value in _cookies(headers, name))


def cookie_value(token: str) -> str:
    """What the cookie holds: proof of the token, not the token."""
    return hmac.new(token.encode(), b"wfstore dashboard cookie", "sha256").hexdigest()


def cookie_name(scope: Scope, settings: Settings) -> str:
    """One for each port: browsers do not tell ports apart, and two dashboards must not log each other out."""
    server = scope.get("server")
    return f"wfstore-{server[1] if server and server[1] else settings.port}"


def _known_hosts(settings: Settings) -> frozenset[str]:
    names = {name.lower().rstrip(".") for name in settings.allowed_hosts}
    names |= {"localhost", "127.0.0.1", "::1", settings.host.lower()}
    if not settings.loopback:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


def _check_size(scope: Scope) -> None:
    """The HTTP parser bounds a head only while it waits for the rest of it; one that came in one piece is whole."""
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > _MAX_HEAD_BYTES or len(scope["headers"]) > _MAX_HEADERS:
        most = f"{_MAX_HEAD_BYTES:,} bytes, and {_MAX_HEADERS} headers"
        raise Refusal(431, f"The address and headers of a request may not exceed {most}.")


def _check_fetch(method: str, headers: Headers) -> None:
    """What a browser says about where the request comes from."""
    site = headers.get("sec-fetch-site")
    if method in _SAFE_METHODS:
        visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if site in (None, "none", "same-origin") or visit:
            return
        raise Refusal(403, "Pages of other sites may not load anything from here.")
    if site not in (None, "same-origin"):
        raise Refusal(403, "Pages of other sites may not change anything here.")
    origins = headers.getlist("origin")
    host = headers.get("host", "").lower()
    ours = {f"http://{host}", f"https://{host}"}
    if site == "same-origin":  # then a page without a referrer may say "null", and the browser vouches for it
        ours.add("null")
    if any(origin.lower() not in ours for origin in origins):
        raise Refusal(403, "Pages of other origins may not change anything here.")


def _same(given: str, secret: bytes) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret)


def _cookies(headers: Headers, name: str) -> Iterable[str]:
    for header in headers.getlist("cookie"):
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                yield value.strip('"')


def _address(scope: Scope, query: list[tuple[str, str]]) -> str:
    """The path that was asked for, as it was sent, with this query."""
    raw = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1").partition("?")[0]
    # One slash at its front: "//name" would lead to another host.
    path = "/" + quote(raw.lstrip("/\\"), safe="/%:@!$&'()*+,;=~")
    return path + (f"?{urlencode(query)}" if query else "")


def _foreign_visit(headers: Headers) -> bool:
    """Did somebody follow a link on another site's page? Browsers keep a SameSite=Strict cookie from such a request,
    and from its redirects."""
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") == "navigate"


def _onward(clean: str, headers: Headers) -> Response:
    """Leads to `clean`: by a redirect, or by a page of ours where a redirect would not carry the cookie."""
    if not _foreign_visit(headers):
        return RedirectResponse(clean, HTTPStatus.SEE_OTHER)
    shown = html.escape(clean.replace(";", "%3B"))  # a semicolon would end the address
    return HTMLResponse(_PAGE.format(title="wfstore", head=f'<meta http-equiv="refresh" content="0; url={shown}">',
                                     text=f'<a href="{shown}">Go on</a>'))  # fmt: skip


def _refused(refusal: Refusal, scope: Scope, asked: Headers) -> Response:
    headers = {"WWW-Authenticate": 'Bearer realm="wfstore"'} if refusal.status == 401 else {}
    machine = scope["path"].startswith(MACHINE_PATHS)
    if refusal.status == 401 and not machine and _foreign_visit(asked) and b"token=" not in scope["query_string"]:
        # The cookie may be there and was not sent. The second try comes from our own page, and ends here at the latest.
        return _onward(_address(scope, QueryParams(scope["query_string"]).multi_items()), asked)
    if machine:
        error = {"type": HTTPStatus(refusal.status).phrase, "message": refusal.message}
        return JsonResponse({"error": error}, refusal.status, headers)
    title = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    return HTMLResponse(_PAGE.format(title=title, head="", text=refusal.message), refusal.status, headers)


#: Of this middleware alone: it knows no template, and says nothing about the store.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>{head}</head>
<body><main><h1>{title}</h1><p>{text}</p></main></body>
</html>
"""


def _sealing(send: Send) -> Send:
    """Adds the headers of every answer, and takes away what would let other sites read it."""

    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message["headers"]))
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            message = {**message, "headers": headers.raw}
        await send(message)

    return sealed


def _bounded(receive: Receive, headers: Headers, most: int) -> Receive:
    """Reads no more of a body than `most` bytes. Raises Refusal (413) where there is more."""
    announced = headers.get("content-length", "0")
    taken = int(announced) if announced.isdecimal() and int(announced) > most else 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise Refusal(413, f"The body of a request may have at most {most:,} bytes.")
        return message

    return bounded
