"""From a URI to a client of its storage: options, timeouts and retries, all of them here."""

from __future__ import annotations

import importlib.util
import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wfstore.errors import StorageError
from wfstore.objects.bucket import Bucket, readable
from wfstore.objects.uri import Place, hidden_of, place_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, MemoryStore, ObjectStore, RetryConfig

#: A storage that is silent for so long has lost the request; it is asked again, so often and for so long.
_SILENT_S, _RETRIES, _RETRY_FOR_S = 60, 5, 60
#: The whole of a request, which may carry a large value over a slow line.
_TIMEOUT_S = 900
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3")
#: Environment variables whose values are no one's to see.
_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_CLIENT_SECRET",
)

_lock = threading.Lock()
_open: dict[str, tuple[dict[str, str], Bucket]] = {}
_memories: dict[str, MemoryStore] = {}


def bucket_of(storage: str) -> Bucket:
    """The objects of a storage (a canonical URI), by a client that this process shares. Sends no request.

    Raises StorageError for options that do not exist, and when `obstore` is not installed.
    """
    key, hidden = str(storage), hidden_of(storage)
    with _lock:
        known = _open.get(key)
        if known is None or known[0] != hidden:
            known = _open[key] = hidden, _connect(key, place_of(storage))
        return known[1]


def _connect(storage: str, place: Place) -> Bucket:
    if importlib.util.find_spec("obstore") is None:
        raise StorageError(storage, "object storage needs one more package: pip install 'wfstore[s3]'")
    from obstore.exceptions import BaseError

    secrets = [*hidden_of(storage).values(), *(os.environ.get(name, "") for name in _SECRET_VARIABLES)]
    try:
        client = _client(place)
    except (BaseError, ValueError, TypeError) as error:
        raise StorageError(storage, f"options that will not do: {readable(error, secrets)}") from None
    return Bucket(storage, client, place.prefix, secrets)


def _client(place: Place) -> ObjectStore:
    from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

    if place.scheme == "memory":
        return _memories.setdefault(place.bucket, MemoryStore())
    options: dict[str, Any] = dict(place.options)
    http = _is_true(options.pop("allow_http", "")) or _plain_http(options)
    client: ClientConfig = {
        "timeout": timedelta(seconds=_TIMEOUT_S),
        "read_timeout": timedelta(seconds=_SILENT_S),
        "allow_http": http,
    }
    if "proxy_url" in options:
        client["proxy_url"] = options.pop("proxy_url")
    retry: RetryConfig = {
        "max_retries": _RETRIES,
        "retry_timeout": timedelta(seconds=_RETRY_FOR_S),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
    if place.scheme == "s3":
        return S3Store.from_url(place.root, client_options=client, retry_config=retry, **options)
    if place.scheme == "gs":
        return GCSStore.from_url(place.root, client_options=client, retry_config=retry, **options)
    return AzureStore.from_url(place.root, client_options=client, retry_config=retry, **options)


def _plain_http(options: dict[str, Any]) -> bool:
    endpoint = options.get("endpoint") or next((value for name in _ENDPOINTS if (value := os.environ.get(name))), "")
    parts = urlsplit(str(endpoint))
    # obstore panics at a request to a port that is none; asking for it here raises ValueError.
    return (parts.scheme == "http" and parts.port != 0) or _is_true(os.environ.get("AWS_ALLOW_HTTP", ""))


def _is_true(text: str) -> bool:
    return text.lower() in ("1", "true", "yes", "on")
