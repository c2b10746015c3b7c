"""The drawing of a DAG: every task once, joins beside their branches, large DAGs by name, no recursion."""

from __future__ import annotations

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from wfstore.cli.dagtree import Line, Node, draw


def node(task_id: str, *upstream: str, name: str | None = None, status: str = "SUCCESSFUL", **facts: object) -> Node:
    return Node(task_id, name or task_id.rsplit("_", 1)[0], status, upstream, **facts)  # type: ignore[arg-type]


def trees(lines: list[Line]) -> list[str]:
    return [line.tree for line in lines]


def test_a_join_stands_beside_the_branches_it_joins() -> None:
    lines = draw([node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"), node("e", "d"), node("f", "b")])

    assert trees(lines) == ["a", "├─ b", "│  ↓ f", "├─ c", "└─ d", "   ↓ e"]
    assert [line.note for line in lines] == ["", "", "", "", "after b, c", ""]


def test_statuses_durations_and_attempts_are_shown() -> None:
    lines = draw([node("a", status="FAILED", duration_s=1.5, attempts=3)])
    assert lines == [Line("a", "FAILED", "1.50 s", "3 attempts")]


def test_a_continuation_hangs_below_the_task_that_made_it() -> None:
    lines = draw([node("a"), node("b", "a"), node("part", creator="a")])
    assert trees(lines) == ["a", "├─ b", "└─ part"]
    assert lines[2].note == "continuation"


def test_a_large_dag_is_grouped_by_name() -> None:
    maps = [node(f"map_{i}", "list", status="FAILED" if i < 2 else "SUCCESSFUL", duration_s=i) for i in range(4000)]
    lines = draw([node("list"), *maps, node("sum", *(one.id for one in maps))])

    assert trees(lines) == ["list", "├─ map x4,000", "└─ sum"]
    assert lines[1].status == "3,998 SUCCESSFUL, 2 FAILED"
    assert lines[1].duration == "median 33 min 20 s, max 1 h 06 min"
    assert lines[2].note == "after map x4,000"


def test_a_long_chain_is_one_line_and_takes_no_recursion() -> None:
    chain = [node("step_0")] + [node(f"step_{i}", f"step_{i - 1}") for i in range(1, 10_000)]
    began = time.monotonic()
    assert trees(draw(chain)) == ["step x10,000"]
    assert len(draw(chain, single_limit=10**6, line_limit=10**6)) == 10_000
    assert time.monotonic() - began < 5


def test_parallel_chains_of_one_name_are_one_line() -> None:
    chains = [
        node(f"s_{lane}_{i}", *([f"s_{lane}_{i - 1}"] if i else []), name="s") for lane in range(10) for i in range(10)
    ]
    assert trees(draw(chains)) == ["s x100"]


def test_what_is_not_drawn_is_counted() -> None:
    lines = draw([Node(f"t{i}", f"t{i}", "PENDING") for i in range(300)], line_limit=50)
    assert len(lines) == 51
    assert lines[-1].tree == "... and 250 more tasks"


def test_unknown_upstream_and_nothing_at_all() -> None:
    assert trees(draw([node("a", "gone")])) == ["a"]
    assert draw([]) == []


def test_names_cannot_drive_the_terminal() -> None:
    assert draw([node("a\x1b[2J")])[0].tree == "a\\x1b[2J"


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_every_task_is_counted_exactly_once(count: int, data: st.DataObject) -> None:
    nodes: list[Node] = []
    for position in range(count):
        upstream = data.draw(st.lists(st.integers(0, position - 1), max_size=3)) if position else []
        name = data.draw(st.sampled_from("abc"))
        nodes.append(Node(f"{name}-{position}", name, "PENDING", [nodes[other].id for other in upstream]))

    single = draw(nodes, single_limit=100)
    assert sorted(line.tree.lstrip("├└│─↓ ") for line in single) == sorted(one.id for one in nodes)
    grouped = [re.search(r" x([\d,]+)$", line.tree) for line in draw(nodes, single_limit=0)]
    assert sum(int(found.group(1)) if found else 1 for found in grouped) == count
