"""`--as-of`: what the store was, a line that says so, and one line for what there is no past of."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command
from tests.cli.stores import LOUD_ID


def test_ls_as_of_a_seq(wfstore: Command, store: str) -> None:
    answer = wfstore("ls", "--storage", store, "--json", "--as-of", "3")
    assert [(row["workflow_id"], row["status"], row["tasks_done"]) for row in json.loads(answer.out)] == [
        ("good", "PENDING", 0)
    ]
    assert answer.err == "As of 2023-11-14 22:13:23 UTC (seq 3), not now.\n"


def test_what_ran_had_run_so_long_by_then(wfstore: Command, store: str) -> None:
    """Not until now, which is years later."""
    seq = json.loads(
        wfstore(
            "sql",
            "--storage",
            store,
            "--json",
            "SELECT min(seq) s FROM events WHERE type = 'attempt.started' OR type = 'attempt.succeeded'",
        ).out
    )[0]["s"]
    (row,) = wfstore("ls", "--storage", store, "--as-of", str(seq)).out.splitlines()[1:]
    assert " so far" in row
    assert " d " not in row


def test_show_history_and_sql(wfstore: Command, store: str) -> None:
    shown = json.loads(wfstore("show", "good", "--storage", store, "--json", "--as-of", "3").out)
    assert shown["workflow"]["status"] == "PENDING"
    said = json.loads(wfstore("history", "good", "--events", "--storage", store, "--json", "--as-of", "3").out)
    assert [event["seq"] for event in said["events"]] == [1, 2, 3]
    assert "PENDING" in wfstore("show", "good", "--storage", store, "--as-of", "3").out
    answer = wfstore("sql", "SELECT max(seq) AS last FROM events", "--storage", store, "--json", "--as-of", "4")
    assert json.loads(answer.out) == [{"last": 4}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ls", "--as-of", "99999"), "seq 99999 is in the future: the events of this store are 1 to "),
        (
            ("ls", "--as-of", "2020-01-01"),
            "2020-01-01 00:00:00 UTC is before the beginning: the first event is of 2023",
        ),
        (("ls", "--as-of", "9999-01-01"), "is in the future"),
        (("sql", "SELECT 1", "--as-of", "soon"), "'soon' is neither ISO 8601 nor a span of time"),
        (("show", LOUD_ID, "--as-of", "3"), f"no workflow '{LOUD_ID}' as of seq 3"),
    ],
)
def test_one_line_where_there_is_no_such_past(
    wfstore: Command, store: str, arguments: tuple[str, ...], message: str
) -> None:
    answer = wfstore(*arguments, "--storage", store)
    assert (answer.code, answer.out) == (1, "")
    assert message in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err


def test_what_was_is_not_watched(wfstore: Command, store: str) -> None:
    answer = wfstore("show", "good", "--watch", "--storage", store, "--as-of", "3")
    assert answer.code == 2
    assert "does not change any more" in answer.err
