"""The parts of the page that compare and foresee, and the legends of its drawings."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

import wfstore
from tests.answers.stories import slower, two
from tests.cli import test_cli_eta
from tests.reports.stories import at, store_of
from wfstore.reports import _answers
from wfstore.reports._asked import Asked, Fit
from wfstore.reports._tables import Table

FIT = Fit(50, 300, 48, 200_000)


def asked(store: wfstore.Store, since: datetime | None = None) -> Asked:
    return Asked(store, since, None, datetime.now(UTC).replace(tzinfo=None), None, {})


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in (table.columns, *table.rows)]


def test_what_became_worse(tmp_path: Path) -> None:
    store = store_of(slower(), tmp_path / "s")
    section = _answers.worse(asked(store, at(2000)), FIT)
    head, row = texts(section.tables[0])
    assert head[:6] == ["workflow", "task", "measure", "before", "after", "ratio (95 %)"]
    assert row[:5] == ["flow", "shop.work", "duration_s", "10.0 s", "20.0 s"]
    assert row[5].startswith("2.00x") and row[7] == "20, 20" and row[9] == "w20"
    assert "1 task key compared." in section.note
    command = shlex.split(section.tables[0].command)
    assert command[:3] == ["wfstore", "regressions", "--since"]
    assert store.regressions(command[3]).height == 1


def test_the_slowest_beside_the_one_before_it_and_what_the_drawings_mean(tmp_path: Path) -> None:
    drawn, beside = _answers.slowest_one(asked(store_of(two(), tmp_path / "s")), FIT)
    (table,) = beside.tables
    head, *rows = texts(table)
    assert head[0] == "task" and [row[0] for row in rows] == ["save", "map", "total", "map_1", "map_2"]
    assert table.command == "wfstore diff a b"
    assert beside.note.startswith("a -> b: SUCCESSFUL; time 10.0 s -> 14.0 s")
    nodes, spent = ("".join(ElementTree.fromstring(one.legend).itertext()) for one in drawn.pictures)
    assert "6 SUCCESSFUL" in nodes and "critical path" in nodes
    assert "user code" in spent and "fetching arguments" in spent


@pytest.fixture
def running(tmp_path: Path) -> Iterator[wfstore.Store]:
    made = test_cli_eta.store_of(tmp_path / "store", 6)
    yield wfstore.open(made.path, live=False)
    made.close()


def test_when_what_runs_will_have_ended(running: wfstore.Store, tmp_path: Path) -> None:
    (section,) = _answers.under_way(asked(running), FIT)
    head, *rows = texts(section.tables[0])
    assert head[0] == "workflow" and [row[0] for row in rows] == ["now"]
    expected = running.history("now").eta(0.5)
    assert expected is not None and rows[0][5] == f"{expected.runs} past runs"
    assert rows[0][3] and rows[0][3] <= rows[0][4]
    assert _answers.under_way(asked(store_of(slower(), tmp_path / "ended")), FIT) == []
