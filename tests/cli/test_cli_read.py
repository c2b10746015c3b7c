"""`ls`, `show`, `history`: one JSON document for machines, a page for people, one line for what is not there."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.conftest import Command
from tests.cli.stores import LOUD_ID

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_ls_json_is_one_document_newest_first(wfstore: Command, store: str) -> None:
    answer = wfstore("ls", "--storage", store, "--json")
    rows = json.loads(answer.out)

    assert (answer.code, answer.err) == (0, "")
    assert [row["workflow_id"] for row in rows] == ["open", LOUD_ID, "big", "good"]
    assert [row["status"] for row in rows] == ["RESUMABLE", "FAILED", "SUCCESSFUL", "SUCCESSFUL"]
    good = rows[-1]
    assert good["metadata"] == {"name": "shop", "team": "data"}
    assert not isinstance(good["versions"], str)
    assert ISO.fullmatch(good["submitted_at"])
    assert isinstance(good["duration_s"], float)
    assert (good["tasks"], good["tasks_done"]) == (5, 5)


def test_ls_filters(wfstore: Command, store: str) -> None:
    def ids(*options: str) -> list[str]:
        return [row["workflow_id"] for row in json.loads(wfstore("ls", "--storage", store, "--json", *options).out)]

    assert ids("--status", "FAILED") == [LOUD_ID]
    assert ids("--status", "failed") == [LOUD_ID]
    assert ids("--name", "shop") == ["good"]
    assert ids("--limit", "1") == ["open"]
    assert ids("--since", "1d") == []
    assert len(ids("--since", "2023-11-14T22:00:00")) == 4


def test_ls_as_a_table(wfstore: Command, store: str) -> None:
    lines = wfstore("ls", "--storage", store).out.splitlines()

    assert re.split(r"\s{2,}", lines[0].strip()) == [
        "id",
        "name",
        "status",
        "submitted (UTC)",
        "duration",
        "tasks done",
        "output size",
        "error",
    ]
    loud = next(line for line in lines if LOUD_ID in line)
    assert "ValueError: first line\\x1b[2J" in loud
    assert "4/5" in loud
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


def test_an_empty_answer_says_so(wfstore: Command, store: str) -> None:
    assert wfstore("ls", "--storage", store, "--name", "nobody").out == "no workflows\n"
    assert wfstore("ls", "--storage", store, "--name", "nobody", "--json").out == "[]\n"


def test_show_draws_the_dag_the_slowest_tasks_and_the_errors(wfstore: Command, store: str) -> None:
    out = wfstore("show", LOUD_ID, "--storage", store).out

    assert "status       FAILED" in out
    assert "├─ map_2" in out
    assert "└─ total" in out
    assert "after map, map_1, map_2" in out
    assert "Slowest tasks" in out
    assert "Errors (1 task)" in out
    assert "\x1b" not in out


def test_show_groups_a_big_dag_by_name(wfstore: Command, store: str) -> None:
    out = wfstore("show", "big", "--storage", store).out
    assert "├─ map x100" in out
    assert "100 SUCCESSFUL" in out
    assert "Errors" not in out


def test_show_json(wfstore: Command, store: str) -> None:
    document = json.loads(wfstore("show", "good", "--storage", store, "--json").out)

    assert document["workflow"]["workflow_id"] == "good"
    assert document["workflow"]["metadata"]["team"] == "data"
    assert document["task_statuses"] == {"SUCCESSFUL": 5}
    assert {task["task_id"] for task in document["tasks"]} == {"list", "map", "map_1", "map_2", "total"}
    assert len(document["edges"]) == 6
    durations = {task["task_id"]: task["duration_s"] for task in document["tasks"]}
    assert document["slowest_tasks"] == sorted(durations, key=lambda task_id: -durations[task_id])


def test_history_has_runs_tasks_and_attempts_and_events_when_asked(wfstore: Command, store: str) -> None:
    out = wfstore("history", "good", "--storage", store).out
    assert [line.split(" (")[0] for line in out.splitlines() if re.match(r"[A-Z]\w+ \(", line)] == [
        "Runs",
        "Tasks",
        "Attempts",
    ]
    assert "Events (" in wfstore("history", "good", "--storage", store, "--events").out


def test_history_json_is_one_document(wfstore: Command, store: str) -> None:
    document = json.loads(wfstore("history", "good", "--storage", store, "--json").out)
    assert len(document["tasks"]) == len(document["attempts"]) == 5
    assert "events" not in document
    assert ISO.fullmatch(document["attempts"][0]["started_at"])

    with_events = json.loads(wfstore("history", "good", "--storage", store, "--json", "--events").out)
    assert with_events["events"][0]["type"] == "workflow.submitted"


@pytest.mark.parametrize("verb", ["show", "history"])
def test_an_unknown_workflow_is_one_line_that_names_it(wfstore: Command, store: str, verb: str) -> None:
    answer = wfstore(verb, "no\nsuch", "--storage", store)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("wfstore: ")
    assert "such" in answer.err
    assert answer.err.count("\n") == 1
