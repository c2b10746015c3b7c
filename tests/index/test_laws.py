"""One decision, many folds: after every prefix of any legal log, SQL says what the manager's memory says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.index.worlds import lease
from tests.model.histories import random_history
from wfstore.index import FRAMES, Index, history, shared
from wfstore.log import MemoryLog
from wfstore.model.rows import task_row, workflow_row
from wfstore.model.state import State

SEEDS = st.integers(0, 2**32)


def expected(state: State) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    workflows = [state.workflows[key] for key in sorted(state.workflows)]
    tasks = [task_row(w, w.tasks[key]) for w in workflows for key in sorted(w.tasks)]
    return [plain(workflow_row(w)) for w in workflows], [plain(row) for row in tasks]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **{name: json.loads(row[name]) for name in ("metadata", "progress_metrics") if row.get(name)}}


def chosen(rows: list[dict[str, Any]], columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [plain({name: row[name] for name in columns}) for row in rows]


def sql_follows(seed: int) -> None:
    simulation = random_history(seed, 0)
    log = MemoryLog()
    log.set_lease(lease())
    index = Index(log)
    written = 0
    for _ in range(25):
        simulation.step()
        if written == len(simulation.log):
            continue
        log.append(simulation.log[written:])
        written = len(simulation.log)
        workflows, tasks = expected(simulation.state)
        found = index.sql("FROM workflows ORDER BY workflow_id").pl().to_dicts()
        assert chosen(found, workflows[0] if workflows else {}) == workflows
        found = index.sql("FROM tasks ORDER BY workflow_id, task_id").pl().to_dicts()
        assert chosen(found, tasks[0] if tasks else {}) == tasks


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_sql_says_what_the_manager_remembers_after_every_command(seed: int) -> None:
    sql_follows(seed)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_sql_says_what_the_manager_remembers_in_many_more_histories(seed: int) -> None:
    sql_follows(seed)


@pytest.mark.parametrize("few", [0, 10_000], ids=["through Arrow", "plain values"])
def test_a_history_is_what_the_views_say(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_FEW", few)
    frames_are_those_of_the_views()


@settings(max_examples=3, deadline=None)
@given(SEEDS)
def frames_are_those_of_the_views(seed: int) -> None:
    log = MemoryLog()
    log.append(random_history(seed, 60).log)
    index = Index(log)
    keys = {
        "workflows": "1", "runs": "run", "tasks": "defined_seq", "attempts": "submitted_seq",
        "time_spent": "submitted_seq",
    }  # fmt: skip
    for (workflow_id,) in index.sql("SELECT workflow_id FROM workflows").fetchall():
        scan = index.scan(workflow_id)
        frames = shared().frames(scan) | {"time_spent": shared().time_spent(scan)}
        assert set(frames) == {*FRAMES, "time_spent"}
        for name, frame in frames.items():
            order = keys.get(name, "upstream_task_id, task_id, kind")
            said = index.sql(f"FROM {name} WHERE workflow_id = $id ORDER BY {order}", {"id": workflow_id}).pl()
            assert frame.equals(said) and frame.schema == said.schema, name
