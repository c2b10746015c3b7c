"""Stuck and unusual: what was planted in small histories is found, and nothing else is."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tests.index.worlds import spec
from tests.model.histories import ref
from tests.reports.stories import Story, at, store_of
from wfstore.index import database
from wfstore.model.dag import DagSpec

#: Past and present of these stories meet here.
T = 10_000


class Batch(Story):
    """Writes once before it is asked, and not with every command."""

    def do(self, command: Any) -> None:
        self.simulation.do(command)

    def report(self, name: str, **params: Any) -> pl.DataFrame:
        self.write()
        return super().report(name, **params)


def one(function: str = "shop.a") -> DagSpec:
    """A DAG of one task `a`, which is that function."""
    return DagSpec((spec("a", max_retries=0)._replace(function=function),), 0)


# -- outputs ----------------------------------------------------------------------------------------------------------


def made(sizes: list[int], *, function: str = "shop.a", begin: float = 0, flow: str = "w") -> Story:
    story = Batch()
    more(story, sizes, function=function, begin=begin, flow=flow)
    return story


def more(story: Story, sizes: list[int], *, function: str = "shop.a", begin: float = 0, flow: str = "w") -> None:
    """One workflow for each size of output, a second apart."""
    for number, size in enumerate(sizes):
        story.now(begin + number)
        workflow_id = f"{flow}-{begin:.0f}-{number:04d}"
        story.submit(workflow_id, one(function), {"name": flow})
        story.ok(workflow_id, "a", begin + number, begin + number + 0.5, output=ref("x" * size))


def unusual(story: Story, **params: Any) -> list[tuple[str, str, float]]:
    found = story.report("unusual_outputs", since=at(T), **params)
    return list(found.select("workflow_id", "how", "times").iter_rows())


def test_sizes_that_were_never_seen_before() -> None:
    story = made([100 + n for n in range(50)])  # 100 to 149 bytes
    more(story, [298, 299, 149, 100, 50, 49, 600, 10], begin=T)
    assert unusual(story) == [
        ("w-10000-0007", "below min", 0.1),
        ("w-10000-0006", "above max", pytest.approx(600 / 149)),
        ("w-10000-0005", "below min", 0.49),
        ("w-10000-0001", "above max", pytest.approx(299 / 149)),
    ]
    assert {found[0] for found in unusual(story, factor=5)} == {"w-10000-0007"}
    assert unusual(story, limit=1) == unusual(story)[:1]
    assert unusual(story, until=at(T)) == unusual(story, workflow="nobody") == unusual(story, task="b") == []


def test_it_says_what_it_was_compared_with() -> None:
    story = made([100 + n for n in range(50)])
    more(story, [600], begin=T)
    (row,) = story.report("unusual_outputs", since=at(T)).to_dicts()
    assert (row["n"], row["min_bytes"], row["p50_bytes"], row["max_bytes"]) == (50, 100, 124, 149)
    assert (row["compared_from"], row["compared_until"]) == (at(0), at(49))
    assert (row["task_key"], row["output_bytes"], row["ended_at"]) == ("shop.a", 600, at(T + 0.5))


def test_beyond_what_all_but_one_of_a_thousand_had() -> None:
    story = made([10] * 1001 + [1000])
    more(story, [10, 19, 21, 900], begin=T)
    assert unusual(story) == [
        ("w-10000-0003", "beyond p99.9", 90.0),
        ("w-10000-0002", "beyond p99.9", 2.1),
    ]


def test_too_few_outputs_say_nothing() -> None:
    story = made([10] * 19)
    more(story, [1000], begin=T)
    assert unusual(story) == []
    assert len(unusual(story, min_runs=19)) == 1
    assert unusual(made([1000], begin=T)) == []


def test_functions_and_workflows_are_compared_with_themselves() -> None:
    """Two tasks of one name, in workflows of one name, are told apart by their functions."""
    story = made([10] * 30)
    more(story, [5000] * 30, function="shop.b", begin=100)
    more(story, [5000] * 30, begin=200, flow="other")
    more(story, [5000], function="shop.b", begin=T)
    more(story, [5000], begin=T + 10, flow="other")
    assert unusual(story) == []
    more(story, [5000], begin=T + 20)
    assert [found[0] for found in unusual(story)] == ["w-10020-0000"]


# -- stuck ------------------------------------------------------------------------------------------------------------


def test_stuck_goes_by_function_and_not_by_name() -> None:
    """`a` of shop.slow takes 100 s always; one of shop.fast that takes 20 s is stuck."""
    story = Batch()
    story.now(0)
    for number in range(5):
        for function, took in (("shop.slow", 100), ("shop.fast", 1)):
            workflow_id = f"{function}{number}"
            story.now(200 * number)
            story.submit(workflow_id, one(function), {"name": "w"})
            story.ok(workflow_id, "a", 200 * number, 200 * number + took)
    for function in ("shop.slow", "shop.fast"):
        story.now(T)
        story.submit(function, one(function), {"name": "w"})
        story.begins(function, "a", T)
    (row,) = story.report("stuck", at=at(T + 20)).to_dicts()
    assert (row["workflow_id"], row["task_key"], row["n"], row["p99_s"]) == ("shop.fast", "shop.fast", 5, 1.0)
    assert (row["compared_from"], row["compared_until"]) == (at(0), at(800))
    assert story.report("stuck", at=at(T + 101)).height == 2


# -- errors -----------------------------------------------------------------------------------------------------------


def failing(*messages: str, begin: float, story: Story | None = None, kind: str = "ValueError") -> Story:
    story = story or Batch()
    for number, message in enumerate(messages):
        story.now(begin + number)
        workflow_id = f"f-{begin:.0f}-{number}"
        story.submit(workflow_id, one())
        story.bad(workflow_id, "a", begin + number, begin + number + 0.5, message, error_type=kind)
    return story


def test_errors_that_nobody_had_before() -> None:
    story = made([10] * 30)
    failing("row 1 of 'a'", "disk /x/1 is full", begin=100, story=story)
    failing("row 77 of 'b'", "no host 10.0.0.1", "no host 10.0.0.2", "no host 10.0.0.9", begin=T, story=story)
    failing("row 5 of 'c'", begin=T + 50, story=story, kind="KeyError")  # an old message, but not of this type
    found = story.report("new_errors", since=at(T))
    assert found.select("error_type", "fingerprint", "n", "workflows").rows() == [
        ("ValueError", "no host <n>", 3, 3),
        ("KeyError", "row <n> of <text>", 1, 1),
    ]
    row = found.row(0, named=True)
    assert (row["first_at"], row["last_at"]) == (at(T + 1.5), at(T + 3.5))
    assert (row["first_workflow_id"], row["last_workflow_id"]) == ("f-10000-1", "f-10000-3")
    assert (row["first_task_id"], row["last_message"]) == ("a", "no host 10.0.0.9")
    assert (row["compared_attempts"], row["compared_failures"], row["compared_from"]) == (32, 2, at(0.5))
    assert story.report("new_errors", since=at(T + 2)).select("n").rows() == [(1,)]  # that of KeyError
    assert story.report("new_errors", since=at(T), until=at(T + 3)).select("fingerprint", "n").rows() == [
        ("no host <n>", 2)
    ]
    assert story.report("new_errors", since=at(T), workflow="nobody").is_empty()
    assert story.report("new_errors", since=at(T), limit=1).height == 1


def test_in_a_new_store_nothing_is_new() -> None:
    story = failing("a", "b", begin=T)
    assert story.report("new_errors", since=at(T)).is_empty()
    assert story.report("new_errors", since=at(T), min_runs=0).height == 2


def test_one_fingerprint_and_near_ones() -> None:
    story = failing("no route to host 10.0.0.1", "no route to host 10.0.0.2", begin=0)
    failing("no route to hosts 10.0.0.1", "division by zero", begin=100, story=story)
    failing("no route to hosts 10.0.0.1", begin=200, story=story, kind="OSError")
    found = story.report("similar_errors", fingerprint="no route to host <n>")
    assert found.select("workflow_id", "similarity").rows() == [
        ("f-0-1", 1.0), ("f-0-0", 1.0), ("f-100-0", pytest.approx(0.99, abs=0.02)),
    ]  # fmt: skip
    assert set(found["compared"]) == {5}
    assert found["n"].to_list() == [2, 2, 1]
    assert found["first_at"].to_list() == [at(0.5), at(0.5), at(100.5)]
    assert story.report("similar_errors", fingerprint="no route to host 1.2.3.4").equals(found)  # a message will do
    assert story.report("similar_errors", fingerprint="no route to host <n>", each=1).height == 2
    assert story.report("similar_errors", fingerprint="no route to host <n>", min_similarity=1).height == 2
    assert story.report("similar_errors", fingerprint="no route to host <n>", min_similarity=0).height == 4
    both = story.report("similar_errors", fingerprint="no route to host <n>", error_type="OSError")
    assert both["error_type"].to_list() == ["ValueError", "ValueError", "OSError"]


def test_without_a_fingerprint_it_is_the_last_failure() -> None:
    story = failing("disk 1 is full", "disk 2 is full", "row 1", begin=0)
    assert story.report("similar_errors", until=at(2))["fingerprint"].to_list() == ["disk <n> is full"] * 2
    assert story.report("similar_errors")["fingerprint"].to_list() == ["row <n>"]


def test_an_unknown_fingerprint_finds_near_ones_of_any_type() -> None:
    story = failing("disk 1 is full", begin=0)
    assert story.report("similar_errors", fingerprint="disk sda1 is full")["fingerprint"].to_list() == [
        "disk <n> is full"
    ]
    assert story.report("similar_errors", fingerprint="something else").is_empty()


def test_python_asks_the_same(tmp_path: Any) -> None:
    story = failing("disk 1 is full", "disk 2 is full", begin=0)
    found = store_of(story, tmp_path / "store").similar_errors("disk 7 is full", each=1)
    assert found.equals(story.report("similar_errors", fingerprint="disk 7 is full", each=1))
    assert found["workflow_id"].to_list() == ["f-0-1"]


@pytest.mark.parametrize(
    "message",
    ["row 1 of 'a b'", "GET http://h/p?q=1 failed: 503", "object at 0x7f3a2b of deadbeef01 in /tmp/x", "it's -5 1e-9"],
)
def test_a_fingerprint_is_its_own_fingerprint(message: str) -> None:
    connection = database.connect(replacements=False)
    (found,) = connection.execute(
        "SELECT wfstore.fingerprint($m) = wfstore.fingerprint(wfstore.fingerprint($m))", {"m": message}
    ).fetchone() or (None,)
    assert found is True
