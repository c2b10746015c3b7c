"""Where the dashboard listens, who may ask it, and the token that proves it. Needs no web library.

The token is kept between starts, one for each user of a machine: a dashboard that is restarted, by Ray after a crash or
by hand, lets the pages that were open go on, and an API client needs no new one each time. Whoever wants a fresh one
removes the file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8266
TOKEN_VARIABLE = "WFSTORE_DASHBOARD_TOKEN"
_TOKEN_BYTES = 32
#: What can stand in a URL, a header and a cookie as it is.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,512}")
_GENERATED = re.compile(r"[A-Za-z0-9_-]{43}")
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True)
class Settings:
    """What one dashboard was started with.

    token: secret of every request. host, port: where it listens. allowed_hosts: names, besides those that `host` gives,
    that a request's Host header may have (a reverse proxy's, say). max_body_bytes: of a request.

    Raises ValueError for a token or host that cannot be used.
    """

    token: str = field(repr=False)
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("the token must be 1 to 512 letters, digits and . _ ~ -")
        if not self.host:
            raise ValueError("the host is empty; 127.0.0.1 listens on this machine only")

    @property
    def loopback(self) -> bool:
        """Can only this machine reach it?"""
        return is_loopback(self.host)

    def link(self, port: int | None = None) -> str:
        """What a browser opens once: it gets the cookie, and the token leaves the address."""
        return f"{self.address(port)}/?token={self.token}"

    def address(self, port: int | None = None) -> str:
        """The URL without a path. A wildcard address is shown as this machine's own."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(self.host, self.host)
        shown = f"[{name}]" if ":" in name else name
        return f"http://{shown}:{self.port if port is None else port}"


def make(
    *,
    token: str | None = None,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    allowed_hosts: Collection[str] = (),
) -> Settings:
    """Settings as a user gives them. token: None takes ``$WFSTORE_DASHBOARD_TOKEN``, else that of this user's file.

    Raises ValueError for a `host` that other machines reach without a token that was given on purpose.
    """
    given = token if token is not None else os.environ.get(TOKEN_VARIABLE)
    if given is None and not is_loopback(host):
        raise ValueError(
            f"--host {host} lets other machines in; choose the token yourself then (--token, or ${TOKEN_VARIABLE}), "
            "or listen on 127.0.0.1"
        )
    chosen = kept_token() if given is None else given
    return Settings(chosen, host, port, tuple(name.lower() for name in allowed_hosts))


def is_loopback(host: str) -> bool:
    """Is it an address of this machine only?"""
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Is it an IP address, not a name?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# -- the token's file -------------------------------------------------------------------------------------------------


def token_file() -> Path:
    """``$XDG_STATE_HOME/wfstore/dashboard-token``, by default below ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "wfstore" / "dashboard-token"


def kept_token(path: Path | None = None) -> str:
    """The token in this user's file, made on first use with mode 0600 in a folder of mode 0700.

    One that others could have read, or that somebody wrote by hand, is replaced. Raises OSError where the file cannot
    be kept, PermissionError where it is another user's.
    """
    path = path or token_file()
    found = _read(path)
    if found is not None:
        return found
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = secrets.token_urlsafe(_TOKEN_BYTES)
    # Two that start at once must end up with one token: the file appears whole, and only the first one's stays.
    handle, name = tempfile.mkstemp(prefix=".token-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(fresh + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)
    return _read(path) or fresh


def _read(path: Path) -> str | None:
    """The token; None where there is none to be trusted, and then no file either."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle) as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise PermissionError(f"{path} is no plain file; remove it")
        if facts.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user; remove it, or set XDG_STATE_HOME")
        text = file.read(1024).strip()
    if facts.st_mode & 0o077 == 0 and _GENERATED.fullmatch(text):
        return text
    path.unlink(missing_ok=True)
    return None
