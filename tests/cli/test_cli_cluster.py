"""The verbs that need Ray, and the demo, as a user calls them: in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wfstore.model.statuses import CANCELED, SUCCESSFUL

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
TRACE = Path("/work/shared/data/wfinstances/bwa-chameleon-small-001.json")

PIPELINE = """
import os, sys, time
from wfstore import workflow

@workflow.task
def one():
    return 1

@workflow.task
def gate(value):
    if not os.path.exists("open"):
        raise RuntimeError("the gate is closed")
    return value + 1

workflow.init(storage=sys.argv[1])
workflow.run(gate.bind(one.bind()), workflow_id="gated")
"""


def call(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=cwd, env=environment, timeout=120
    )


def wfstore(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return call("-m", "wfstore", *arguments, cwd=cwd)


def rows(place: Path, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(wfstore("sql", query, "--json", "--storage", "store", cwd=place).stdout)
    return found


def test_resume_cancel_and_delete(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    assert call("pipeline.py", "store", cwd=tmp_path).returncode == 1

    again = wfstore("resume", "gated", "--storage", "store", cwd=tmp_path)
    assert again.returncode == 1
    assert "RuntimeError: the gate is closed" in again.stderr.splitlines()[-1]

    (tmp_path / "open").touch()
    resumed = wfstore("resume", "gated", "--storage", "store", "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["status"] == SUCCESSFUL
    assert rows(tmp_path, "SELECT count(*) AS n FROM attempts WHERE task_id LIKE '%one'") == [{"n": 1}]

    refused = wfstore("cancel", "gated", "--storage", "store", cwd=tmp_path)
    assert refused.returncode == 1
    assert "gated is SUCCESSFUL" in refused.stderr

    deleted = wfstore("delete", "gated", "--storage", "store", "--json", cwd=tmp_path)
    assert json.loads(deleted.stdout) == {"workflow_id": "gated", "status": "DELETED"}
    assert rows(tmp_path, "SELECT count(*) AS n FROM workflows") == [{"n": 0}]


SHOP = """
from wfstore import workflow

@workflow.task
def price():
    return 2

@workflow.task
def total(value):
    {body}
"""
ORDER = """
import sys
from shop import price, total
from wfstore import workflow

workflow.init(storage=sys.argv[1])
workflow.run(total.bind(price.bind()), workflow_id="order")
"""


def test_resume_with_the_current_code_and_rerun(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP.format(body="return value / 0"))
    (tmp_path / "order.py").write_text(ORDER)
    assert call("order.py", "store", cwd=tmp_path).returncode == 1
    (tmp_path / "shop.py").write_text(SHOP.format(body="return value * 100"))

    resumed = wfstore("resume", "order", "--code", "current", "--storage", "store", "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    tried = rows(tmp_path, "SELECT task_id, run, function_hash FROM attempts ORDER BY submitted_seq")
    assert [(row["task_id"], row["run"]) for row in tried] == [("shop.price", 1), ("shop.total", 1), ("shop.total", 2)]
    assert tried[1]["function_hash"] != tried[2]["function_hash"]

    again = wfstore("rerun", "order", "--storage", "store", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert (document["status"], document["rerun_of"], document["attempts"]) == (SUCCESSFUL, "order", 2)
    said = wfstore("show", document["workflow_id"], "--storage", "store", cwd=tmp_path).stdout
    assert "rerun of" in said


def test_cancel_of_an_interrupted_workflow(tmp_path: Path) -> None:
    from tests.cli.stores import made

    made(tmp_path / "store")
    done = wfstore("cancel", "open", "--storage", "store", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"workflow_id": "open", "status": CANCELED}
    assert rows(tmp_path, "SELECT status FROM workflows WHERE workflow_id = 'open'") == [{"status": CANCELED}]


@pytest.mark.slow
def test_the_demo_does_real_work_and_leaves_nothing(tmp_path: Path) -> None:
    done = wfstore("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SUCCESSFUL" in done.stdout
    assert "measure_package x" in done.stdout
    assert "Slowest tasks" in done.stdout
    assert done.stdout.count("  wfstore ") == 4
    assert "  wfstore dashboard --storage" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_retries_catches_and_continues(tmp_path: Path) -> None:
    done = wfstore("demo", "--storage", "store", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["status"], document["kept"]) == (SUCCESSFUL, True)
    assert document["result"]["modules"] > 300
    assert document["result"]["caught"].startswith("SyntaxError")
    assert rows(tmp_path, "SELECT attempts, status FROM tasks WHERE name = 'largest_module'") == [
        {"attempts": 2, "status": SUCCESSFUL}
    ]
    assert rows(tmp_path, "SELECT status FROM tasks WHERE name = 'parse_old_source'") == [{"status": "CAUGHT"}]
    assert rows(tmp_path, "SELECT count(*) > 0 AS some FROM tasks WHERE name = 'measure_modules'") == [{"some": True}]
    assert wfstore("verify", "--storage", "store", cwd=tmp_path).returncode == 0


@pytest.mark.skipif(not TRACE.exists(), reason=f"no WfFormat instance {TRACE}")
def test_the_demo_replays_a_trace(tmp_path: Path) -> None:
    done = wfstore(
        "demo", "--trace", str(TRACE), "--time-scale", "0.0001", "--storage", "store", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path, "SELECT name, count(*) AS n FROM tasks GROUP BY name ORDER BY n DESC, name LIMIT 1") == [
        {"name": "bwa", "n": 100}
    ]
    assert rows(tmp_path, "SELECT count(*) AS n FROM edges WHERE task_id <> 'trace_output'") == [{"n": 400}]


def test_what_the_demo_refuses(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    refused = wfstore("demo", "--trace", "bad.json", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == "wfstore: bad.json: schemaVersion: is missing\n"
    assert wfstore("demo", "--time-scale", "-1", cwd=tmp_path).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]
