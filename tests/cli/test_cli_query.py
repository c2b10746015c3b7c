"""`sql` and `report`: the same rows in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Command
from tests.cli.stores import LOUD_ID

QUERY = "SELECT workflow_id, submitted_at, tasks, duration_s, metadata FROM workflows ORDER BY workflow_id"


def test_a_table_by_default(wfstore: Command, store: str) -> None:
    answer = wfstore(
        "sql", "SELECT workflow_id, NULL AS nothing, 0.5 AS half FROM workflows ORDER BY 1", "--storage", store
    )
    assert answer.code == 0
    assert [line.split() for line in answer.out.splitlines()] == [
        ["workflow_id", "nothing", "half"],
        *([name, "NULL", "0.5"] for name in sorted(["big", "good", LOUD_ID, "open"])),
    ]


def test_json_jsonl_and_csv_agree(wfstore: Command, store: str) -> None:
    rows = json.loads(wfstore("sql", QUERY, "--storage", store, "--json").out)
    lines = wfstore("sql", QUERY, "--storage", store, "--format", "jsonl").out.splitlines()
    table = list(csv.DictReader(io.StringIO(wfstore("sql", QUERY, "--storage", store, "--format", "csv").out)))

    assert [json.loads(line) for line in lines] == rows
    assert [row["workflow_id"] for row in table] == [row["workflow_id"] for row in rows]
    assert [row["submitted_at"] for row in table] == [row["submitted_at"] for row in rows]
    assert next(row["metadata"] for row in rows if row["workflow_id"] == "good") == {"name": "shop", "team": "data"}


def test_lists_and_blobs_survive(wfstore: Command, store: str) -> None:
    query = "SELECT [1, 2] AS many, 'a'::BLOB AS raw, {'x': 1} AS pair, 'nan'::DOUBLE AS gone, sum(1) AS huge"
    assert json.loads(wfstore("sql", query, "--storage", store, "--json").out) == [
        {"many": [1, 2], "raw": "YQ==", "pair": {"x": 1}, "gone": None, "huge": 1}
    ]
    assert "YQ==" in wfstore("sql", query, "--storage", store, "--format", "csv").out
    assert "[1,2]" in wfstore("sql", query, "--storage", store).out


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.json", "rows.jsonl", "rows.txt"])
def test_a_file_gets_the_format_of_its_ending(wfstore: Command, store: str, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    answer = wfstore("sql", QUERY, "--storage", store, "-o", str(target))

    assert (answer.code, answer.out) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    if name.endswith("parquet"):
        assert pl.read_parquet(target).height == 4
    else:
        assert "good" in target.read_text()


def test_parquet_to_a_pipe(wfstore: Command, store: str) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "wfstore", "sql", QUERY, "--storage", store, "--format", "parquet"]
    written = subprocess.run(command, capture_output=True, check=True).stdout
    assert pl.read_parquet(io.BytesIO(written)).height == 4


def test_stdin(wfstore: Command, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 41 + 1 AS answer"))
    assert json.loads(wfstore("sql", "-", "--storage", store, "--json").out) == [{"answer": 42}]


@pytest.mark.parametrize(
    "query", ["DELETE FROM workflows", "SELECT 1; SELECT 2", "SELECT nonsense", "", "COPY t TO 'x'"]
)
def test_what_is_not_one_select_is_refused_and_the_file_stays(
    wfstore: Command, store: str, tmp_path: Path, query: str
) -> None:
    target = tmp_path / "kept.csv"
    target.write_text("before")
    answer = wfstore("sql", query, "--storage", store, "-o", str(target))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("wfstore: ")
    assert answer.err.count("\n") == 1
    assert target.read_text() == "before"


def test_a_folder_that_is_not_there(wfstore: Command, store: str, tmp_path: Path) -> None:
    answer = wfstore("sql", "SELECT 1", "--storage", store, "-o", str(tmp_path / "none" / "x.csv"))
    assert answer.code == 1
    assert "x.csv: No such file or directory" in answer.err


def test_wrong_usage(wfstore: Command, store: str) -> None:
    assert wfstore("sql", "SELECT 1", "--storage", store, "--json", "--format", "csv").code == 2
    assert wfstore("sql", "--storage", store).code == 2
    assert wfstore("report", "failures", "--storage", store, "--param", "x").code == 2


def test_reports_are_listed_with_a_sentence_each(wfstore: Command, store: str) -> None:
    rows = json.loads(wfstore("report", "--storage", store, "--json").out)
    assert {"slowest_tasks", "task_durations", "output_sizes", "failures", "throughput"} <= {
        row["name"] for row in rows
    }
    assert all(row["summary"] for row in rows)


def test_every_report_runs(wfstore: Command, store: str) -> None:
    for row in json.loads(wfstore("report", "--storage", store, "--json").out):
        answer = wfstore("report", row["name"], "--storage", store)
        without_rows = answer.out.count("\n") == 1
        assert (answer.code, answer.err[:16]) == (0, "Nothing to show:" if without_rows else ""), row["name"]


def test_an_unknown_report_is_named(wfstore: Command, store: str) -> None:
    answer = wfstore("report", "nope", "--storage", store)
    assert (answer.code, answer.out) == (1, "")
    assert "nope" in answer.err
    assert answer.err.count("\n") == 1
