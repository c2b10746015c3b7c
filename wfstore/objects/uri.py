"""URIs of object storages: their one canonical form, and the secrets that it does not show.

What may be seen stays in the URI; every other option of its query, and a password, is kept beside it in this process
and goes along only when the URI is pickled: to Ray's workers, say. It is in no text, no repr, no log and no error.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from wfstore.errors import StorageError

#: Spelling of a scheme -> ours.
_SCHEMES = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "adl": "az",
    "azure": "az",
    "abfs": "abfs",
    "abfss": "abfs",
    "memory": "memory",
}
#: Options as pyarrow and the environment spell them -> as obstore does.
_SPELLINGS = {
    "endpoint_override": "endpoint",
    "endpoint_url": "endpoint",
    "aws_endpoint": "endpoint",
    "aws_endpoint_url": "endpoint",
    "aws_region": "region",
    "access_key": "access_key_id",
    "aws_access_key_id": "access_key_id",
    "secret_key": "secret_access_key",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "token": "session_token",
    "anonymous": "skip_signature",
}
#: What a URI may show; whatever else it says is taken for a secret.
_SHOWN = frozenset(
    ("endpoint", "region", "allow_http", "skip_signature", "virtual_hosted_style_request", "account_name", "proxy_url")
)
#: Of pyarrow's; they ask for nothing that is done here.
_IGNORED = frozenset(("allow_bucket_creation", "allow_bucket_deletion", "allow_delayed_open", "background_writes"))
_USER_AND_PASSWORD = {"s3": ("access_key_id", "secret_access_key"), "abfs": ("", "account_key")}
_URI = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")

_hidden: dict[str, dict[str, str]] = {}
_lock = threading.Lock()


class ObjectURI(str):
    """A canonical URI. Its text holds no secret; its pickle carries them to the process that unpickles it."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (str(self), hidden_of(self))


@dataclass(frozen=True, slots=True)
class Place:
    """What a canonical URI says. root: URI of the bucket or container; prefix: without slashes at its ends."""

    scheme: str
    root: str
    bucket: str
    prefix: str
    options: dict[str, str]


def is_uri(storage: str) -> bool:
    """Whether a resolved storage lies on object storage; any other is an absolute path."""
    return "://" in storage


def is_known_scheme(text: str) -> bool:
    """Whether `parse` takes URIs that begin like this."""
    match = _URI.match(text)
    return match is not None and match[1].lower() in _SCHEMES


def parse(text: str) -> ObjectURI:
    """The canonical URI of `text`, whose secrets this process knows from now on. Connects to nothing.

    Raises StorageError, in which no secret is shown.
    """
    parts = urlsplit(text)
    scheme = _SCHEMES[parts.scheme.lower()]
    options, hidden = _options(parts, scheme)
    user, _, host = parts.netloc.rpartition("@")
    if scheme == "abfs" and user:
        host = f"{user.partition(':')[0]}@{host}"
    shown = f"{scheme}://{host}{parts.path}"
    if not host and scheme != "memory":
        raise StorageError(shown, f"a bucket is missing: {scheme}://BUCKET/PREFIX")
    if parts.fragment or "#" in text:
        raise StorageError(shown, "a '#' cannot be part of a storage's name")
    prefix = "/".join(part for part in parts.path.split("/") if part)
    if any(part in (".", "..") for part in prefix.split("/")):
        raise StorageError(shown, "'.' and '..' mean nothing in an object's name")
    query = f"?{urlencode(sorted(options.items()))}" if options else ""
    uri = f"{scheme}://{host}{'/' if prefix else ''}{prefix}{query}"
    if hidden:
        with _lock:
            _hidden[uri] = hidden
    return ObjectURI(uri)


def _options(parts: SplitResult, scheme: str) -> tuple[dict[str, str], dict[str, str]]:
    """Those that may be shown, and the others."""
    given = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        name = name.lower()
        given[_SPELLINGS.get(name, name)] = value
    user, password = _USER_AND_PASSWORD.get(scheme, ("", ""))
    if parts.password and password:
        given.setdefault(password, unquote(parts.password))
        if user:
            given.setdefault(user, unquote(parts.username or ""))
    over = given.pop("scheme", "https")
    if "endpoint" in given and "://" not in given["endpoint"]:
        given["endpoint"] = f"{over}://{given['endpoint']}"
    given = {name: value for name, value in given.items() if name not in _IGNORED}
    # A name and password before a host are secrets wherever they stand.
    shown = {name: value for name, value in given.items() if name in _SHOWN and "@" not in value}
    return shown, {name: value for name, value in given.items() if name not in shown}


def _restored(uri: str, hidden: dict[str, str]) -> ObjectURI:
    if hidden:
        with _lock:
            _hidden[uri] = hidden
    return ObjectURI(uri)


def hidden_of(uri: str) -> dict[str, str]:
    """The options of a canonical URI that it does not show."""
    with _lock:
        return dict(_hidden.get(str(uri), {}))


def place_of(uri: str) -> Place:
    """Take a canonical URI apart."""
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query)) | hidden_of(uri)
    return Place(parts.scheme, f"{parts.scheme}://{parts.netloc}", parts.netloc, parts.path.strip("/"), options)
