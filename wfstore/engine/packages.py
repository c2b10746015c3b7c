"""The submitter's code, kept with its workflows: packages of a runtime_env that live in Ray's GCS only.

Ray uploads a local ``working_dir`` or ``py_modules`` to the GCS as ``gcs://_ray_pkg_<hash>.zip``, and deletes it when
the last job that names it ends; with the cluster it goes in any case. Workflows live longer than both, so the driver
keeps the bytes as payloads, and the manager puts them back before it runs tasks that need them.

Packages elsewhere (``s3://``, ``https://``) are their owner's affair. Nothing here installs or unpacks anything: Ray
does, once the package is back under its own URI.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import ray
from ray.experimental import internal_kv

from wfstore.errors import DamageError, PayloadMissingError

#: Larger packages are not kept: they are data rather than code, and belong on a shared filesystem or object store.
LARGEST_BYTES = 256 << 20

_SCHEME = "gcs://"
_FIELDS = ("working_dir", "py_modules", "java_jars")
#: The GCS computes milliseconds in 32 bits: 24 days is the longest pin that it keeps.
_PIN_S = 24 * 24 * 3600
_PIN_AGAIN_AFTER_S = _PIN_S / 2

_log = logging.getLogger("wfstore.packages")

#: What this process has kept already, by owner of the store: uri -> payload hash, None for what cannot be kept.
_kept: WeakKeyDictionary[Any, dict[str, str | None]] = WeakKeyDictionary()
#: (session, uri) -> when it was pinned last.
_pinned: dict[tuple[str, str], float] = {}
_warned: set[str] = set()


def preserve(runtime_env: Mapping[str, Any], put_file: Callable[[bytes], str]) -> dict[str, str]:
    """Keep the GCS packages that `runtime_env` names; returns uri -> payload hash of those kept.

    put_file: stores bytes as a payload file and returns their hash; its errors are raised. Each package is read once
    per process and store. One larger than `LARGEST_BYTES`, or gone already, is left out with one warning.
    """
    known = _kept.setdefault(getattr(put_file, "__self__", put_file), {})
    for uri in _uris(runtime_env):
        if uri not in known:
            known[uri] = _preserve_one(uri, put_file)
    return {uri: kept for uri in _uris(runtime_env) if (kept := known[uri]) is not None}


def _preserve_one(uri: str, put_file: Callable[[bytes], str]) -> str | None:
    data: bytes | None = internal_kv._internal_kv_get(uri)
    if data is None:
        _warn(uri, f"package {uri} is not in this cluster's GCS: its workflows cannot take it to another cluster")
        return None
    if len(data) > LARGEST_BYTES:
        _warn(
            uri,
            f"package {uri} has {len(data) >> 20} MiB, more than the {LARGEST_BYTES >> 20} MiB that are kept with a "
            "workflow: on another cluster it can only be resumed where its modules are installed",
        )
        return None
    return put_file(data)


def restore(runtime_env: Mapping[str, Any], packages: Mapping[str, str], get: Callable[[str], bytes]) -> None:
    """Put the packages that `runtime_env` names back into this cluster's GCS where they are missing, and pin them, so
    that they outlive the jobs that name them. Blocking; repeated calls cost a look into a dict.

    packages: what `preserve` returned; get: the bytes of a payload by its hash. A package that is in neither place
    is left out with one warning (see `without_lost`); other errors of `get` and of the GCS are raised.
    """
    session, now = ray.get_runtime_context().get_session_name(), time.monotonic()
    for uri in _uris(runtime_env):
        pinned_at = _pinned.get((session, uri))
        if pinned_at is not None and now - pinned_at < _PIN_AGAIN_AFTER_S:
            continue
        # Before the look: the job that uploaded it may end in between, and take it along.
        internal_kv._pin_runtime_env_uri(uri, expiration_s=_PIN_S)
        if internal_kv._internal_kv_exists(uri) or _upload(uri, packages.get(uri), get):
            _pinned[session, uri] = now


def _upload(uri: str, kept: str | None, get: Callable[[str], bytes]) -> bool:
    if kept is None:
        _warn(uri, f"package {uri} is not in this cluster's GCS and was not kept: tasks run without it")
        return False
    try:
        data = get(kept)
    except (PayloadMissingError, DamageError) as error:
        _warn(uri, f"package {uri} is lost, tasks run without it: {error}")
        return False
    internal_kv._internal_kv_put(uri, data)
    return True


def without_lost(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """`runtime_env` without the packages that this cluster does not have.

    With them Ray would refuse to start a worker, in terms of URIs; without them the error names the module that is
    missing. To be called after `restore`; a look into a dict for what that has put in place.
    """
    session = ray.get_runtime_context().get_session_name()
    lost = {
        uri for uri in _uris(runtime_env) if (session, uri) not in _pinned and not internal_kv._internal_kv_exists(uri)
    }
    if not lost:
        return dict(runtime_env)
    found = dict(runtime_env)
    for field in _FIELDS:
        value = found.get(field)
        if isinstance(value, (list, tuple)):
            value = [uri for uri in value if uri not in lost]
        if not value or (isinstance(value, str) and value in lost):
            found.pop(field, None)
        else:
            found[field] = value
    return found


def _uris(runtime_env: Mapping[str, Any]) -> list[str]:
    """The packages in the GCS that it names, each once."""
    found: list[str] = []
    for field in _FIELDS:
        value = runtime_env.get(field) or ()
        uris: Iterable[Any] = (value,) if isinstance(value, str) else value
        found += [uri for uri in uris if isinstance(uri, str) and uri.startswith(_SCHEME)]
    return list(dict.fromkeys(found))


def _warn(uri: str, text: str) -> None:
    if uri not in _warned:
        _warned.add(uri)
        _log.warning(text)
