"""The generator's store: sound bytes, histories that the model accepts, and as much of everything as it says."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.index.test_laws import chosen, expected
from wfstore.log import LogReader, now_us
from wfstore.model import events as ev
from wfstore.model.apply import replay
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.statuses import TASK_MOVES, WORKFLOW_MOVES
from wfstore.payloads import hash_of
from wfstore.schema.rows import pack

pytest.importorskip("numpy", reason="numpy is not installed (extra: test)")

from benchmarks import generate
from benchmarks.kinds import kinds
from benchmarks.scripts import scripts

UNTIL = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = 25_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    storage = str(tmp_path_factory.mktemp("generated") / "store")
    said: list[dict[str, Any]] = []
    return storage, generate.generate(EVENTS, storage, 6.0, 1, UNTIL, said.append)


@pytest.fixture(scope="module")
def events(made: tuple[str, dict[str, Any]]) -> list[Event]:
    return list(LogReader(made[0]).events())


def test_it_verifies_clean_and_sql_says_what_it_said(made: tuple[str, dict[str, Any]]) -> None:
    storage, said = made
    store = wfstore.open(storage)
    report = store.verify()
    assert report.ok and report.events == said["events"] and 0 <= said["events"] - EVENTS < 500
    (row,) = store.sql(
        """SELECT (SELECT count(*) FROM workflows) AS workflows, (SELECT count(*) FROM tasks) AS tasks,
                  (SELECT count(*) FROM attempts) AS attempts, (SELECT count(*) FROM runs) AS runs,
                  (SELECT sum(retries) FROM workflows) AS retries"""
    ).pl().to_dicts()  # fmt: skip
    assert {name: int(count) for name, count in row.items()} == {name: said[name] for name in row}
    statuses = dict(store.sql("SELECT status, count(*) FROM workflows GROUP BY status").fetchall())
    assert statuses == said["statuses"]
    assert 0.015 < said["retries"] / said["attempts"] < 0.045
    assert 0.005 < statuses["FAILED"] / said["workflows"] < 0.03


def test_it_is_spread_over_months_and_skewed(made: tuple[str, dict[str, Any]]) -> None:
    store = wfstore.open(made[0])
    first, last = store.sql("SELECT min(submitted_at), max(submitted_at) FROM workflows").fetchall()[0]
    assert 170 < (last - first).days < 184 and last <= UNTIL.replace(tzinfo=None)
    names = [count for (count,) in store.sql("SELECT count(*) FROM workflows GROUP BY name ORDER BY 1 DESC").fetchall()]
    assert len(names) > 25 and names[0] > 10 * names[len(names) // 2]
    (p50, p99), = store.sql("SELECT quantile_cont(duration_s, [0.5, 0.99]) FROM attempts").fetchall()[0]  # fmt: skip
    assert p99 > 10 * p50
    found = {type_ for (type_,) in store.sql("SELECT DISTINCT type FROM events").fetchall()}
    assert {ev.TASK_CONTINUED, ev.TIMER_FIRED, ev.WORKFLOW_CANCELED} <= found


def test_everything_may_happen() -> None:
    chance = random.Random(3)
    found = list(scripts(kinds(chance, [PayloadRef("f" * 64, 50_000)], lambda name: hash_of(name.encode())), chance))
    types = {event.type for script in found for event in script.events}
    assert {ev.WORKFLOW_INTERRUPTED, ev.TASK_ERROR_CAUGHT, ev.ATTEMPT_RETRY_SCHEDULED} <= types
    assert {ev.TASK_RESET, ev.TASK_REUSED} <= types
    assert {"failed", "resumed", "canceled", "interrupted", "caught", "retried", "plain"} == {
        script.fate for script in found
    }


def test_every_history_is_legal(events: list[Event]) -> None:
    pack(events)  # refuses what does not fit its column
    last: dict[tuple[str | None, str | None], str] = {}
    for event in events:
        status = event.status if event.task_id is None else event.task_status
        key = (event.workflow_id, event.task_id)
        if status is not None and event.workflow_id is not None:
            moves: Any = WORKFLOW_MOVES if event.task_id is None else TASK_MOVES
            assert last.get(key) == status or (last.get(key), status) in moves, event
            last[key] = status
    assert all(before.ts <= after.ts for before, after in itertools.pairwise(events))
    assert any(before.workflow_id != after.workflow_id != None for before, after in itertools.pairwise(events[50:]))  # noqa: E711
    assert events[-1].ts < now_us()


def test_replay_says_what_sql_says(made: tuple[str, dict[str, Any]], events: list[Event]) -> None:
    state = replay(events)
    workflows, tasks = expected(state)
    store = wfstore.open(made[0])
    found = store.sql("FROM workflows ORDER BY workflow_id").pl().to_dicts()
    assert chosen(found, workflows[0]) == workflows
    found = store.sql("FROM tasks ORDER BY workflow_id, task_id").pl().to_dicts()
    assert chosen(found, tasks[0]) == tasks
    assert not state.running


def test_values_are_there(made: tuple[str, dict[str, Any]], events: list[Event]) -> None:
    kept = [event for event in events if event.payload is not None]
    assert len(kept) > 1000
    for event in kept:
        assert event.payload is not None and len(event.payload) == event.bytes
        hash_ = event.attribute("args") if event.type == ev.TASK_DEFINED else event.hash
        assert hash_of(event.payload) == hash_
    store = wfstore.open(made[0])
    shown = store.sql(
        "SELECT workflow_id, task_id, output_repr FROM tasks WHERE checkpointed AND output_repr[1] <> '<' LIMIT 20"
    ).fetchall()
    assert shown and all(repr(store.output(workflow_id, task_id)) == text for workflow_id, task_id, text in shown)
    (submitted,) = [event for event in events if event.type == ev.WORKFLOW_SUBMITTED][:1]
    assert json.loads(submitted.attributes or "")["metadata"]["batch"].isdigit()


def test_the_same_seed_gives_the_same_rows(events: list[Event], tmp_path: Path) -> None:
    again = str(tmp_path / "again")
    generate.generate(EVENTS, again, 6.0, 1, UNTIL, lambda row: None)
    assert [event._replace(epoch=None) for event in LogReader(again).events()][1:-1] == [
        event._replace(epoch=None) for event in events
    ][1:-1]
    with pytest.raises(SystemExit, match="has a history already"):
        generate.generate(100, again, 6.0, 1, UNTIL, lambda row: None)
