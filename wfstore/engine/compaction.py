"""Compaction in the background: the manager has history files made of its log, and then lets go of what they hold.

The work is done by a process of its own, of the lowest priority, one at a time; nothing depends on it. When it fails,
the log stays as it is and the next one begins where it ended. `WFSTORE_COMPACTION=off` leaves it to `wfstore compact`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from wfstore.errors import StorageError, WfstoreError
from wfstore.log import Reader
from wfstore.log.archive import Archive
from wfstore.objects import is_uri

SWITCH = "WFSTORE_COMPACTION"
#: A compaction begins when so much of the log is sealed and in no history file, or so many segments are.
DUE_BYTES, DUE_SEGMENTS = 16 << 20, 16
#: The first one of a manager begins sooner, as the next start replays what is left.
DUE_AT_START_BYTES = 4 << 20
#: On object storage each look is a listing, which costs money.
LOOK_EVERY_S, LOOK_AT_OBJECTS_EVERY_S = 5.0, 60.0
#: What was deleted leaves history files not at once: that writes them anew.
_PURGE_EVERY_S = 3600.0
_AGAIN_S, _LATEST_AGAIN_S = 60.0, 3600.0
_POLL_S = 0.1
_TOLD_BYTES = 2000
#: The index is not the engine's to import, and its libraries are not to weigh on the manager. Ray runs that as a nice
#: process already: one that only takes what is idle does not keep it waiting.
_PROGRAM = """
import os, pickle, sys
os.nice(19)
if hasattr(os, "SCHED_IDLE"):
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
import pyarrow
pyarrow.set_cpu_count(1)
from wfstore.index.compaction import compact
compact(pickle.load(sys.stdin.buffer), workers=1, purge=sys.argv[1] == "purge")
"""
_log = logging.getLogger("wfstore.compaction")


class Compactions:
    """Looks after the history files of one manager's store.

    refreshed: called on the loop when `archive` knows more than before.
    """

    def __init__(self, storage: str, log: Reader, archive: Archive, refreshed: Callable[[], None]) -> None:
        self._storage, self._reader, self._archive, self._refreshed = storage, log, archive, refreshed
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._purge_at = 0.0
        self._due_bytes = DUE_AT_START_BYTES

    async def run(self) -> None:
        """Look every few seconds whether there is something to do, until canceled."""
        while True:
            await asyncio.sleep(LOOK_AT_OBJECTS_EVERY_S if is_uri(self._storage) else LOOK_EVERY_S)
            try:
                if await asyncio.to_thread(self._due):
                    await self._compact()
                # Somebody else may have compacted the store, too.
                if await asyncio.to_thread(self._archive.stale) and await asyncio.to_thread(self._archive.refresh):
                    self._refreshed()
            except WfstoreError as error:
                self._failed(str(error))

    def stop(self) -> None:
        """The manager leaves; whatever is under way is begun again by the next one."""
        if self._process is not None:
            self._process.kill()

    def _due(self) -> bool:
        if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false") or time.monotonic() < self._not_before:
            return False
        sealed = self._reader.sealed(self._archive.known.next_seq)
        enough, self._due_bytes = self._due_bytes, DUE_BYTES
        return len(sealed) >= DUE_SEGMENTS or sum(extent.bytes for extent in sealed) >= enough

    async def _compact(self) -> None:
        with tempfile.TemporaryFile() as said:
            purge = time.monotonic() >= self._purge_at
            self._process = process = await asyncio.to_thread(self._start, purge, said)
            try:
                while (code := process.poll()) is None:
                    await asyncio.sleep(_POLL_S)
            except asyncio.CancelledError:
                process.kill()
                raise
            finally:
                self._process = None
            if code == 0:
                self._failures = 0
                self._purge_at = time.monotonic() + _PURGE_EVERY_S if purge else self._purge_at
                return
            said.seek(max(0, said.seek(0, os.SEEK_END) - _TOLD_BYTES))
            words = said.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise StorageError(self._storage, words or f"exit code {code}")

    def _start(self, purge: bool, said: IO[bytes]) -> subprocess.Popen[bytes]:
        """It finds the wfstore of this process, wherever Ray has put that."""
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "POLARS_MAX_THREADS": "1"}
        try:
            with tempfile.TemporaryFile() as told:
                # A pickled URI brings the secrets along that its text does not show.
                told.write(pickle.dumps(self._storage))
                told.seek(0)
                return subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, "purge" if purge else "keep"],
                    env={**os.environ, **own},
                    stdin=told,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
        except OSError as error:
            raise StorageError(self._storage, f"no process could be started: {error}") from error

    def _failed(self, words: str) -> None:
        """Say it once in a row, and wait longer each time."""
        if not self._failures:
            _log.warning("compaction of %s failed, and is tried again from time to time: %s", self._storage, words)
        self._failures += 1
        wait_s = min(_AGAIN_S * 2 ** (self._failures - 1), _LATEST_AGAIN_S)
        self._not_before = time.monotonic() + wait_s
