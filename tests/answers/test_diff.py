"""`Store.diff`: against comparisons worked out by hand, then by laws over random histories."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wfstore
from tests.answers.stories import resumed, two
from tests.index.worlds import dag, spec
from tests.model.dags import random_dag
from tests.reports.stories import Story
from wfstore._history import History
from wfstore.answers.diff import COLUMNS, Diff, diff, side
from wfstore.answers.diff_sides import Side
from wfstore.errors import WorkflowNotFoundError
from wfstore.imports import import_wfformat

INSTANCES = Path("/work/shared/data/wfinstances")


def of(story: Story, workflow_id: str, run: int | None = None) -> Side:
    found = History(workflow_id, story.index.scan(workflow_id))
    return side(found.workflow, found.runs, found.tasks, found.attempts, found.edges, run)


def compared(story: Story, a: str, b: str) -> Diff:
    return diff(of(story, a), of(story, b))


def row(found: pl.DataFrame, key: str, position: int = 1) -> dict[str, Any]:
    wanted = (pl.col("task_key") == f"shop.{key}") & (pl.col("position") == position)
    return found.row(by_predicate=wanted, named=True)


# -- worked out by hand -----------------------------------------------------------------------------------------------


def test_what_was_added_gone_and_changed() -> None:
    found = compared(two(), "a", "b")
    assert sorted(found.added["task_id_b"]) == ["map_2", "save"]
    assert found.gone.is_empty()
    changes = {one["task_id_a"]: one["changes"] for one in found.changed.iter_rows(named=True)}
    assert changes == {"map": ["time"], "map_1": ["time"], "total": ["options", "time"]}
    assert row(found.tasks, "list")["changes"] == []
    back = compared(two(), "b", "a")
    assert sorted(back.gone["task_id_a"]) == ["map_2", "save"]
    assert back.added.is_empty()


def test_times_and_what_they_add_to_the_longest_path() -> None:
    found = compared(two(), "a", "b").tasks
    # ready when the last one before it ended: map 3-8 and 3-9; the path is list 3 s, map 5 s, total 2 s
    longer = row(found, "map")
    assert (longer["span_s_a"], longer["span_s_b"], longer["slack_s_a"], longer["adds_s"]) == (5.0, 6.0, 0.0, 1.0)
    assert (longer["duration_s_a"], longer["duration_s_b"], longer["duration_ratio"]) == (4.0, 5.0, 1.25)
    # 2 s longer, of 3 s that it could have taken longer
    beside = row(found, "map", 2)
    assert (beside["slack_s_a"], beside["change_s"], beside["adds_s"]) == (3.0, 2.0, 0.0)
    # total: ready at 8 and ended at 10; at 9 and 12
    assert (row(found, "total")["change_s"], row(found, "total")["adds_s"]) == (1.0, 1.0)
    # save: all of the 2 s from the end of total to its own, at the end of the path; map_2 is beside it
    assert (row(found, "save")["adds_s"], row(found, "map", 3)["adds_s"]) == (2.0, 0.0)
    assert found["task_id_b"].to_list() == ["save", "map", "total", "map_1", "map_2", "list"], "worst first"


def test_what_has_not_ended_is_not_said_to_save_time() -> None:
    story = two()
    story.now(172_800)
    story.submit("c", dag(spec("list"), spec("map", 0), spec("map", 0), spec("total", 1, 2)))
    story.ok("c", "list", 172_801, 172_805)
    story.begins("c", "map", 172_806)
    found = compared(story, "a", "c").tasks
    assert (row(found, "list")["change_s"], row(found, "list")["adds_s"]) == (2.0, 2.0)
    for key, position in (("map", 1), ("map", 2), ("total", 1)):
        assert (row(found, key, position)["change_s"], row(found, key, position)["adds_s"]) == (None, None)
    assert found["task_id_b"][0] == "list"
    back = compared(story, "c", "a").tasks
    assert (row(back, "map")["adds_s"], row(back, "list")["adds_s"]) == (None, -2.0)


def test_the_summary_and_its_line() -> None:
    found = compared(two(), "a", "b")
    rows = {one["what"]: one for one in found.summary.iter_rows(named=True)}
    assert (rows["elapsed_s"]["a"], rows["elapsed_s"]["b"], rows["elapsed_s"]["ratio"]) == ("10.0", "14.0", 1.4)
    assert (rows["tasks"]["a"], rows["tasks"]["b"], rows["tasks"]["same"]) == ("4", "6", False)
    assert (rows["status"]["same"], rows["dag_hash"]["same"]) == (True, False)
    assert (rows["metadata.day"]["a"], rows["metadata.day"]["b"]) == ("1", "2")
    assert "metadata.name" not in rows
    # outputs have as many bytes as their ids: list, map, map_1, total; and map_2 and save
    assert (rows["total_output_bytes"]["a"], rows["total_output_bytes"]["b"]) == ("17", "26")
    assert found.headline == (
        "SUCCESSFUL; time 10.0 s -> 14.0 s (1.40x); tasks 4 -> 6 (2 added, 0 gone, 3 changed); outputs 17 B -> 26 B; "
        "metadata.day 1 -> 2"
    )


def test_two_runs_of_one_workflow() -> None:
    story = resumed()
    found = diff(of(story, "w", 1), of(story, "w", 2))
    assert (found.a.name, found.b.name, found.a.status, found.b.status) == ("w@1", "w@2", "FAILED", "SUCCESSFUL")
    assert (found.a.elapsed_s, found.b.elapsed_s) == (5.0, 6.0)
    assert found.added["task_id_b"].to_list() == ["save"]
    assert found.gone.is_empty()
    work = row(found.changed, "work")
    assert work["changes"] == ["status", "error", "time"]
    assert (work["status_a"], work["status_b"], work["attempts_a"], work["attempts_b"]) == (
        "FAILED",
        "SUCCESSFUL",
        1,
        1,
    )
    assert (work["error_message_a"], work["error_message_b"]) == ("no space left", None)
    # its output was taken over: nothing was tried, and nothing changed
    reused = row(found.tasks, "load")
    assert (reused["changes"], reused["attempts_b"], reused["duration_s_b"]) == ([], 0, None)


def test_a_run_there_was_not() -> None:
    with pytest.raises(ValueError, match="'w' has no run 3; it has runs 1, 2"):
        of(resumed(), "w", 3)


# -- faces ------------------------------------------------------------------------------------------------------------


def test_as_text_and_as_html() -> None:
    found = compared(two(), "a", "b")
    lines = str(found).splitlines()
    assert lines[0] == "a -> b"
    assert lines[1].startswith("SUCCESSFUL; time 10.0 s -> 14.0 s")
    assert [line.split()[0] for line in lines if line.startswith(("save", "map", "total"))] == [
        "save",
        "map",
        "total",
        "map_1",
        "map_2",
    ]
    assert repr(found) == "<Diff of 'a' and 'b': 2 added, 0 gone, 3 changed>"
    assert found._repr_html_().count("<tr>") == 6


def test_a_notebook_shows_both_dags_beside_each_other() -> None:
    html = compared(two(), "a", "b")._repr_html_()
    first, second = (ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    nodes = [[one for one in dag.iter() if one.get("data-task")] for dag in (first, second)]
    assert [len(one) for one in nodes] == [4, 6]
    heavy = [{one.get("data-task") for one in side if "critical" in one.get("class", "")} for side in nodes]
    assert heavy == [{"map", "map_1", "total"}, {"map", "map_1", "map_2", "total", "save"}], "list is alike"
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids)), "each drawing has ids of its own"
    assert "<a " not in html and "<script" not in html


def test_text_of_users_is_escaped() -> None:
    story = Story()
    story.submit("<b>one</b>", dag(spec("<i>load</i>")), {"name": "\x1b[2J"})
    story.submit("two", dag(spec("load")), {"name": "<u>two</u>"})
    found = compared(story, "<b>one</b>", "two")
    html = found._repr_html_()
    assert not any(tag in html for tag in ("<b>", "<i>", "<u>"))
    assert "&lt;b&gt;one" in html and "&lt;i&gt;load" in html
    assert "\x1b" not in html + str(found)


# -- laws -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_story() -> Story:
    """Workflows of random DAGs that share names, each driven some way; some are gone again."""
    story = Story()
    chance = story.simulation.rng
    chance.seed(5)
    for number in range(12):
        story.submit(f"w{number}", random_dag(chance))
    for _ in range(300):
        story.simulation.step()
    story.write()
    return story


@pytest.fixture(scope="module")
def sides(random_story: Story) -> list[Side]:
    ids = random_story.index.sql("SELECT workflow_id FROM workflows ORDER BY submitted_seq LIMIT 8").fetchall()
    assert len(ids) == 8
    return [of(random_story, workflow_id) for (workflow_id,) in ids]


@pytest.mark.parametrize("number", range(8))
def test_of_a_workflow_with_itself_nothing_differs(sides: list[Side], number: int) -> None:
    found = diff(sides[number], sides[number])
    assert found.differing.is_empty()
    assert found.summary["same"].all()
    assert found.tasks["adds_s"].abs().sum() == 0
    assert found.tasks.height == found.a.tasks.height


@pytest.mark.parametrize(("a", "b"), [(a, (a + 3) % 8) for a in range(5)])
def test_the_other_way_round_is_the_mirror(sides: list[Side], a: int, b: int) -> None:
    there, back = diff(sides[a], sides[b]), diff(sides[b], sides[a])
    swapped = {f"{name}_{x}": f"{name}_{y}" for name in COLUMNS for x, y in (("a", "b"), ("b", "a"))}
    ratios = [name for name in back.tasks.columns if name.endswith("_ratio")]
    mirrored = (
        back.tasks.rename(swapped)
        .with_columns(
            -pl.col("adds_s", "change_s"),
            *((1 / pl.col(name)).alias(name) for name in ratios),
            pl.col("changes").list.eval(pl.element().replace({"added": "gone", "gone": "added"})),
        )
        .select(there.tasks.columns)
    )
    keys = ["task_key", "position"]
    assert_frame_equal(there.tasks.sort(keys), mirrored.sort(keys))
    assert there.added.height == back.gone.height


def test_every_task_is_in_it_once(sides: list[Side]) -> None:
    found = diff(sides[0], sides[1])
    for which, one in (("a", found.a), ("b", found.b)):
        named = found.tasks[f"task_id_{which}"].drop_nulls().to_list()
        assert sorted(named) == sorted(one.tasks["task_id"])
    assert found.added.height + found.gone.height + found.changed.height == found.differing.height


def test_who_is_not_there() -> None:
    with pytest.raises(WorkflowNotFoundError):
        of(resumed(), "nobody")


@pytest.mark.parametrize("name", ["1000genome-chameleon-2ch-100k-001", "blast-chameleon-small-001"])
def test_a_recorded_workflow_is_like_itself(tmp_path: Path, name: str) -> None:
    path = INSTANCES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine: the recorded DAGs of wfcommons.org are not shipped")
    import_wfformat([path], tmp_path / "store")
    found = wfstore.diff(name, name, storage=tmp_path / "store")
    assert found.differing.is_empty() and found.summary["same"].all()
    # as many positions of a key as it has tasks, each once
    last = found.tasks.group_by("task_key").agg(pl.len(), pl.col("position").max())
    assert (last["len"] == last["position"]).all() and last["len"].max() > 1
