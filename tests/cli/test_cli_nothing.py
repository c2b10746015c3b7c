"""What is asked of an id, a report or a value that there is not, and of a store with next to nothing in it."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command
from tests.index.worlds import World, dag, spec
from wfstore.log import open_writer

#: Of the one workflow they tell something, or nothing.
TELLING, SILENT = ("critical_path", "overview"), ("cost", "failures", "regressions", "stuck")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    storage = tmp_path_factory.mktemp("nothing") / "store"
    open_writer(str(storage)).close()
    return str(storage)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One workflow, which has not come far."""
    storage = tmp_path_factory.mktemp("single") / "store"
    world = World()
    world.submit("one", dag(spec("a"), spec("b", 0)))
    writer = open_writer(str(storage))
    writer.append(world.simulation.log)
    writer.close()
    return str(storage)


@pytest.mark.parametrize(
    "words",
    [
        "show nobody",
        "history nobody",
        "path nobody",
        "path nobody --what-if a=2",
        "eta nobody",
        "diff one nobody",
        "diff nobody one",
        "report critical_path --param id=nobody",
        "report workflow_timeline --param id=nobody",
        "report where_time_goes --param id=nobody",
    ],
)
def test_an_id_that_there_is_not(wfstore: Command, single: str, words: str) -> None:
    answer = wfstore(*words.split(), "--storage", single, "--json")
    said = "wfstore: Workflow[id=nobody] was referenced but doesn't exist. `wfstore ls` lists those there are.\n"
    assert (answer.code, answer.out, answer.err) == (1, "", said)


@pytest.mark.parametrize(
    ("report", "param", "said"),
    [
        ("where_time_goes", "by=foo", "by is one of task, workflow, not 'foo'"),
        ("critical_path", "scope=x", "scope is one of path, all, not 'x'"),
        ("cost", "by=metadata.", "by is one of name, workflow, task_key, user, metadata.KEY, not 'metadata.'"),
        ("cost", "prices=x", "prices takes JSON, not 'x': an object of numbers from 0 such as"),
        ("cost", 'prices={"cpu": "x"}', "an object of numbers from 0 such as"),
        ("cost", "prices=[1]", "an object of numbers from 0 such as"),
        ("regressions", "measure=x", "measure is one of duration_s, output_bytes, retries, queue_s, not 'x'"),
        ("regressions", "verdict=bad", "verdict is one of worse, no worse, too few, any, not 'bad'"),
        ("regressions", "min_ratio=inf", "min_ratio takes DOUBLE, not 'inf': a number from 0 is needed"),
        ("slowest_tasks", "limit=abc", "limit takes BIGINT, not 'abc': a whole number from 0 is needed"),
        ("slowest_tasks", "limit=9223372036854775808", "a whole number from 0 is needed"),
        ("slowest_tasks", "since=abc", "since takes TIMESTAMP, not 'abc': 'abc' is neither ISO 8601 nor a span of"),
        ("slowest_tasks", "foo=1", "does not take foo; it takes: limit, workflow, task, since, until"),
        ("growth", "bucket=0s", "it has to be longer than nothing"),
    ],
)
def test_a_value_that_a_report_does_not_take(wfstore: Command, single: str, report: str, param: str, said: str) -> None:
    answer = wfstore("report", report, "--param", param, "--storage", single, "--json")
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert answer.err.startswith(f"wfstore: report {report}")
    assert said in answer.err


@pytest.mark.parametrize("report", [*TELLING, *SILENT])
def test_a_report_without_rows_says_why(wfstore: Command, empty: str, single: str, report: str) -> None:
    answer = wfstore("report", report, "--storage", single, "--json")
    least = {"stuck": 5, "new_errors": 20, "unusual_outputs": 20}.get(report)
    past = f"; it is silent, too, where fewer than {least} came before to compare with (--param min_runs=N)"
    nothing = f"Nothing to show: so far there is nothing that this report is about{past if least else ''}.\n"
    why = nothing if report in SILENT else ""
    assert (answer.code, bool(json.loads(answer.out)), answer.err) == (0, report in TELLING, why)
    answer = wfstore("report", report, "--storage", empty, "--json")
    why = "" if json.loads(answer.out) else "Nothing to show: the store holds no workflow.\n"
    assert (answer.code, answer.err) == (0, why)


def test_what_a_report_without_rows_was_asked(wfstore: Command, single: str) -> None:
    def why(*params: str) -> str:
        given = [word for param in params for word in ("--param", param)]
        return wfstore("report", "failures", *given, "--storage", single).err

    assert why("workflow=nobody") == "Nothing to show: no workflow has the name 'nobody'.\n"
    assert why("task=a", "since=1h") == "Nothing to show: nothing fits task=a, since=1h.\n"


def test_commands_on_a_store_without_anything(wfstore: Command, empty: str) -> None:
    for words in ("ls", "cost", "regressions", "stats"):
        answer = wfstore(words, "--storage", empty, "--json")
        assert (answer.code, answer.err) == (0, ""), words
        json.loads(answer.out)
