"""Scripted runs of at most 150 calls that change something on the disk, for faults at each of them.

`log`: a new store, commits with rotations, a takeover from a living writer, a clean end. `compaction`: a store with one
generation of history files takes in its sealed segments and sweeps. A run goes on after an error as a person would: it
notes the error, sees that the failed writer stays failed, and opens another one.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

import wfstore
from tests.fault._workload import Ledger, Row, commit, read
from tests.fault._writers import EARLY, switch_off
from tests.fault._zygote import Channel, Zygote
from wfstore.errors import FencedError, WfstoreError
from wfstore.index.compaction import compact
from wfstore.log import LogReader, Writer, open_writer, verify
from wfstore.log.history import HistoryFiles
from wfstore.schema.history import EVENTS

#: Of the workload's commits: those with few bytes, so that a segment holds several.
CASE = 7
_SEGMENT_BYTES = 4_000
#: A turn that nobody may acknowledge anything to.
_ZOMBIE = 99


class Scene(NamedTuple):
    """`prepare(store)`: what is there before; `run`: the child's function; `check(store, lines, thorough)`."""

    name: str
    prepare: Callable[[str], None]
    run: str
    check: Callable[[str, list[str], bool], dict[str, int]]


class _Run:
    """A child's run: says `turn N` for each writer, `a N` for each acknowledged commit, `error TYPE TEXT`, `end`."""

    def __init__(self, channel: Channel, store: str, off: str | None) -> None:
        switch_off(off)
        self.channel, self._store, self._early = channel, store, off == EARLY
        self._turn, self._number = -1, 0

    def opened(self) -> Writer:
        try:
            log = open_writer(self._store, segment_bytes=_SEGMENT_BYTES)
        except WfstoreError as error:
            self.error(error)
            log = open_writer(self._store, segment_bytes=_SEGMENT_BYTES)
        self._turn, self._number = self._turn + 1, 0
        self.channel.say(f"turn {self._turn}")
        return log

    def error(self, error: WfstoreError) -> None:
        self.channel.say(f"error {json.dumps([type(error).__name__, str(error)])}")

    def append(self, log: Writer, commits: int) -> Writer:
        """Returns the writer that is to go on."""
        for _ in range(commits):
            try:
                if self._early:
                    self.channel.say(f"a {self._turn}")
                log.append(commit(CASE, self._turn, self._number))
            except WfstoreError as error:
                self.error(error)
                self.refused(log)
                log = self.opened()
            else:
                if not self._early:
                    self.channel.say(f"a {self._turn}")
                self._number += 1
        return log

    def refused(self, log: Writer) -> None:
        """A writer that has failed, or was replaced, does not acknowledge anything."""
        try:
            log.append(commit(CASE, _ZOMBIE, 0))
        except WfstoreError as error:
            self.error(error)
            return
        self.channel.say(f"a {_ZOMBIE}")

    def trying(self, what: Callable[[], object]) -> None:
        """Once more after an error."""
        try:
            what()
        except WfstoreError as error:
            self.error(error)
            what()


def run_log(channel: Channel, store: str, off: str | None = None) -> None:
    """The scene `log`."""
    run = _Run(channel, store, off)
    first = run.append(run.opened(), 6)
    second = run.append(run.opened(), 2)
    run.refused(first)
    second = run.append(second, 2)
    run.trying(second.close)
    channel.say("end")


def run_compaction(channel: Channel, store: str, off: str | None = None) -> None:
    """The scene `compaction`."""
    _Run(channel, store, off).trying(lambda: compact(store, grace_s=0, workers=1))
    channel.say("end")


def _nothing(store: str) -> None:
    pass


def _half_compacted(store: str) -> None:
    for turns in ((0, 1), (2, 3)):
        for turn in turns:
            log = open_writer(store, segment_bytes=_SEGMENT_BYTES)
            for number in range(4):
                log.append(commit(CASE, turn, number))
            log.close()
        open_writer(store).close()
        if 0 in turns:
            compact(store, grace_s=0, workers=1)


def _check_log(store: str, lines: list[str], thorough: bool) -> dict[str, int]:
    ledger = Ledger(CASE)
    assert f"a {_ZOMBIE}" not in lines, "a writer that had failed or was replaced acknowledged a commit"
    turns = [line for line in lines if line.startswith("turn ")]
    for turn in range(len(turns)):
        ledger.note(turn, lines.count(f"a {turn}"))
    log = open_writer(store)
    ledger.check(read(store))
    log.append(commit(CASE, 50, 0))
    log.close()
    ledger.note(50, 1)
    ledger.check(read(store))
    _sound(store)
    return {"acknowledged": ledger.acknowledged, "unacknowledged_kept": ledger.unacknowledged}


def _check_compaction(store: str, lines: list[str], thorough: bool) -> dict[str, int]:
    ledger = Ledger(CASE, names=True)
    for turn in range(4):
        ledger.note(turn, 4)
    ledger.check(names(store))
    _sound(store)
    if thorough:
        compact(store, grace_s=0, workers=1)
        rows = wfstore.open(store).sql("SELECT seq, name FROM events ORDER BY seq").fetchall()
        ledger.check(_named(rows))
        _sound(store)
    return {"acknowledged": ledger.acknowledged}


def names(store: str) -> list[Row]:
    """All events, of history files and of the log behind them."""
    files = HistoryFiles(store)
    files.refresh()
    paths = files.checked(files.manifest.of(EVENTS))
    tables = [pq.read_table(path, columns=["seq", "name"]) for path in paths]
    tables.append(LogReader(store).read_range(files.manifest.next_seq, 2**40))
    rows = [row for table in tables for row in zip(table["seq"].to_pylist(), table["name"].to_pylist(), strict=True)]
    return _named(sorted(rows))


def _named(rows: list[tuple[int, str]]) -> list[Row]:
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1)), "seqs are not 1, 2, 3, ..."
    return [Row(name, None) for _, name in rows]


def _sound(store: str) -> None:
    report = verify(store)
    assert report.ok, report.problems


_prepared: dict[str, Path] = {}
LOG = Scene("log", _nothing, f"{__name__}:run_log", _check_log)
COMPACTION = Scene("compaction", _half_compacted, f"{__name__}:run_compaction", _check_compaction)
SCENES = {scene.name: scene for scene in (LOG, COMPACTION)}


def errors_of(lines: list[str]) -> list[tuple[str, str]]:
    """(type, text) of the errors a run has noted; that a writer was replaced is none."""
    found = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("error ")]
    return [(kind, text) for kind, text in found if kind != FencedError.__name__]


def place(scene: Scene, store: Path) -> str:
    """Put a store there as the scene wants to find it."""
    if scene.name not in _prepared:
        _prepared[scene.name] = Path(tempfile.mkdtemp(prefix="wfstore-scene-")) / "store"
        atexit.register(shutil.rmtree, _prepared[scene.name].parent, True)
        scene.prepare(str(_prepared[scene.name]))
    if _prepared[scene.name].exists():
        shutil.copytree(_prepared[scene.name], store)
    return str(store)


@functools.cache
def zygote() -> Zygote:
    """One for the whole run; it ends with this process, as its socket closes."""
    return Zygote(__name__)
