"""What DuckDB may hold: more while a statement runs that needs it at once, and no longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

import wfstore
from tests.compaction.damage import copy, make
from wfstore.index import database, room
from wfstore.index.room import Room

_ASKED = "SELECT current_setting('memory_limit')"
_WIDELY = f"{_ASKED} FROM (SELECT count(*) FROM time_spent)"


def limit_of(connection: database.Connection) -> str:
    return str(connection.execute(_ASKED).fetchall()[0][0])


@pytest.fixture
def megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte for each event, and 20 for what is wide."""
    monkeypatch.setattr(room, "_BASE_BYTES", 0)
    monkeypatch.setattr(room, "_BYTES_PER_EVENT", 2**20)
    monkeypatch.setattr(room, "_BYTES_PER_EVENT_WIDE", 20 * 2**20)


@pytest.fixture
def connection() -> database.Connection:
    return database.create(replacements=False)


def test_time_spent_of_a_large_store_gets_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_BYTES_PER_EVENT_WIDE", 2**30)
    store = wfstore.open(copy(make(tmp_path / "stock"), tmp_path).path)
    ((before,),) = store.sql(_ASKED).fetchall()
    ((meanwhile,),) = store.sql(_WIDELY).fetchall()
    ((after,),) = store.sql(_ASKED).fetchall()
    assert before == after == "953.6 MiB"
    assert meanwhile.endswith(("GiB", "TiB"))
    assert store.report("where_time_goes").height
    assert store.sql(_ASKED).fetchall() == [(before,)]


def test_it_goes_with_the_last_of_those_that_run(megabytes: None, connection: database.Connection) -> None:
    found = Room(connection)
    found.settle(10, 0)
    assert limit_of(connection) == "9.5 MiB"
    with found.of("FROM main.TIME_SPENT"):
        with found.of("FROM time_spent"):
            found.settle(10, 0)
            assert limit_of(connection) == "199.3 MiB"
        assert limit_of(connection) == "199.3 MiB"
    assert limit_of(connection) == "9.5 MiB"
    with found.of("FROM tasks"):
        assert limit_of(connection) == "9.5 MiB"


def test_without_history_files_there_is_no_limit_of_ours(megabytes: None, connection: database.Connection) -> None:
    before = limit_of(connection)
    found = Room(connection)
    found.settle(0, 1_000)
    with found.of("FROM time_spent"):
        assert limit_of(connection) == before


def test_what_others_hold_at_this_moment_is_waited_for(
    megabytes: None, connection: database.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Room(connection)
    found.settle(10, 0)

    def refused(*_: Any) -> None:
        raise duckdb.OutOfMemoryException("Out of Memory Error: could not free up enough memory for the new limit")

    with found.of("FROM time_spent"), monkeypatch.context() as patch:
        patch.setattr(database, "run", refused)
        with found.of("FROM time_spent"):
            pass
        found.settle(10_000, 0)
    found.settle(10, 0)
    assert limit_of(connection) == "9.5 MiB"
