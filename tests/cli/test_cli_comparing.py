"""`wfstore diff` and `wfstore regressions`, and the same in Python."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

import wfstore
from tests.answers.stories import resumed, slower, two
from tests.reports.stories import START, store_of
from wfstore.answers import regressions
from wfstore.cli.app import run

SINCE = (START + timedelta(seconds=2_000)).isoformat()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_of(two(), tmp_path_factory.mktemp("two") / "store").storage


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_of(slower(), tmp_path_factory.mktemp("slow") / "store").storage


def test_diff_for_people(compared: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "a", "b", "--storage", compared]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a -> b"
    assert "tasks 4 -> 6 (2 added, 0 gone, 3 changed)" in lines[1]
    assert [line.split()[0] for line in lines[4:]] == ["save", "map", "total", "map_1", "map_2"]


def test_diff_for_machines_is_that_of_python(compared: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "a", "b", "--json", "--storage", compared]) == 0
    said = json.loads(capsys.readouterr().out)
    found = wfstore.diff("a", "b", storage=compared)
    assert set(said) == {"a", "b", "headline", "summary", "added", "gone", "changed"}
    assert [row["task_id_b"] for row in said["added"]] == found.added["task_id_b"].to_list() == ["save", "map_2"]


def test_diff_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = store_of(resumed(), tmp_path / "store").storage
    assert run(["diff", "w@1", "w@2", "--storage", storage]) == 0
    assert "FAILED -> SUCCESSFUL" in capsys.readouterr().out
    found = wfstore.diff("w", "w", storage=storage, runs=(1, 2))
    assert (found.a.name, found.b.name) == ("w@1", "w@2")


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("a@3", "b", "has no run 3"),
        ("@1", "b", "@1"),
        ("a", "nobody", "[id=nobody] was referenced but doesn't exist. `wfstore ls` lists those there are."),
    ],
)
def test_diff_of_what_is_not_there(
    compared: str, capsys: pytest.CaptureFixture[str], a: str, b: str, words: str
) -> None:
    assert run(["diff", a, b, "--storage", compared]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_regressions_for_people(slow: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["regressions", "--since", SINCE, "--baseline", "1h", "--storage", slow]) == 0
    _, row, counted = capsys.readouterr().out.splitlines()
    assert row.split()[:3] == ["flow", "shop.work", "duration_s"]
    assert "2.00x (2.00 to 2.00)" in row and "w20" in row
    assert counted == "1 task key compared"


def test_regressions_for_machines_are_those_of_python(slow: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["regressions", "--since", SINCE, "--baseline", "1h", "--json", "--storage", slow]) == 0
    said = json.loads(capsys.readouterr().out)
    found = wfstore.regressions(SINCE, "1h", storage=slow)
    assert (said["compared"], said["left_out"], len(said["worse"])) == (1, 0, 1)
    assert said["worse"][0]["first_workflow_id"] == found["first_workflow_id"][0] == "w20"
    assert found.equals(wfstore.open(slow).report("regressions", since=SINCE, baseline="1h"))


def test_nothing_to_compare(slow: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["regressions", "--storage", slow]) == 0
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith("nothing to compare: no workflow that was asked for was submitted in that time")
    assert run(["regressions", "--since", SINCE, "--baseline", "500s", "--storage", slow]) == 0
    assert "1 left out: fewer than 10 workflows on a side" in capsys.readouterr().out


def test_bad_input_is_one_line(slow: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["regressions", "--since", "yesterday", "--storage", slow]) == 1
    said = capsys.readouterr().err
    assert "neither ISO 8601" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        (("abcd1", "7d", None), "baseline has to be code too"),
        (("7d", "abcd1", None), "since has to be code too"),
        (("7d", "2999-01-01", None), "has to begin before since"),
        (("1d", None, "2d"), "is not after since"),
        (("7d", "soon", None), "neither ISO 8601"),
        (("2999-01-01", None, None), "since .* is in the future"),
    ],
)
def test_sides_that_cannot_be(sides: tuple[str, str | None, str | None], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        regressions.parameters(*sides)


def test_a_measure_there_is_not() -> None:
    with pytest.raises(ValueError, match="no measure is called 'speed'; there are: duration_s"):
        regressions.choice("speed", regressions.MEASURES, "measure")
