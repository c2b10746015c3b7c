"""Bytes and statements that hypothesis makes up: the segment reader ends in rows or in an error of ours, and what the
SQL gates let through changes nothing and tells nothing."""

# ruff: noqa: E501, PT017
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fault._damage_scanner import MemorySegment
from wfstore.errors import DamageError, QueryError, StorageVersionError
from wfstore.index import database, gate
from wfstore.index.sandbox import allowed, child
from wfstore.log import LogReader, frame, open_writer
from wfstore.log.segment import Position, SegmentHeader, parse_name, segment_name
from wfstore.schema.rows import STORED_COLUMNS

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
MANY = settings(FEW, max_examples=1_000)
_NAME = segment_name(3, 2)
_EPOCH, _ = parse_name(_NAME) or (0, 0)
_COLUMNS = len(STORED_COLUMNS)

# -- segments ---------------------------------------------------------------------------------------------------------

json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
rows_of_anything = st.lists(st.lists(json_like, min_size=_COLUMNS, max_size=_COLUMNS) | json_like, max_size=4).map(
    lambda rows: b"".join(msgpack.packb(row) for row in rows)
)
bodies = st.binary(max_size=60) | rows_of_anything
counts = st.sampled_from((0, 1, 2, 3, 1_023, 1_024, 5_000, 2**31, 2**32 - 1)) | st.integers(0, 5)


class Piece:
    """A frame that follows the one before it, but for what is wrong with it."""

    def __init__(self, body: bytes, rows: int, wrong: str, noise: bytes) -> None:
        self.body, self.rows, self.wrong, self.noise = body, rows, wrong, noise

    def __repr__(self) -> str:
        return f"Piece({self.body!r}, {self.rows}, {self.wrong!r}, {self.noise!r})"


pieces = st.lists(
    st.builds(
        Piece,
        bodies,
        counts,
        st.sampled_from(("", "", "", "epoch", "seq", "chain", "header", "cut", "noise", "crc")),
        st.binary(max_size=40),
    ),
    max_size=5,
)


def assembled(made: list[Piece]) -> tuple[bytes, int]:
    """The bytes of a segment, and how many frames come before the first that is wrong."""
    data, crc, next_seq, sound = b"", 0, 1, None
    for number, piece in enumerate(made):
        epoch, first, chained = _EPOCH + (piece.wrong == "epoch"), next_seq + (piece.wrong == "seq"), crc
        magic = frame.HEADER_MAGIC if piece.wrong == "header" else frame.EVENT_MAGIC
        built, crc = frame.build(magic, piece.body, epoch, piece.rows, first, chained ^ (piece.wrong == "chain"))
        if piece.wrong == "cut":
            built = built[: len(built) // 2]
        elif piece.wrong == "crc":
            built = built[:-1] + bytes([built[-1] ^ 1])
        elif piece.wrong == "noise":
            built = piece.noise + built
        if piece.wrong and sound is None:
            sound = number
        data, next_seq = data + built, first + piece.rows
    return data, len(made) if sound is None else sound


def scan_anything(made: list[Piece], sealed: bool) -> None:
    data, sound = assembled(made)
    file = MemorySegment(data, 100)
    start = Position(0, 0, 1)
    frames = 0
    try:
        while True:
            window = file.window(start, len(data) if sealed else None)
            frames += len(window.frames)
            start = window.after
            if window.ended:
                break
    except DamageError as error:
        assert error.path == file.path and 0 <= error.offset <= len(data)
        assert sound < len(made) or any(piece.noise for piece in made)
        return
    # Noise may be empty, and then nothing is wrong.
    assert frames == sound or all(not piece.noise for piece in made if piece.wrong == "noise")
    assert not sealed or start.offset == len(data)


@FEW
@given(pieces, st.booleans())
def test_pieces_of_segments(made: list[Piece], sealed: bool) -> None:
    scan_anything(made, sealed)


@pytest.mark.fault
@pytest.mark.timeout(900)
@MANY
@given(pieces, st.booleans())
def test_pieces_of_segments_many(made: list[Piece], sealed: bool) -> None:
    scan_anything(made, sealed)


def header_of_anything(body: bytes, noise: bytes) -> None:
    data, _ = frame.build(frame.HEADER_MAGIC, body, _EPOCH, 0, 1, 0)
    for given_bytes in (data, noise, data[: len(data) // 2], noise + data):
        try:
            found = MemorySegment(given_bytes, 100).header()
        except (DamageError, StorageVersionError):
            continue
        assert found is None or isinstance(found, SegmentHeader)


def header_bodies() -> st.SearchStrategy[bytes]:
    """JSON that is nearly a header."""
    numbers = st.sampled_from((1, 2, 3, "1", None, 1.5, -1, 2**70, [], {}))
    seal = st.fixed_dictionaries({}, optional=dict.fromkeys(("segment", "length", "crc", "next_seq"), numbers))
    header = st.fixed_dictionaries(
        {},
        optional={
            "format": st.sampled_from((1, 1, 1, "1", None, 2, True)),
            "store_id": st.sampled_from(("ab", None, 7)),
            "epoch": st.sampled_from((3, 3, 3, "3", None)),
            "segment": st.sampled_from((2, 2, 2, None)),
            "columns": st.sampled_from((list(STORED_COLUMNS), [], None, [1], ["type"], "text")),
            "sealed": st.lists(seal | json_like, max_size=2) | json_like,
        },
    )
    return (header | json_like.filter(lambda value: not isinstance(value, bytes))).map(
        lambda value: json.dumps(value, default=str).encode()
    ) | st.binary(max_size=50)


@FEW
@given(header_bodies(), st.binary(max_size=80))
def test_headers(body: bytes, noise: bytes) -> None:
    header_of_anything(body, noise)


@pytest.mark.fault
@pytest.mark.timeout(900)
@MANY
@given(header_bodies(), st.binary(max_size=80))
def test_headers_many(body: bytes, noise: bytes) -> None:
    header_of_anything(body, noise)


def rows_of_a_sound_frame(body: bytes, rows: int) -> None:
    """The checksum is right, so somebody wrote these bytes on purpose."""
    with tempfile.TemporaryDirectory() as store:
        writer = open_writer(store)
        segment = writer._segment
        data, _ = frame.build(frame.EVENT_MAGIC, body, segment.epoch, rows, segment.end.next_seq, segment.end.crc)
        os.pwrite(segment.fd, data, segment.end.offset)
        os.close(segment.fd)
        for read in (_rows_as_table, _rows_as_events):
            try:
                found = read(store)
            except DamageError as error:
                named = error.path
            else:
                assert found == rows
                continue
            assert segment.name in named


def _rows_as_table(store: str) -> int:
    return int(LogReader(store).read()[0].num_rows)


def _rows_as_events(store: str) -> int:
    return sum(1 for _ in LogReader(store).events())


@settings(FEW, max_examples=25)
@given(bodies, counts)
def test_rows_of_sound_frames(body: bytes, rows: int) -> None:
    rows_of_a_sound_frame(body, rows)


@pytest.mark.fault
@pytest.mark.timeout(900)
@settings(MANY, max_examples=500)
@given(bodies, counts)
def test_rows_of_sound_frames_many(body: bytes, rows: int) -> None:
    rows_of_a_sound_frame(body, rows)


# -- SQL --------------------------------------------------------------------------------------------------------------

SECRET = "the-secret-of-the-fuzzer"
_TABLES = (
    "workflows", "tasks", "wfstore.tail", "main.events", "range(3)", "read_text('{secret}')", "'{secret}'", '"{secret}"',
    "glob('{folder}/*')", "duckdb_settings()", "duckdb_views()", "pragma_version()", "(VALUES (1), (2)) v(a)",
    "query('FROM read_text(''{secret}'')')", "read_csv('{secret}', header = false)", "duckdb_secrets()", "unnest([1, 2])",
    "information_schema.tables", "sniff_csv('{secret}')", "pg_catalog.pg_settings", "checkpoint()",
)  # fmt: skip
_WORDS = (
    "1", "*", "count(*)", "(SELECT content FROM read_text('{secret}'))", "getenv('SECRET_OF_FUZZ')", "current_setting('threads')",
    "workflow_id", "'{secret}'", "nextval('s')", "list_transform([1], x -> x)", "write_log('x')", "version()", "$1", "?",
)  # fmt: skip
_WRITES = (
    "DELETE FROM wfstore.tail", "INSERT INTO wfstore.tail (seq) VALUES (1)", "DROP VIEW tasks", "CREATE TABLE t AS SELECT 1",
    "COPY (SELECT 1) TO '{folder}/made'", "ATTACH '{folder}/made' AS x", "SET threads = 2", "PRAGMA database_list",
    "UPDATE wfstore.tail SET seq = 7", "EXPORT DATABASE '{folder}/made'", "INSTALL x", "LOAD x", "CHECKPOINT", "VACUUM",
    "BEGIN", "USE main", "CALL pragma_version()", "TRUNCATE wfstore.tail", "EXPLAIN ANALYZE DELETE FROM wfstore.tail",
)  # fmt: skip


def statements() -> st.SearchStrategy[str]:
    tables, words = st.sampled_from(_TABLES), st.sampled_from(_WORDS)
    select = st.builds("SELECT {} FROM {}".format, words, tables) | st.builds("FROM {}".format, tables)
    combined = st.recursive(
        select,
        lambda inner: (
            st.builds("SELECT {} FROM ({})".format, words, inner)
            | st.builds("WITH t AS ({}) FROM t, {}".format, inner | st.sampled_from(_WRITES), tables)
            | st.builds("{} UNION ALL {}".format, inner, inner)
            | st.builds("SELECT ({})".format, inner)
            | st.builds("{} WHERE EXISTS ({})".format, inner, inner)
            | st.builds("{} LIMIT {}".format, inner, words)
        ),
        max_leaves=4,
    )
    whole = combined | st.sampled_from(_WRITES) | st.builds("{}; {}".format, combined, st.sampled_from(_WRITES))
    ahead = st.sampled_from(
        ("", "", "", "EXPLAIN ", "EXPLAIN ANALYZE ", "DESCRIBE ", "SUMMARIZE ", "PREPARE p AS ", ";", "/**/")
    )
    behind = st.sampled_from(("", "", "", ";", " --", "/*", ";;", "\0", " '", " )"))
    return st.builds("{}{}{}".format, ahead, whole, behind) | st.text(max_size=40)


class Place:
    """A locked database as the sandbox has it, an open one as `Store.sql` has it, and files that are nobody's business."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = folder / "secret.txt"
        self.secret.write_text(SECRET)
        self.locked = database.whole(replacements=False)
        child.lock(self.locked, [])
        self.open = database.whole(replacements=False)
        self.before = self.seen()

    def seen(self) -> Any:
        """All that no statement may change."""
        look = "SELECT count(*), (SELECT count(*) FROM duckdb_views()), (SELECT count(*) FROM duckdb_tables()) FROM wfstore.tail"
        rows = [connection.cursor().execute(look).fetchall() for connection in (self.locked, self.open)]
        return rows, sorted(os.listdir(self.folder))

    def try_both(self, text: str) -> None:
        query = text.replace("{secret}", str(self.secret)).replace("{folder}", str(self.folder))
        self._in_the_sandbox(query)
        self._in_the_process(query)
        assert self.seen() == self.before, query

    def _in_the_sandbox(self, query: str) -> None:
        cursor = self.locked.cursor()
        try:
            allowed.check(cursor, query)
            with database.translated():
                said = str(cursor.execute(query).fetchall())
        except QueryError as error:
            said = str(error)
        assert SECRET not in said.replace(query, ""), query

    def _in_the_process(self, query: str) -> None:
        """Whoever asks there may read files, and by accident change nothing."""
        cursor = self.open.cursor()
        try:
            with database.translated(), database.transaction(cursor, read_only=True):
                gate.check(cursor, query)
                cursor.execute(query).fetchall()
        except QueryError:
            return


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    os.environ["SECRET_OF_FUZZ"] = SECRET
    yield Place(tmp_path_factory.mktemp("fuzz"))
    del os.environ["SECRET_OF_FUZZ"]


@FEW
@given(statements())
def test_statements(place: Place, text: str) -> None:
    place.try_both(text)


@pytest.mark.fault
@pytest.mark.timeout(900)
@MANY
@given(statements())
def test_statements_many(place: Place, text: str) -> None:
    place.try_both(text)


def test_without_the_gate_and_the_wall_a_hole_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(allowed, "check", lambda connection, query: None)
    monkeypatch.setattr(child, "lock", lambda connection, names: None)
    with pytest.raises(AssertionError):
        Place(tmp_path).try_both("SELECT (SELECT content FROM read_text('{secret}'))")
