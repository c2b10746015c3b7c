"""The writer of a log on object storage: a commit is one put-if-absent of the next object of the chain.

Whoever claims the log puts the next object first; an older writer's put is then refused, and it stops for ever. That
takes no second request.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from wfstore.errors import FencedError, StorageError, WfstoreError
from wfstore.log import failpoints
from wfstore.log.objects.files import write_witness
from wfstore.log.objects.link import End, build
from wfstore.log.witness import Witness, advanced
from wfstore.model.events import Event
from wfstore.objects import Bucket
from wfstore.schema.rows import Rows, pack

#: A writer that commits without a pause looks this often whether somebody asks it to stop.
SUMMONS_EVERY_S = 1.0


def summons_name(epoch: int) -> str:
    """The object that asks the writer of `epoch` to stop: one who wants to claim the log cannot get in between."""
    return f"summons/{epoch:08d}"


class ObjectLogWriter:
    """`LogWriter` of a log on object storage. Get it from `open_writer`."""

    def __init__(
        self,
        bucket: Bucket,
        witness: Witness,
        header: bytes,
        end: End,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = bucket.storage
        self.epoch = end.epoch
        self._bucket = bucket
        self._witness = witness
        self._header = header
        self._end = end
        self._newest, self._bytes = witness.segment, witness.sealed_length
        self._failure: WfstoreError | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._clock = clock
        self._looked = clock()

    @property
    def store_id(self) -> str:
        """Identity of the store, whatever URI it is reached by."""
        return self._witness.store_id

    @property
    def restored(self) -> bool:
        """As `LogWriter.restored`."""
        return self._witness.restored_seq > 0 and self.next_seq == self._witness.restored_seq + 1

    @property
    def next_seq(self) -> int:
        return self._end.place.first_seq

    def append(self, events: Sequence[Event]) -> tuple[int, int]:
        """As `LogWriter.append`; blocks for one PUT. Raises OutcomeUnknownError when the storage does not answer."""
        return self.commit(pack(events))

    def commit(self, rows: Rows) -> tuple[int, int]:
        """`append` for rows that were packed before."""
        first = self.next_seq
        with self._lock:
            if self._failure is None:
                # Too large a commit is the caller's fault, and leaves the writer usable.
                data, end = build(self._header, self.epoch, rows, self._end)
            with self._failing_for_ever():
                first = self.next_seq
                if rows.rows:
                    self._put(data, end)
                return first, first + rows.rows - 1

    def close(self) -> None:
        """Leave in good order: no further append; store.json says how long the log is. Safe to call again."""
        with self._lock:
            if self._closed:
                return
            failed, self._closed = self._failure is not None, True
            try:
                if not failed:
                    self._seal()
            finally:
                self._failure = StorageError(self.storage, "this writer is closed")

    @contextlib.contextmanager
    def _failing_for_ever(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except WfstoreError as error:
            self._failure = error
            raise
        except BaseException:
            # Interrupted somewhere between the put and the acknowledgement: what is there is unknown.
            self._failure = StorageError(self.storage, "a commit was interrupted; open a new writer")
            raise

    def _put(self, data: bytes, end: End) -> None:
        self._heed_summons()
        failpoints.hit(failpoints.APPEND_BEFORE_WRITE)
        name = self._end.place.name
        if not self._bucket.create(name, data):
            raise self._fenced(f"{name} is another's")
        failpoints.hit(failpoints.APPEND_WRITTEN)
        self._end, self._newest, self._bytes = end, name, len(data)

    def _heed_summons(self) -> None:
        """Without it a claimant, who must see an object before it can put the next, would always come too late."""
        now = self._clock()
        if now - self._looked >= SUMMONS_EVERY_S:
            self._looked = now
            if self._bucket.size(summons_name(self.epoch)) is not None:
                raise self._fenced("it was asked to stop")

    def _fenced(self, how: str) -> FencedError:
        reason = f"another manager writes this log, and epoch {self.epoch} may not any more: {how}"
        return FencedError(self.storage, reason)

    def _seal(self) -> None:
        """A fenced writer leaves store.json to its successor."""
        failpoints.hit(failpoints.CLOSE_BEFORE_WITNESS)
        if self._bucket.size(self._end.place.name) is not None:
            return
        end = advanced(self._witness, self.epoch, self._newest, self._bytes, self.next_seq, clean=True)
        write_witness(self._bucket, end)
