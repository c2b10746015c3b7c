"""The objects below one prefix. Each operation is one request (listing: one per 1,000 names), safe to repeat.

A request that is repeated after a lost reply can meet its own success; `create` therefore reads back what is there.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wfstore.errors import OutcomeUnknownError, StorageError

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ObjectStore

T = TypeVar("T")

#: A put whose outcome cannot be learnt for so long is given up as unknown.
UNKNOWN_AFTER_S = 60.0
_PAUSE_S = 0.2
#: obstore does not repeat some requests that nobody answered, where it would do no harm.
_PUTS = 2
#: It goes on with a body that broke off only where the object is still the same: one that was replaced is read anew.
_BODIES = 2
_CONCURRENT = 16
#: S3's word for it.
_NO_BUCKET = "NoSuchBucket"
#: Shorter ones are not looked for in texts: they would be found everywhere.
_SECRET_CHARS = 3


class Entry(NamedTuple):
    """An object there is. modified_us: when it was put, by the storage's clock."""

    name: str
    bytes: int
    modified_us: int


class Bucket:
    """Every method raises StorageError, in whose text there is no secret. Any number of threads may use it."""

    def __init__(self, storage: str, client: ObjectStore, prefix: str, secrets: Iterable[str] = ()) -> None:
        self.storage = storage
        self._client = client
        self._prefix = f"{prefix}/" if prefix else ""
        self._secrets = tuple(secrets)

    def __repr__(self) -> str:
        return f"<Bucket {self.storage!r}>"

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> bytes | None:
        """The whole object, all of one version; None when there is none."""
        return self._body(name, lambda found: bytes(found.bytes()))

    def get_all(self, names: Iterable[str]) -> list[bytes | None]:
        """`get` of several at once, in order."""
        names = list(names)
        if len(names) < 2:
            return [self.get(name) for name in names]
        return list(_threads().map(self.get, names))

    def find(self, name: str) -> Entry | None:
        """What there is of that name; None when there is nothing."""
        import obstore

        with self._translated(f"looking for {name}"):
            try:
                meta = obstore.head(self._client, self._prefix + name)
            except FileNotFoundError:
                return None
            return _entry(name, meta)

    def size(self, name: str) -> int | None:
        """Bytes of the object; None when there is none."""
        found = self.find(name)
        return None if found is None else found.bytes

    def entries(self, folder: str = "", after: str = "") -> Iterator[Entry]:
        """The objects of a folder (all of them by default) in the order of their names, those behind `after` only.

        Names are relative to the prefix; `after` need not exist, and is of the same folder.
        """
        import obstore

        prefix = (self._prefix + folder).rstrip("/")
        offset = self._prefix + after if after else None
        with self._translated(f"listing {folder or 'the store'}"):
            try:
                for chunk in obstore.list(self._client, prefix or None, offset=offset, chunk_size=1000):
                    # Azure and memory promise no order within a page that was filtered; names do not repeat.
                    for meta in sorted(chunk, key=lambda meta: meta["path"]):
                        yield _entry(meta["path"][len(self._prefix) :], meta)
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(self, name: str, data: bytes) -> None:
        """Put the object, whatever was there."""
        import obstore
        from obstore.exceptions import GenericError

        with self._translated(f"writing {name}"):
            for left in reversed(range(_PUTS)):
                try:
                    obstore.put(self._client, self._prefix + name, data)
                    return
                except GenericError:
                    if not left:
                        raise

    def upload(self, name: str, path: str) -> None:
        """Put a local file's bytes; a large one goes in parts, and appears as a whole."""
        import obstore

        with self._translated(f"writing {name}"):
            obstore.put(self._client, self._prefix + name, Path(path))

    def download(self, name: str, path: str) -> int | None:
        """Write the object's bytes to a local file; how many, or None, and no file, when there is none."""

        def write(found: GetResult) -> int:
            with open(path, "wb") as file:
                return sum(file.write(part) for part in found.stream())

        return self._body(name, write)

    def create(self, name: str, data: bytes) -> bool:
        """Put-if-absent. True: these bytes are there, durable. False: others are, and nothing was changed.

        Two writers with the same bytes both get True: let the bytes say whose they are. Raises OutcomeUnknownError
        when neither could be learnt: the bytes may be there, or may still come to be.
        """
        deadline = time.monotonic() + UNKNOWN_AFTER_S
        while True:
            failure = self._try_to_create(name, data)
            if failure is None:
                return True
            try:
                there = self.get(name)
            except StorageError as error:
                failure = error
            else:
                if there is not None:
                    return there == data
                if _is_final(failure):
                    with self._translated(f"writing {name}"):
                        raise failure
            if time.monotonic() > deadline:
                reason = self._readable(failure)
                raise OutcomeUnknownError(self.storage, f"whether {name} was written is not known: {reason}") from None
            time.sleep(_PAUSE_S)

    def _try_to_create(self, name: str, data: bytes) -> Exception | None:
        """None when it was said to be done, else what was said."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.put(self._client, self._prefix + name, data, mode="create")
        except (BaseError, OSError, ValueError) as error:
            return error
        return None

    def create_once(self, name: str, data: bytes) -> bool:
        """Put-if-absent as the storage answers it, without a look at what is there: for the probe."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        failure = self._try_to_create(name, data)
        if isinstance(failure, (AlreadyExistsError, PreconditionError)):
            return False
        if failure is not None:
            with self._translated("trying put-if-absent"):
                raise failure
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Nothing happens for those that are not there."""
        import obstore
        from obstore.exceptions import GenericError

        paths = [self._prefix + name for name in names]
        for left in reversed(range(_PUTS if paths else 0)):
            with self._translated("removing objects"), contextlib.suppress(FileNotFoundError):
                try:
                    obstore.delete(self._client, paths)
                    return
                except GenericError:
                    if not left:
                        raise

    # -- in common ----------------------------------------------------------------------------------------------------

    def _body(self, name: str, read: Callable[[GetResult], T]) -> T | None:
        """What `read` makes of the object; None when there is none."""
        import obstore
        from obstore.exceptions import GenericError

        with self._translated(f"reading {name}"):
            for left in reversed(range(_BODIES)):
                try:
                    found = obstore.get(self._client, self._prefix + name)
                except FileNotFoundError as error:
                    if _NO_BUCKET in str(error):
                        raise
                    return None
                try:
                    return read(found)
                except GenericError:
                    if not left:
                        raise
            return None

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Turns what obstore raises into a StorageError; its cause is left out, as its text may hold secrets."""
        from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            reason = f"{doing} was refused: {self._readable(error)}. Check the credentials and what they may do"
            raise StorageError(self.storage, reason) from None
        except NotSupportedError as error:
            raise StorageError(self.storage, f"{doing}: the storage cannot do that: {self._readable(error)}") from None
        except (BaseError, OSError, ValueError) as error:
            if _NO_BUCKET in str(error):
                reason = "there is no such bucket. Create it first: wfstore makes none"
                raise StorageError(self.storage, reason) from None
            raise StorageError(self.storage, f"{doing} failed: {self._readable(error)}") from None

    def _readable(self, error: Exception) -> str:
        return readable(error, self._secrets)


def _entry(name: str, meta: ObjectMeta) -> Entry:
    return Entry(name, int(meta["size"]), int(meta["last_modified"].timestamp() * 1_000_000))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Those of this process that fetch."""
    return ThreadPoolExecutor(_CONCURRENT, thread_name_prefix="wfstore-get")


def readable(error: Exception, secrets: Iterable[str]) -> str:
    """What an error says to people, without secrets."""
    if isinstance(error, StorageError):
        return error.message
    text = str(error).partition("\n\nDebug source")[0].strip()
    code = re.search(r"<Code>(\w+)</Code>", text)
    text = text.partition("<?xml")[0].strip() + (f" ({code[1]})" if code else "")
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***") if len(secret) >= _SECRET_CHARS else text
    return text


def _is_final(error: Exception) -> bool:
    """Whether asking again would bring the same answer."""
    from obstore.exceptions import InvalidPathError, NotSupportedError, PermissionDeniedError, UnauthenticatedError

    final = (PermissionDeniedError, UnauthenticatedError, NotSupportedError, InvalidPathError, FileNotFoundError)
    return isinstance(error, final)
