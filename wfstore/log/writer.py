"""The only writer of events: append, fdatasync, look for a newer epoch, acknowledge. One thread at a time gets in.

It never retries a failed write or fdatasync: after one failure the kernel reports success for bytes it has lost, so the
writer is unusable for ever and the next manager goes on from the last valid frame.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wfstore.errors import FencedError, StorageError, WfstoreError
from wfstore.log import failpoints, frame
from wfstore.log._files import FILE_MODE, datasync, storage_error, sync_directory, write_at
from wfstore.log.segment import Position, Seal, build_header, log_path, segment_name
from wfstore.log.storage import now_us
from wfstore.log.survey import is_superseded
from wfstore.log.witness import Witness, advanced, write_witness
from wfstore.model.events import Event
from wfstore.schema.rows import Rows, pack

#: A reader decodes what is in no history file when it opens the store; a segment gets there once it is sealed.
DEFAULT_SEGMENT_BYTES = 16 << 20


@dataclass(slots=True)
class OpenSegment:
    """The segment being written; `end` is where its next frame goes."""

    fd: int
    name: str
    epoch: int
    number: int
    end: Position


class LogWriter:
    """Appends to the log of one storage as one epoch. Get it from `open_writer`.

    storage: path of the store; epoch: this writer's generation; next_seq: seq of the event to come.
    """

    def __init__(
        self,
        storage: str,
        witness: Witness,
        segment: OpenSegment,
        *,
        clock: Callable[[], int] = now_us,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    ) -> None:
        self.storage = storage
        self.epoch = segment.epoch
        self._witness = witness
        self._segment = segment
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._failure: WfstoreError | None = None
        self._lock = threading.Lock()

    @property
    def store_id(self) -> str:
        """Identity of the store, whatever path it is reached by."""
        return self._witness.store_id

    @property
    def restored(self) -> bool:
        """Whether the store is a copy of another, to which nothing was appended yet."""
        return self._witness.restored_seq > 0 and self.next_seq == self._witness.restored_seq + 1

    @property
    def next_seq(self) -> int:
        return self._segment.end.next_seq

    def append(self, events: Sequence[Event]) -> tuple[int, int]:
        """Make the events durable in one commit; returns (first, last) seq. Blocks for one fdatasync.

        No events: nothing is written, and (next_seq, next_seq - 1) is returned. `seq` and `epoch` of the events are
        ignored. Raises TypeError or ValueError when a value does not fit its column: nothing was written. Raises
        FencedError, StorageFullError or StorageError, and the same one at every later call: the events are not
        acknowledged, and may or may not be in the log.
        """
        return self.commit(pack(events))

    def commit(self, rows: Rows) -> tuple[int, int]:
        """`append` for rows that were packed before."""
        if len(rows.data) > frame.MAX_BODY_BYTES:
            raise ValueError(f"one commit holds at most {frame.MAX_BODY_BYTES} bytes, this one has {len(rows.data)}")
        with self._lock, self._failing_for_ever():
            first = self.next_seq
            if rows.rows:
                if self._segment.end.offset >= self._segment_bytes:
                    self._rotate()
                self._write(rows, first)
            return first, first + rows.rows - 1

    def close(self) -> None:
        """Leave in good order: no further append; store.json says how long the log is. Safe to call again."""
        with self._lock:
            if isinstance(self._failure, _ClosedError):
                return
            failed = self._failure is not None
            try:
                if not failed:
                    with self._failing_for_ever():
                        self._seal()
            finally:
                os.close(self._segment.fd)
                self._failure = _ClosedError(self.storage, "this writer is closed")

    @contextlib.contextmanager
    def _failing_for_ever(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            self._failure = storage_error(self.storage, "writing the log", error)
            raise self._failure from error
        except WfstoreError as error:
            self._failure = error
            raise
        except BaseException:
            # Interrupted somewhere between write and acknowledgement: what is on disk is unknown.
            self._failure = StorageError(self.storage, "a commit was interrupted; open a new writer")
            raise

    def _write(self, rows: Rows, first: int) -> None:
        segment = self._segment
        data, crc = frame.build(frame.EVENT_MAGIC, rows.data, self.epoch, rows.rows, first, segment.end.crc)
        failpoints.hit(failpoints.APPEND_BEFORE_WRITE)
        offset = segment.end.offset
        if failpoints.armed(failpoints.APPEND_HALF_WRITTEN):
            write_at(segment.fd, data[: len(data) // 2], offset)
            failpoints.hit(failpoints.APPEND_HALF_WRITTEN)
        write_at(segment.fd, data, offset)
        failpoints.hit(failpoints.APPEND_WRITTEN)
        datasync(segment.fd)
        failpoints.hit(failpoints.APPEND_SYNCED)
        self._check_fence()
        failpoints.hit(failpoints.APPEND_CHECKED)
        segment.end = Position(offset + len(data), crc, first + rows.rows)

    def _check_fence(self) -> None:
        """After fdatasync and before the acknowledgement: either we see the claim, or the claimant sees our frame."""
        if not is_superseded(self.storage, self.epoch, self._segment.name):
            return
        reason = f"epoch {self.epoch + 1} was claimed: another manager writes this log, and epoch {self.epoch} may not"
        raise FencedError(self.storage, reason)

    def _rotate(self) -> None:
        old = self._segment
        number = old.number + 1
        name = segment_name(self.epoch, number)
        fd = os.open(log_path(self.storage, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            failpoints.hit(failpoints.ROTATE_CREATED)
            seal = Seal(old.name, *old.end)
            store_id = self._witness.store_id
            data, header = build_header(store_id, self.epoch, number, self._clock(), (seal,), old.end.next_seq)
            write_at(fd, data, 0)
            datasync(fd)
            sync_directory(log_path(self.storage))
            failpoints.hit(failpoints.ROTATE_SYNCED)
            self._check_fence()
        except BaseException:
            os.close(fd)
            raise
        os.close(old.fd)
        self._segment = OpenSegment(fd, name, self.epoch, number, header.start)

    def _seal(self) -> None:
        """A fenced writer leaves store.json to its successor."""
        failpoints.hit(failpoints.CLOSE_BEFORE_WITNESS)
        if is_superseded(self.storage, self.epoch, self._segment.name):
            return
        end = self._segment.end
        name = self._segment.name
        write_witness(self.storage, advanced(self._witness, self.epoch, name, end.offset, end.next_seq, clean=True))


class _ClosedError(StorageError):
    """The writer was closed."""
