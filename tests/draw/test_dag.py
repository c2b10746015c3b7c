"""The drawing of a DAG: what holds of every one, what is said in it, and that nobody's names break it."""

from __future__ import annotations

import random
import time
from typing import Any
from urllib.parse import quote

import igraph
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.draw.graphs import HOSTILE, SVG, check, fan, parsed, row, with_class, workflows
from wfstore.draw import STYLE, dag, legend, node_id
from wfstore.draw._style import SHAPES


@settings(deadline=None, max_examples=60)
@given(workflows(), st.sampled_from([0, 5, 1000]), st.integers(0, 5), st.data())
def test_every_task_once_no_overlap_edges_downwards(
    rows: list[dict[str, Any]], most: int, opened_most: int, data: st.DataObject
) -> None:
    first = dag(rows, most=most)
    check(first, rows)
    assert dag(rows, most=most).svg == first.svg
    if first.groups:
        opened = data.draw(st.sets(st.sampled_from(sorted(first.groups))))
        check(dag(rows, most=most, opened=opened, opened_most=opened_most), rows)


def test_igraph_is_given_one_connected_part_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = igraph.Graph.layout_sugiyama
    asked: list[int] = []

    def checked(graph: igraph.Graph, *, layers: list[int], **options: Any) -> Any:
        assert graph.is_connected(mode="weak"), "igraph 1.0 would read past its memory"
        assert min(layers) == 0
        asked.append(graph.vcount())
        return layout(graph, layers=layers, **options)

    monkeypatch.setattr(igraph.Graph, "layout_sugiyama", checked)
    rows = [row("a"), row("b", "a"), row("alone"), row("c"), row("d", "c"), row("e", "d"), row("f", "a", "b")]
    check(dag(rows), rows)
    assert asked == [3, 3]


@settings(deadline=None, max_examples=60)
@given(workflows(), st.sampled_from([0, 1000]), st.data())
def test_what_was_drawn_stays_where_it_was(rows: list[dict[str, Any]], most: int, data: st.DataObject) -> None:
    placed: dict[str, tuple[float, float]] = {}
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    for cut in [*cuts, len(rows)]:
        drawn = dag(rows[:cut], most=most, placed=placed)
        check(drawn, rows[:cut])
        if most:
            assert {key: drawn.nodes[key][:2] for key in placed} == placed
        placed = {key: box[:2] for key, box in drawn.nodes.items()}


@settings(deadline=None, max_examples=40)
@given(workflows(12), st.dictionaries(st.integers(0, 12), st.tuples(st.floats(width=32), st.floats(width=32))))
def test_senseless_positions_are_no_harm(rows: list[dict[str, Any]], spots: dict[int, tuple[float, float]]) -> None:
    near = {f"t{number}": (x % 1e6, y % 1e6) for number, (x, y) in spots.items()}
    check(dag(rows, placed=near), rows)
    parsed(dag(rows, placed={f"t{number}": spot for number, spot in spots.items()}).svg)


def test_a_task_says_what_is_known_of_it() -> None:
    rows = [
        row("load", status="FAILED", error_type="ValueError", attempts=3),
        row("train", "load", status="RUNNING", elapsed_s=75.0, duration_s=None, progress=0.42, type="actor"),
    ]
    root = check(dag(rows, critical=["load"]), rows)
    load, train = with_class(root, "node")
    assert (load.get("id"), load.get("data-task"), load.get("data-status")) == ("node-load", "load", "FAILED")
    assert {"st-FAILED", "critical"} <= set(load.get("class", "").split())
    assert [text.text for text in load.iter(f"{SVG}text")] == ["load", "FAILED 1.50 s", "3 attempts, ValueError"]
    title = load.findtext(f"{SVG}title") or ""
    assert "FAILED, ValueError" in title and "took 1.50 s" in title and "on the critical path" in title
    (shape,) = with_class(load, "icon")
    assert shape.get("d") == SHAPES["FAILED"]
    assert [text.text for text in train.iter(f"{SVG}text")] == ["train", "RUNNING 42% 1 min 15 s", "actor"]
    (track,), (bar,) = with_class(train, "track"), with_class(train, "progress")
    assert float(bar.get("width", 0)) == pytest.approx(0.42 * float(track.get("width", 0)))


def test_a_continuation_hangs_on_its_creator_by_a_dashed_edge() -> None:
    rows = [row("a"), row("b", "a"), row("x", creator="a"), row("y", "x", creator="a")]
    edges = with_class(check(dag(rows), rows), "edge")
    created = [(edge.get("data-from"), edge.get("data-to")) for edge in edges if "created" in edge.get("class", "")]
    assert created == [("node-a", "node-x")]
    assert len(edges) == 3


def test_the_critical_path_is_one_line() -> None:
    rows = [row("a"), row("b", "a"), row("c", "a", "b"), row("d", "a")]
    edges = with_class(check(dag(rows, critical=["a", "b", "c"]), rows), "critical")
    ends = {(edge.get("data-from"), edge.get("data-to")) for edge in edges if edge.tag == f"{SVG}path"}
    assert ends == {("node-a", "node-b"), ("node-b", "node-c")}


def test_many_tasks_are_groups_with_counts() -> None:
    rows = fan(4000)
    drawn = dag(rows, group_link=lambda key: f"?open={quote(key)}")
    root = check(drawn, rows)
    (key,) = drawn.groups
    group = drawn.groups[key]
    assert (group.label, group.count, group.statuses) == ("map x4,000", 4000, {"SUCCESSFUL": 3998, "FAILED": 2})
    assert drawn.where["map_17"] == key and drawn.where["sum"] == "sum"
    (node,) = with_class(root, "group")
    assert (node.get("data-group"), node.get("data-count"), node.get("data-status")) == (key, "4000", "FAILED")
    assert "2 FAILED" in (node.findtext(f"{SVG}title") or "")
    assert [text.text for text in with_class(root, "count")] == ["4,000", "4,000"]
    assert [link.get("href") for link in root.iter(f"{SVG}a")] == [f"?open={quote(key)}"]


def test_an_opened_group_shows_its_first_tasks_and_how_many_more() -> None:
    rows = fan(4000)
    (key,) = dag(rows).groups
    drawn = dag(rows, opened=[key], link=lambda task_id: f"/t/{task_id}", group_link=lambda key: "/more")
    root = check(drawn, rows)
    assert drawn.opened == (key,)
    assert len(drawn.nodes) == 3 + 200 + 1
    assert drawn.groups[key].opened and drawn.groups[key].label == "and 3,800 more map"
    links = [link.get("href") for link in root.iter(f"{SVG}a")]
    assert links.count("/more") == 1 and "/t/map_0" in links
    assert dag(rows, opened=["no such group"]).opened == ()


def test_a_group_that_opens_leaves_what_is_above_it_alone() -> None:
    rows = fan(40)
    closed = dag(rows, most=10)
    (key,) = closed.groups
    drawn = dag(rows, most=10, opened=[key], placed={key: box[:2] for key, box in closed.nodes.items()})
    check(drawn, rows)
    assert drawn.nodes["list"] == closed.nodes["list"]


def test_a_wide_row_is_folded() -> None:
    drawn = dag(fan(600))
    assert 0.5 < drawn.width / drawn.height < 3
    check(drawn, fan(600))


@pytest.mark.parametrize("bad", HOSTILE)
def test_hostile_ids_are_text(bad: str) -> None:
    rows = [row("a"), row(bad, "a", name=bad, status=bad, type=bad, error_type=bad), row(bad + "2", bad, creator=bad)]
    for most in (0, 1000):
        drawn = dag(rows, most=most, critical=[bad], link=lambda task_id: task_id, group_link=lambda key: key)
        root = check(drawn, rows)
        assert "<script" not in drawn.svg
        assert node_id(bad) in {node.get("id") for node in with_class(root, "node")}
    many = [row(f"{number}", name=bad, status=bad) for number in range(60)]
    check(dag(many, most=0, standalone=True), many)
    parsed(legend({bad: 3}, critical=True, created=True))


def test_ids_are_those_that_a_page_can_make() -> None:
    assert node_id("map 1/é'(x)") == "node-map%201%2F%C3%A9'(x)"
    assert node_id("a", "w-") == "w-node-a"
    assert len({node_id(bad) for bad in HOSTILE}) == len(HOSTILE)


def test_odd_rows_are_drawn_as_far_as_they_go() -> None:
    rows: list[dict[str, Any]] = [
        {"task_id": "a"},
        {"task_id": "a", "name": "again"},
        {"task_id": None},
        {"task_id": "b", "upstream": None, "status": None, "duration_s": float("nan"), "attempts": None, "progress": 7},
        {"task_id": "c", "upstream": ["gone", "c", "d"]},
        {"task_id": "d", "upstream": ["c"], "creator": "gone"},
        {"task_id": 7, "upstream": ["d"], "duration_s": -1.5},
    ]
    drawn = dag(rows)
    parsed(drawn.svg)
    assert set(drawn.nodes) == {"a", "b", "c", "d", "7"}
    assert "No tasks yet." in dag([]).svg
    parsed(dag([], standalone=True).svg)


def test_style_is_inside_only_where_asked_for() -> None:
    assert "<style" not in dag(fan(2)).svg
    assert STYLE in dag(fan(2), standalone=True).svg
    assert "&" not in STYLE and "<" not in STYLE


def test_a_long_chain_takes_no_recursion_and_no_forest_of_groups() -> None:
    chain = [row("s0", name="s"), *(row(f"s{i}", f"s{i - 1}", name="s") for i in range(1, 3000))]
    assert [group.label for group in dag(chain).groups.values()] == ["s x3,000"]
    turns = [row("s0", name="a"), *(row(f"s{i}", f"s{i - 1}", name="ab"[i % 2]) for i in range(1, 3000))]
    assert [group.label for group in dag(turns).groups.values()] == ["a, b x3,000"]
    numbered = [row("s0"), *(row(f"s{i}", f"s{i - 1}", name=f"part-{i}") for i in range(1, 3000))]
    assert "part-# x2,999" in [group.label for group in dag(numbered).groups.values()]
    letters = random.Random(1)
    named = ["".join(letters.choices("abcdefgh", k=12)) for _ in range(3000)]
    unlike = [row(f"s{i}", *([f"s{i - 1}"] if i else []), name=named[i]) for i in range(3000)]
    assert len(dag(unlike, most=100).nodes) <= 100
    wide = [row(f"s{i}", name=named[i]) for i in range(3000)]
    assert [group.label for group in dag(wide, most=100).groups.values()] == ["tasks x3,000"]


def test_time_grows_with_the_number_of_tasks() -> None:
    def rows(count: int) -> list[dict[str, Any]]:
        chance = random.Random(count)
        names = [f"t{i}" for i in range(count)]
        return [
            row(names[i], *(names[chance.randrange(max(0, i - 80), i)] for _ in range(2) if i)) for i in range(count)
        ]

    def seconds(count: int) -> float:
        found = rows(count)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            dag(found, most=count)
            times.append(time.perf_counter() - began)
        return min(times)

    small, large = seconds(1000), seconds(5000)
    assert large < 20 * small + 0.2
