"""What a user may call a storage, and which local directory or object storage it means. Creates nothing."""

from __future__ import annotations

import os
import re
import tempfile
import time
import warnings
from urllib.parse import unquote, urlsplit

from wfstore.errors import StorageError
from wfstore.objects.uri import is_known_scheme
from wfstore.objects.uri import parse as parse_uri

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_warned = False


def now_us() -> int:
    """The wall clock, microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


#: Below the folder that Ray was given, ray.workflow made this one.
_OLD_FOLDER = "workflows"


def resolve_storage(storage: str | os.PathLike[str] | None) -> str:
    """The absolute local path of a storage given as a path or `file://` URI, or the one URI of an object storage.

    None: $WFSTORE_STORAGE, else $RAY_WORKFLOW_STORAGE, else `<tmp>/ray/workflow_data` with one warning per process.
    Secrets of a URI are known to this process from now on and are not in what is returned. Raises StorageError for a
    scheme that is none of s3, gs, az, abfs, memory and file, and for an empty or impossible path.
    """
    if storage is None:
        named = os.environ.get("WFSTORE_STORAGE") or os.environ.get("RAY_WORKFLOW_STORAGE")
        return resolve_storage(named) if named else _default()
    text = os.fspath(storage)
    if not isinstance(text, str) or not text or "\0" in text:
        raise StorageError(repr(text), "this is not a path. Give a directory, or a file:// URI")
    if text.lower().startswith("file:"):
        return _from_file_uri(text)
    if is_known_scheme(text):
        return parse_uri(text)
    if _SCHEME.match(text) and "://" in text:
        reason = "stores are on local filesystems (a path or file:// URI) or at s3://, gs://, az:// or abfs:// URIs"
        raise StorageError(text.partition("://")[0] + "://", reason)
    return os.path.abspath(os.path.expanduser(text))


def _from_file_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise StorageError(uri, "a file URI has three slashes and an absolute path: file:///srv/workflows")
    return os.path.abspath(unquote(parts.path))


def _default() -> str:
    global _warned
    path = os.path.join(tempfile.gettempdir(), "ray", "workflow_data")
    if not _warned:
        _warned = True
        text = (
            f"No storage was named: workflows are kept in {path}, which does not outlive this machine. "
            "Set $WFSTORE_STORAGE, or give storage=."
        )
        if os.path.isdir(os.path.join(path, _OLD_FOLDER)):
            text += f" A store of ray.workflow lies there: `wfstore import ray-workflow {path}` reads it."
        warnings.warn(text, stacklevel=3)
    return path
