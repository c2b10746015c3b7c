"""Recorded workflows of a thousand tasks, and workflows that grew: drawn singly, in groups, and opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.draw.graphs import check, row
from wfstore.draw import dag
from wfstore.traces import read

FOLDER = Path("/work/shared/data/wfinstances")
needs_instances = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the recorded workflows are not on this machine: {FOLDER}"
)


def rows_of(name: str) -> list[dict[str, Any]]:
    return [
        row(task.id, *task.parents, name=task.category, duration_s=task.runtime_s)
        for task in read(FOLDER / f"{name}.json").tasks
    ]


@needs_instances
def test_a_fan_of_a_thousand() -> None:
    rows = rows_of("bwa-chameleon-large-001")
    assert len(rows) == 1004
    drawn = dag(rows)
    check(drawn, rows)
    assert [group.label for group in drawn.groups.values()] == ["bwa x1,000"]
    assert len(drawn.nodes) == 5
    opened = dag(rows, opened=list(drawn.groups))
    check(opened, rows)
    assert [group.label for group in opened.groups.values()] == ["and 800 more bwa"]
    single = dag(rows, most=2000)
    check(single, rows)
    assert not single.groups and single.width / single.height < 3


@needs_instances
@pytest.mark.parametrize("name", ["1000genome-chameleon-22ch-250k-001", "mag-dirt02-001", "rnaseq-dirt02-001"])
def test_others(name: str) -> None:
    rows = rows_of(name)
    for most in (50, 1000):
        drawn = dag(rows, most=most)
        check(drawn, rows)
        assert (len(drawn.nodes) <= most) and bool(drawn.groups) == (most == 50)


def test_a_continuation_of_hundreds_finds_room_below() -> None:
    rows = [row("list"), *(row(f"map_{i}", "list") for i in range(5)), row("sum", *(f"map_{i}" for i in range(5)))]
    before = dag(rows)
    parts = [row(f"part_{i}", creator="map_2") for i in range(300)]
    grown = [*rows, *parts, row("total", *(one["task_id"] for one in parts), creator="map_2")]
    placed = {key: box[:2] for key, box in before.nodes.items()}
    for count in (8, 60, len(grown)):
        after = dag(grown[:count], placed=placed)
        check(after, grown[:count])
        assert {key: after.nodes[key][:2] for key in placed} == placed
        placed = {key: box[:2] for key, box in after.nodes.items()}
    assert after.width < 8000
