"""`History`: every frame, the summary, the document and the page for a terminal."""

from __future__ import annotations

import json

import pytest

import wfstore
from wfstore import errors
from wfstore.schema.views import VIEWS


def test_frames_have_the_columns_of_the_views_and_the_rows_of_the_workflow(store: wfstore.Store) -> None:
    history = store.history("good")
    frames = {
        "runs": history.runs,
        "tasks": history.tasks,
        "attempts": history.attempts,
        "edges": history.edges,
        "events": history.events,
        "time_spent": history.time_spent,
    }
    for name, frame in frames.items():
        own = ["on_critical_path", "slack_s"] if name == "tasks" else []
        assert frame.columns == [column.name for column in VIEWS[name]] + own, name
        assert set(frame["workflow_id"]) == {"good"}, name
    assert history.tasks["task_id"].to_list() == ["list", "map", "map_1", "total"]
    assert history.events["seq"].is_sorted()


def test_the_row_is_the_one_of_the_view(store: wfstore.Store) -> None:
    for workflow_id in store.workflows()["workflow_id"]:
        history = store.history(workflow_id)
        said = store.sql("FROM workflows WHERE workflow_id = ?", [workflow_id]).pl().row(0, named=True)
        assert history.workflow == said
        assert history.status == said["status"]


def test_frames_without_rows_have_their_types(store: wfstore.Store) -> None:
    edges = store.history("plain").edges
    assert edges.is_empty()
    assert edges.schema == store.history("good").edges.schema


def test_summary_and_document(store: wfstore.Store) -> None:
    history = store.history("good")
    assert history.summary["metadata"]["team"] == "data"
    assert history.summary["task_statuses"] == {"SUCCESSFUL": 4}
    assert len(history.summary["slowest_tasks"]) == 4
    document = json.loads(json.dumps(history.to_dict()))
    assert document["workflow"]["submitted_at"].endswith("Z")
    assert [len(document[name]) for name in ("runs", "tasks", "attempts", "edges")] == [1, 4, 4, 4]
    assert document["events"][0]["attributes"]["output_task"] == "total"


def test_the_page_for_a_terminal(store: wfstore.Store) -> None:
    page = str(store.history("failed"))
    assert "failed" in page.splitlines()[0]
    assert "b, run 1, attempt 1: ValueError: bad" in page
    assert "\x1b" not in page
    assert "2/4" not in str(store.history("good"))
    assert "4/4 tasks done" in str(store.history("good"))
    assert repr(store.history("good")) == "<History of 'good': SUCCESSFUL, 4 tasks>"


def test_an_unknown_workflow(store: wfstore.Store) -> None:
    with pytest.raises(errors.WorkflowNotFoundError, match="nope") as raised:
        store.history("nope")
    assert isinstance(raised.value, ValueError)
