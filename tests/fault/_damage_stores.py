"""Stores of which one file is damaged, asked through SQL, `Store`, the log's reader, the manager's archive, `verify`.

It runs in processes of a zygote, as bytes that nobody checked can end a process (which the negative control shows).
"""

from __future__ import annotations

import importlib
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

import wfstore
from tests.compaction.damage import make, manifest
from tests.compaction.stores import COLUMNS
from tests.fault._damage_bytes import damaged, first_difference, flipped
from tests.fault._damage_scanner import believing
from tests.fault._zygote import Channel
from wfstore.errors import DamageError, WfstoreError
from wfstore.index import database, tail
from wfstore.index.catalog import folder as queries
from wfstore.log import Cursor, LogReader, frame, history, open_reader, verify
from wfstore.log.archive import Archive
from wfstore.log.manifest import HISTORY_DIRECTORY, manifest_name, parse_manifest
from wfstore.log.survey import take_survey
from wfstore.log.witness import Witness, decoded, encoded
from wfstore.payloads import PayloadStore
from wfstore.schema.history import DELETED, EVENTS, PACKS, SUPERSEDED

Question: TypeAlias = tuple[Any, ...]
#: So many answers come from one database before the next one is made.
_REUSED = 40
_LOG, _HISTORY, _MANIFEST, _PAYLOAD, _WITNESS = "log", "history", "manifest", "payload", "witness"


def run(channel: Channel, folder: str, first: int, last: int, seed: int, off: str | None) -> None:
    """The cases first..last, on a store of this seed; one line when each begins, and one with what came of it."""
    stock = Stock(Path(folder), seed)
    if off is not None:
        _believe()
    with Reused():
        for case in range(first, last + 1):
            channel.say(f"begin {case}")
            try:
                channel.say(f"passed {stock.case(case)}")
            except AssertionError as error:
                channel.say(f"failed {json.dumps(str(error)[:1500])}")
            except Exception as error:  # only errors of ours may come of damage
                channel.say(f"failed {json.dumps(f'{type(error).__module__}.{type(error).__name__}: {error}'[:1500])}")


def _believe() -> None:
    """Read as if there were no checksums."""
    frame.parse = believing
    history.difference = lambda path, file: None if os.path.exists(path) else "missing"
    importlib.import_module("wfstore.payloads.store").hash_of = _Believed


class _Believed:
    """The hash that one hopes for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __ne__(self, other: object) -> bool:
        return False

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Reused:
    """Databases are made once and emptied for the next reader: making one takes longer than a case."""

    def __enter__(self) -> None:
        self._made, self._uses, self._real = None, 0, database.create
        tail.database.create = self._create  # type: ignore[assignment]

    def __exit__(self, *exc: object) -> None:
        tail.database.create = self._real

    def _create(self, **settings: Any) -> database.Connection:
        self._uses += 1
        if self._made is None or self._uses % _REUSED == 0:
            self._made = self._real(**settings)
        else:
            for name in ("tail", "recalled", "touched", "hidden"):
                database.run(self._made, f"DELETE FROM wfstore.{name}")
            database.run(self._made, queries("fill")["lease"].sql, {"alive": False})
        return self._made


class Harm(NamedTuple):
    """What was done to a file, None: it was removed. `stopped`: store.json counts on the whole log."""

    group: str
    path: Path
    intact: bytes
    data: bytes | None
    stopped: bool

    def __str__(self) -> str:
        size = "gone" if self.data is None else f"{len(self.data)} of {len(self.intact)} bytes"
        return f"{self.path.name} ({size}, {'stopped' if self.stopped else 'killed'})"


class Stock:
    """A store with files of every kind, what it answers, and what its log answers where it ends earlier.

    In every other case store.json is that of a manager that was killed: it does not count on the last commits.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._pair = make(folder, seed)
        self.root = self._pair.path
        self._kinds = {f.name: f.kind for f in manifest(self._pair).files}
        self._manifest = self.root / HISTORY_DIRECTORY / manifest_name(manifest(self._pair).number)
        self._segments = sorted((self.root / _LOG).iterdir())
        self._places = self._placed()
        self._originals = {path: path.read_bytes() for paths in self._places.values() for path in paths}
        self._witness = self.root / "store.json"
        self._witnesses = (self._originals[self._witness], encoded(self._killed()))
        self._ids = sorted({event.workflow_id for event in self._pair.events if event.workflow_id})
        begins = manifest(self._pair).next_seq
        segments = take_survey(str(self.root)).segments
        self._held_by_history = {s.name for s in segments if s.seal is not None and s.seal.next_seq <= begins}
        self._warm = wfstore.open(self.root)
        self._expected: dict[Question, Any] = {}
        self._shorter: dict[tuple[int, Question], Any] = {}

    def _placed(self) -> dict[str, list[Path]]:
        payloads = [path for path in sorted((self.root / "payloads").rglob("*")) if self._is_needed(path)]
        return {
            _LOG: self._segments,
            _HISTORY: [self.root / HISTORY_DIRECTORY / name for name in sorted(self._kinds)],
            _MANIFEST: [self._manifest],
            _PAYLOAD: payloads,
            _WITNESS: [self.root / "store.json"],
        }

    def _is_needed(self, payload: Path) -> bool:
        """Whether it is a payload that an event names: nobody looks at others."""
        if payload.is_file():
            aside = payload.rename(payload.with_suffix(".aside"))
            missed = [problem.path for problem in verify(str(self.root)).problems]
            aside.rename(payload)
            return str(payload) in missed
        return False

    def _killed(self) -> Witness:
        survey = take_survey(str(self.root))
        segment, start = survey.segments[0], survey.segments[0].header.start
        known = decoded("", "", self._originals[self._witness])
        return replace(known, segment=segment.name, sealed_length=start.offset, next_seq=start.next_seq, clean=False)

    def case(self, number: int) -> str:
        """Damage a file, ask, and put it back; a word about what came of it. Raises AssertionError."""
        chance = random.Random(number)
        group = chance.choice((_LOG, _LOG, _LOG, _HISTORY, _HISTORY, _HISTORY, _MANIFEST, _PAYLOAD, _WITNESS))
        path = chance.choice(self._places[group])
        stopped = bool(number % 2)
        _write(self._witness, self._witnesses[not stopped])
        intact = self._witnesses[not stopped] if group == _WITNESS else self._originals[path]
        harm = Harm(group, path, intact, self._damaged(group, path, intact, chance), stopped)
        question = self._question(group, path, chance)
        self._answer_once(question)
        try:
            _write(path, harm.data)
            word = self._judged(harm, question)
            if harm.data != harm.intact and (word != "named" or not number % 8):
                word += self._verified(harm, word)
        except AssertionError as error:
            raise AssertionError(f"{harm}, asked {question}: {error}") from error
        finally:
            _write(path, intact)
        return f"{group}_{word}"

    def _damaged(self, group: str, path: Path, data: bytes, chance: random.Random) -> bytes | None:
        bounds = _frames(data) if group == _LOG else ()
        match chance.randrange(8):
            case 0 | 1 | 2:
                return flipped(data, chance.randrange(len(data) * 8))
            case 3:
                return data[: chance.randrange(len(data))]
            case 4 if bounds:
                return data[: chance.choice(bounds)]
            case 5 if chance.random() < 0.4:
                return None
        others = [other for other in self._places[group] if other != path]
        other = self._originals[chance.choice(others)] if others else b""
        if group != _LOG and other and chance.random() < 0.2:
            return other
        return damaged(data, chance, bounds, other)

    # -- questions and answers ----------------------------------------------------------------------------------------

    def _question(self, group: str, path: Path, chance: random.Random) -> Question:
        """One whose answer may come out of the file."""
        view, id = chance.choice(list(COLUMNS)), chance.choice(self._ids)
        general: list[Question] = [("view", view), ("history", id), ("workflows",), ("manager",)]
        if group == _PAYLOAD:
            return ("payload", path.name)
        if group == _LOG:
            general += [("log",)] * 8
        elif group == _HISTORY:
            kind = self._kinds[path.name]
            if kind in COLUMNS:
                general = [("warm", kind)] * 4 + [("history", id)] * (kind == EVENTS)
            elif kind == PACKS:
                general = [("values", id)]
            else:
                general = [("manager",)] if kind == DELETED else [("view", "tasks"), ("view", "runs")]
                assert kind in (DELETED, SUPERSEDED)
        return chance.choice(general)

    def _answer_once(self, question: Question) -> None:
        """That of the store as it was."""
        if question not in self._expected:
            self._expected[question] = self._answer(question)

    def _answer(self, question: Question) -> Any:
        history._checked.clear()
        what, *of = question
        answers: dict[str, Callable[..., Any]] = {
            "view": lambda view: _rows(wfstore.open(self.root), view),
            "warm": lambda view: _rows(self._warm, view),
            "history": lambda id: wfstore.open(self.root).history(id).to_dict(),
            "workflows": lambda: wfstore.open(self.root).workflows().to_dicts(),
            "log": self._log,
            "manager": self._manager,
            "payload": lambda hash: PayloadStore(str(self.root)).get(hash),
            "values": self._values,
        }
        try:
            return answers[what](*of)
        except WfstoreError as error:
            if isinstance(error, wfstore.errors.WorkflowNotFoundError):
                return "not found"
            raise

    def _log(self) -> list[Any]:
        return list(LogReader(str(self.root)).events(Cursor(manifest(self._pair).next_seq)))

    def _manager(self) -> list[Any]:
        """What a manager that starts reads of ended workflows."""
        archive = Archive(str(self.root), open_reader(str(self.root)))
        archive.refresh()
        known = [(archive.known.find(id), archive.known.gone(id)) for id in self._ids]
        return [known, *(archive.events(id, 1, 1 << 40).to_pylist() for id in self._ids)]

    def _values(self, id: str) -> list[bytes | None]:
        """Payloads that stand in events of a workflow."""
        seqs = [event.seq or 0 for event in self._pair.events if event.workflow_id == id and event.payload is not None]
        return [self._warm._payload(id, seq) for seq in seqs]

    # -- what is right ------------------------------------------------------------------------------------------------

    def _judged(self, harm: Harm, question: Question) -> str:
        expected, there = self._expected[question], harm.data or b""
        try:
            found = self._answer(question)
        except (DamageError, wfstore.errors.PayloadMissingError) as error:
            said = str(error)
        else:
            if found == expected:
                return "right"
            may_be_short = harm.path == self._segments[-1] and not harm.stopped
            assert may_be_short, _difference(found, expected)
            same = first_difference(harm.intact, there)
            end = max((bound for bound in _frames(harm.intact) if bound <= same), default=0)
            shorter = self._answer_shorter(end, question)
            assert found == shorter, f"not as of byte {end}: {_difference(found, shorter)}"
            return "boundary" if len(there) == end else "torn"
        assert harm.data != harm.intact, f"nothing is damaged, and {said}"
        headless = harm.group == _LOG and len(there) < _frames(harm.intact)[0]
        gone = headless or harm.data is None
        assert harm.path.name in said or (gone and "missing" in said), f"another file is named: {said}"
        return "named"

    def _answer_shorter(self, end: int, question: Question) -> Any:
        """That of a log that ends at that byte of its last segment, where a frame ends."""
        if (end, question) not in self._shorter:
            path = self._segments[-1]
            before = path.read_bytes() if path.exists() else None
            _write(path, self._originals[path][:end] or None)
            self._shorter[end, question] = self._answer(question)
            _write(path, before)
        return self._shorter[end, question]

    def _verified(self, harm: Harm, word: str) -> str:
        """`verify` names every damage but one: the loss of whole commits that nothing counts on."""
        problems = verify(str(self.root)).problems
        # What is gone is told by what comes after it.
        if any(harm.path.name in p.path or (harm.data is None and "missing" in p.message) for p in problems):
            return "_verified"
        if harm.path == self._segments[-1] and not harm.stopped and self._is_whole(harm):
            return "_boundary"
        assert self._means_the_same(harm, harm.data), "verify finds nothing wrong"
        return "_harmless"

    def _is_whole(self, harm: Harm) -> bool:
        data = harm.data or b""
        return harm.intact.startswith(data) and len(data) in (0, *_frames(harm.intact))

    def _means_the_same(self, harm: Harm, data: bytes | None) -> bool:
        """Line ends and blanks of JSON; bytes behind a seal; a segment that history files hold by now."""
        if harm.group == _LOG and data is None:
            return harm.path.name in self._held_by_history
        if data is None:
            return False
        if harm.group == _LOG:
            return harm.path != self._segments[-1] and data.startswith(harm.intact)
        if harm.group == _WITNESS:
            return decoded(str(self.root), "", data) == decoded(str(self.root), "", harm.intact)
        number = manifest(self._pair).number
        return harm.group == _MANIFEST and parse_manifest("", number, data) == parse_manifest("", number, harm.intact)


def _write(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(data)
        # A young claim would be waited for.
        os.utime(path, (1_700_000_000, 1_700_000_000))


def _frames(data: bytes) -> Sequence[int]:
    """Where frames of an intact segment begin, but for the header's, and where the last one ends."""
    bounds, at = [], 0
    while at < len(data):
        found = frame.parse(memoryview(data), at, None)
        assert isinstance(found, frame.Frame)
        at = found.end
        bounds.append(at)
    return bounds


def _rows(store: wfstore.Store, view: str) -> pa.Table:
    return store.sql(f"SELECT {COLUMNS[view]} FROM {view} ORDER BY ALL").to_arrow_table()


def _difference(found: Any, expected: Any) -> str:
    one, other = (value.to_pylist() if isinstance(value, pa.Table) else value for value in (found, expected))
    return f"wrong: {str(one)[:300]} instead of {str(other)[:300]}"
