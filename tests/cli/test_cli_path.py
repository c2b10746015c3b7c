"""`path`: the critical path for people and for machines, what if, and one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.reports.stories import shop, store_of


@pytest.fixture(scope="module")
def shopped(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("shop") / "s"
    return store_of(shop(), folder).storage


def test_a_page_for_people(wfstore: Command, shopped: str) -> None:
    answer = wfstore("path", "one", "--storage", shopped)
    assert (answer.code, answer.err) == (0, "")
    lines = [line.split() for line in answer.out.splitlines()]
    assert "critical path     3 tasks, 7.00 s of 10.0 s: user code 70%, gaps 30%" in answer.out
    assert "time of attempts  29.5 s in 5 attempts: other tasks 49%, user code 34%, Ray's queue 17%" in answer.out
    assert ["map", "SUCCESSFUL", "4.00", "s", "57%", "6.00", "s", "1.00", "s"] in lines
    assert ["map_1", "SUCCESSFUL", "2.00", "s", "2.00", "s"] in lines


def test_what_if(wfstore: Command, shopped: str) -> None:
    answer = wfstore("path", "one", "--what-if", "shop.map=0.25", "--storage", shopped)
    assert "shop.map x 0.25: 2 of 4 tasks change" in answer.out
    assert "7.00 s -> 4.00 s (saves 3.00 s)" in answer.out
    assert "2 tasks at a time" in answer.out
    slower = wfstore("path", "one", "--what-if", "total=2", "--what-if", "list=1", "--storage", shopped)
    assert "(1.00 s longer)" in slower.out
    assert "list > map > total" in slower.out


def test_json_is_one_document(wfstore: Command, shopped: str) -> None:
    said = json.loads(wfstore("path", "two", "--what-if", "work=0.5", "--storage", shopped, "--json").out)
    assert said["makespan"] == {
        "elapsed_s": 23.0, "tasks": 2, "code_s": 5.0, "waits_s": 0.0, "retries_s": 15.0, "gaps_s": 3.0,
    }  # fmt: skip
    assert [row["task_id"] for row in said["critical_path"]] == ["load", "work"]
    assert [(row["task_id"], row["slack_s"]) for row in said["tasks"]] == [("load", 0.0), ("work", 0.0)]
    assert said["what_if"]["unlimited"] == {"before_s": 5.0, "after_s": 4.0, "saved_s": 1.0}
    assert (said["time_spent"]["attempts"], said["time_spent"]["user_s"]) == (3, 9.0)
    without = json.loads(wfstore("path", "two", "--storage", shopped, "--json").out)
    assert without["what_if"] is None


def test_show_marks_the_path(wfstore: Command, shopped: str) -> None:
    page = wfstore("show", "one", "--storage", shopped).out
    marked = [
        line.split()[-8:] for line in page.splitlines() if line.endswith("critical path") or "critical path," in line
    ]
    assert len(marked) == 3
    assert "3 tasks, 7.00 s of 10.0 s" in page and "time of attempts" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("nobody",), "nobody"), (("one", "--what-if", "none=1"), "no task has the key, name or id 'none'"),
     (("one", "--what-if", "list=-1"), "has to be a number from 0")],
)  # fmt: skip
def test_one_line_for_what_cannot_be(wfstore: Command, shopped: str, arguments: tuple[str, ...], words: str) -> None:
    answer = wfstore("path", *arguments, "--storage", shopped)
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.err and answer.err.count("\n") == 1


def test_what_is_no_factor_is_refused(wfstore: Command, shopped: str) -> None:
    for given in ("list", "list=fast", "=2"):
        answer = wfstore("path", "one", "--what-if", given, "--storage", shopped)
        assert answer.code == 2 and "KEY=FACTOR" in answer.err
