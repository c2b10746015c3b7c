"""A script's rows as bytes with holes, and many copies of them at once with the holes filled in by numpy.

The bytes are what `wfstore.schema.rows.pack` makes of the same events, but that integers which differ from copy to copy
always take eight bytes. A test compares the two.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
from collections.abc import Callable
from typing import NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from benchmarks.kinds import FIRST_VALUE, VALUES
from benchmarks.scripts import DUE, END, MANAGER, MARK, START, STEP, SUBMIT, USER, Script
from wfstore.model.events import TASK_DEFINED, Event
from wfstore.schema.rows import STORED_COLUMNS

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_NODES, _WORKERS = 8, 16
_PID = 1_000_000
_DIGITS = "#########"
_VALUE = struct.pack("<i", FIRST_VALUE)
_WORKFLOWS_PER_JOB = 2_000
#: Placeholders inside texts, by their first letter; how many characters they take.
_TEXTS = re.compile(
    rb"(?P<id>#{9})|(?P<batch>B\d{5})|(?P<shown>V\d{8})|(?P<value>H\d{63})|(?P<args>A{64})|(?P<lost>G\d{63})"
    rb"|(?P<node>N\d{55})|(?P<ray>R\d{15})|(?P<job>J0{7})|(?P<request>Q\d{31})|(?P<wrong>E\d{5})|(?P<error>F\d{63})"
    rb"|(?<=due_at\":)(?P<due>\d{16})|(?<=_s\":)(?P<spent>0\.0\d{5})"
)
_LOWEST_BYTES, _LARGEST_BYTES = 70_000, 2_000_000_000


class Copies(NamedTuple):
    """Rows of many workflows: their bytes one after the other, the length and the time (microseconds UTC) of each."""

    data: bytes
    lengths: Numbers
    times: Numbers


class Values:
    """What holes are filled with: hashes of pickles, nodes, hexadecimal digits."""

    def __init__(self) -> None:
        self._output = pickle.dumps(FIRST_VALUE, 5)
        self._args = pickle.dumps(((FIRST_VALUE,), {}), 5)
        self.hex = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)
        nodes = [hashlib.sha224(b"node %d" % number).hexdigest().encode() for number in range(_NODES)]
        self.nodes = np.frombuffer(b"".join(nodes), np.uint8).reshape(_NODES, 56)

    def hexadecimal(self, rng: np.random.Generator, count: int, width: int) -> Bytes:
        return self._shown(rng.bytes(count * width // 2), count)

    def outputs(self, integers: Numbers) -> Bytes:
        return self.digests(self._output, _VALUE, _big(integers, "<i4"))

    def args(self, integers: Numbers) -> Bytes:
        return self.digests(self._args, _VALUE, _big(integers, "<i4"))

    def digests(self, pickled: bytes, mark: bytes, instead: Bytes) -> Bytes:
        """The hex sha256 of the pickle with each row of `instead` in the place of `mark`."""
        head, _, tail = pickled.partition(mark)
        digest = hashlib.sha256
        return self._shown(b"".join([digest(head + row.tobytes() + tail).digest() for row in instead]), len(instead))

    def _shown(self, raw: bytes, count: int) -> Bytes:
        return self.hex[np.frombuffer(raw, np.uint8)].reshape(count, -1)


class Template:
    """The rows of one script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.holes: dict[str, list[tuple[int, str]]] = {}
        self._errors: dict[str, bytes] = {}
        parts: list[bytes] = []
        self._size = 0
        lengths, row_clocks = [], []
        for event in script.events:
            start = self._size
            self._add(parts, msgpack.Packer().pack_array_header(len(STORED_COLUMNS)))
            value_key = _value_key(event)
            for name in STORED_COLUMNS:
                self._column(parts, name, getattr(event, name), value_key)
            lengths.append(self._size - start)
            row_clocks.append((event.ts - MARK) // STEP)
        self._bytes = np.frombuffer(b"".join(parts), np.uint8)
        self._lengths = np.array(lengths, np.int64)
        self._row_clocks = np.array(row_clocks)
        self._groups = _groups(script)

    @property
    def events(self) -> int:
        return len(self._lengths)

    def _add(self, parts: list[bytes], data: bytes) -> None:
        parts.append(data)
        self._size += len(data)

    def _hole(self, kind: str, offset: int, key: str) -> None:
        self.holes.setdefault(kind, []).append((self._size + offset, key))

    def _column(self, parts: list[bytes], name: str, value: object, value_key: str | None) -> None:
        if isinstance(value, int) and value >= MARK:
            self._hole("time", 1, str((value - MARK) // STEP))
            self._add(parts, b"\xcf" + bytes(8))
        elif name == "bytes" and value_key is not None and value_key[0] == "G":
            self._hole("bytes", 1, value_key)
            self._add(parts, b"\xcf" + bytes(8))
        elif name == "worker_pid" and value is not None:
            self._hole("pid", 1, str(value))
            self._add(parts, b"\xce" + bytes(4))
        elif name == "payload" and isinstance(value, bytes) and value_key is not None:
            packed: bytes = msgpack.packb(value)
            if value_key[0] == "F":
                self._errors[value_key] = value
                self._hole("wrong", packed.index(_wrong(value_key)), _wrong(value_key).decode())
            else:
                self._hole("integer", packed.index(_VALUE), value_key)
            self._add(parts, packed)
        else:
            self._text(parts, msgpack.packb(value))

    def _text(self, parts: list[bytes], packed: bytes) -> None:
        for found in _TEXTS.finditer(packed):
            key = found.group().decode()
            if found.lastgroup == "spent":  # no two of them are the same
                key += f"@{self._size + found.start()}"
            self._hole(found.lastgroup or "", found.start(), key)
        self._add(parts, packed)

    def copies(self, rng: np.random.Generator, values: Values, submitted: Numbers, first: int) -> Copies:
        """One workflow per time in `submitted`, numbered from `first`."""
        count = len(submitted)
        rows = np.tile(self._bytes, (count, 1))
        clocks = self.times(rng, submitted)
        numbers = np.arange(first, first + count)
        _put(rows, self.holes.get("id", []), lambda _: _decimal(numbers, len(_DIGITS)))
        _put(rows, self.holes.get("time", []), lambda key: _big(clocks[int(key)], ">i8"))
        _put(rows, self.holes.get("due", []), lambda key: _decimal(_due(clocks, int(key)), 16))
        _put(rows, self.holes.get("batch", []), lambda _: _decimal(rng.integers(100_000, 1_000_000, count), 6))
        _put(rows, self.holes.get("request", []), lambda _: values.hexadecimal(rng, count, 32))
        _put(rows, self.holes.get("ray", []), lambda _: values.hexadecimal(rng, count, 16))
        _put(rows, self.holes.get("job", []), lambda _: _jobs(values, numbers))
        _put(rows, self.holes.get("spent", []), lambda key: _spent(rng, float(key.partition("@")[0]), count))
        _put(rows, self.holes.get("lost", []), lambda _: values.hexadecimal(rng, count, 64))
        _put(rows, self.holes.get("bytes", []), lambda _: _big(_sizes(rng, count), ">i8"))
        self._places(rng, values, rows)
        self._integers(rng, values, rows)
        self._failures(rng, values, rows)
        times = np.stack(clocks, axis=1)[:, self._row_clocks]
        return Copies(rows.tobytes(), np.tile(self._lengths, count), times.reshape(-1))

    def _places(self, rng: np.random.Generator, values: Values, rows: Bytes) -> None:
        """An attempt's node and one of that node's workers."""
        count = len(rows)
        nodes: dict[int, NDArray[np.intp]] = {}

        def node(key: str) -> NDArray[np.intp]:
            number = int(key.removeprefix("N")) % _PID
            if number not in nodes:
                nodes[number] = rng.integers(0, _NODES, count)
            return nodes[number]

        _put(rows, self.holes.get("node", []), lambda key: values.nodes[node(key)])
        _put(
            rows,
            self.holes.get("pid", []),
            lambda key: _big(4_000 + 1_000 * node(key) + rng.integers(0, _WORKERS, count), ">u4"),
        )

    def _integers(self, rng: np.random.Generator, values: Values, rows: Bytes) -> None:
        """Values that are kept: the pickle, its hash and what is shown of it belong together."""
        drawn: dict[str, NDArray[np.int64]] = {}

        def value(key: str) -> NDArray[np.int64]:
            key = key if key[0] == "A" else str(int(key[1:]))
            if key not in drawn:
                drawn[key] = rng.integers(FIRST_VALUE, FIRST_VALUE + VALUES, len(rows))
            return drawn[key]

        _put(rows, self.holes.get("integer", []), lambda key: _big(value(key), "<i4"))
        _put(rows, self.holes.get("value", []), lambda key: values.outputs(value(key)))
        _put(rows, self.holes.get("args", []), lambda key: values.args(value(key)))
        _put(rows, self.holes.get("shown", []), lambda key: _decimal(value(key), 9))

    def _failures(self, rng: np.random.Generator, values: Values, rows: Bytes) -> None:
        """A number in an exception's message, and the hash of the pickled exception."""
        drawn: dict[str, Bytes] = {}

        def text(key: str) -> Bytes:
            if key not in drawn:
                drawn[key] = _decimal(rng.integers(100_000, 1_000_000, len(rows)), 6)
            return drawn[key]

        def digests(key: str) -> Bytes:
            return values.digests(self._errors[key], _wrong(key), text(_wrong(key).decode()))

        _put(rows, self.holes.get("wrong", []), text)
        _put(rows, self.holes.get("error", []), digests)

    def times(self, rng: np.random.Generator, submitted: Numbers) -> list[Numbers]:
        """Microseconds UTC of every clock, for every copy. The manager's own never go back."""
        count = len(submitted)
        normal = rng.standard_normal((len(self.script.clocks), count))
        for members in self._groups:  # alike attempts side by side: the first to end is the shortest
            normal[members] = np.sort(normal[members], axis=0)
        found: list[Numbers] = []
        latest = submitted
        for number, clock in enumerate(self.script.clocks):
            noise = np.exp(normal[number])
            base = found[clock.base] if found else submitted
            if clock.kind == SUBMIT:
                moment = submitted
            elif clock.kind == MANAGER:
                moment = np.maximum(latest + 40, base + (600 * noise).astype(np.int64))
            elif clock.kind == USER:
                moment = latest + (clock.seconds * 1e6 * noise).astype(np.int64) + 1
            elif clock.kind == DUE:
                moment = base + round(clock.seconds * 1e6)
            elif clock.kind == START:
                moment = base + (2_500 * noise).astype(np.int64)
            else:
                moment = base + (clock.seconds * 1e6 * np.exp(0.6 * normal[number])).astype(np.int64) + 20
            found.append(moment)
            if clock.kind in (SUBMIT, MANAGER, USER):
                latest = moment
        return found


def _value_key(event: Event) -> str | None:
    """The placeholder hash of the payload that the row has or points to; None: it is the same in all copies."""
    hash_ = event.attribute("args") if event.type == TASK_DEFINED else event.hash
    return hash_ if hash_ and hash_[0] in "HAGF" else None


def _groups(script: Script) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for number, clock in enumerate(script.clocks):
        if clock.kind == END:
            groups.setdefault(clock.group, []).append(number)
    # Those that are taken in later are later in the list of rows, not always in that of clocks.
    taken = {event.ts_source: place for place, event in enumerate(script.events) if event.ts_source is not None}
    for members in groups.values():
        members.sort(key=lambda number: taken.get(MARK + number * STEP, len(taken)))
    return [members for members in groups.values() if len(members) > 1]


def _put(rows: Bytes, holes: list[tuple[int, str]], of: Callable[[str], Bytes]) -> None:
    """Fill holes of one kind; the same key gets the same content wherever it stands."""
    known: dict[str, Bytes] = {}
    for offset, key in holes:
        if key not in known:
            known[key] = of(key)
        content = known[key]
        rows[:, offset : offset + content.shape[1]] = content


def _wrong(key: str) -> bytes:
    """What stands in a message, by the placeholder of its hash."""
    return b"E%05d" % int(key[1:])


def _jobs(values: Values, numbers: Numbers) -> Bytes:
    """Ray's id of the job: one driver submits many workflows."""
    return values.hex[_big(numbers // _WORKFLOWS_PER_JOB + 1, "<u4")].reshape(len(numbers), -1)


def _spent(rng: np.random.Generator, median_s: float, count: int) -> Bytes:
    """Seconds with six decimals, log-normal, below one."""
    micros = median_s * 1e6 * np.exp(0.5 * rng.standard_normal(count))
    text = _decimal(np.clip(micros, 1, 999_999).astype(np.int64), 8)
    text[:, :2] = np.frombuffer(b"0.", np.uint8)
    return text


def _big(numbers: Numbers, type_: str) -> Bytes:
    made = np.ascontiguousarray(numbers.astype(type_))
    return made.view(np.uint8).reshape(len(numbers), -1)


def _decimal(numbers: Numbers, width: int) -> Bytes:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return ((numbers[:, None] // powers) % 10 + 48).astype(np.uint8)


def _due(clocks: list[Numbers], said: int) -> Numbers:
    clock, delay_us = divmod(said - MARK, STEP)
    return clocks[clock] + delay_us


def _sizes(rng: np.random.Generator, count: int) -> Numbers:
    """Of outputs that are not kept: log-normal around 2 MB."""
    return np.clip(np.exp(rng.normal(14.5, 1.6, count)), _LOWEST_BYTES, _LARGEST_BYTES).astype(np.int64)
