"""Rows of tasks and attempts to draw, and SVG taken apart again."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

from hypothesis import strategies as st

from wfstore.draw import Dag
from wfstore.model.statuses import TASK_STATUSES

SVG = "{http://www.w3.org/2000/svg}"
START = datetime(2026, 3, 1, 12)
HOSTILE = (
    "<script>alert(1)</script>",
    "</svg></title>&amp;<b>",
    '\'" onload="alert(1)',
    "a\x00b\x1b[2J\x08",
    "\u202eevil\u2066",
    "]]>--!>",
    "line\nbreak\ttab\r",
    "é\u0301漢字🙂",
    "\ud800lonely",
    "%2F/../?#",
    " ",
    "x" * 10_000,
)


def row(
    task_id: str, *upstream: str, name: str | None = None, status: str = "SUCCESSFUL", **more: Any
) -> dict[str, Any]:
    known = {"duration_s": 1.5, "attempts": 1, "creator": None, **more}
    return {"task_id": task_id, "name": name or task_id, "status": status, "upstream": list(upstream), **known}


def fan(width: int) -> list[dict[str, Any]]:
    """list -> width times map -> sum -> report"""
    maps = [row(f"map_{i}", "list", name="map", status="FAILED" if i < 2 else "SUCCESSFUL") for i in range(width)]
    return [row("list"), *maps, row("sum", *(one["task_id"] for one in maps)), row("report", "sum")]


def attempt(task_id: str, *times: float | None, status: str = "SUCCESSFUL", **more: Any) -> dict[str, Any]:
    """times: submitted, started, ended, in seconds"""
    moments = (None if second is None else START + timedelta(seconds=second) for second in times)
    named = dict(zip(("submitted_at", "started_at", "ended_at"), moments, strict=True))
    return {"task_id": task_id, "run": 1, "attempt": 1, "status": status, **named, **more}


@st.composite
def workflows(draw: st.DrawFn, most: int = 40) -> list[dict[str, Any]]:
    """A random DAG, upstream first, with some continuations."""
    rows: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, most))):
        above = draw(st.lists(st.sampled_from(rows), max_size=3, unique_by=lambda one: one["task_id"])) if rows else []
        creator = draw(st.none() | st.sampled_from(rows)) if rows else None
        rows.append(
            row(
                f"t{number}",
                *(one["task_id"] for one in above),
                name=draw(st.sampled_from("abc")),
                status=draw(st.sampled_from(TASK_STATUSES)),
                creator=creator["task_id"] if creator else None,
            )
        )
    return rows


def parsed(svg: str) -> ElementTree.Element:
    """The drawing as XML, having made sure that it runs nothing, fetches nothing and has no style of its own."""
    root = ElementTree.fromstring(svg)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {
            "svg", "g", "a", "path", "rect", "circle", "text", "title", "use", "defs", "symbol", "style",
        }  # fmt: skip
        for name, value in element.attrib.items():
            assert name != "style" and not name.startswith("on")
            assert name != "href" or element.tag == f"{SVG}a" or value.startswith("#")
    return root


def with_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


def check(dag: Dag, rows: list[dict[str, Any]]) -> ElementTree.Element:
    """What holds of every drawing: each task once, no box on another, every edge downwards, well-formed XML."""
    root = parsed(dag.svg)
    ids = [one["task_id"] for one in rows]
    grouped = [task_id for group in dag.groups.values() for task_id in group.tasks]
    single = [key for key in dag.nodes if key not in dag.groups]
    assert sorted(grouped + single) == sorted(ids)
    assert set(dag.where) == set(ids)
    assert all(key == dag.where[key] for key in single)
    assert len(with_class(root, "node")) == len(dag.nodes)
    for group in dag.groups.values():
        assert group.count == len(group.tasks) == sum(group.statuses.values()) > 1
    boxes = sorted(dag.nodes.values())
    for place, (x, y, width, _) in enumerate(boxes):
        for other_x, other_y, _, height in boxes[place + 1 :]:
            if other_x >= x + width:
                break
            assert abs(other_y - y) >= height
    for edge in with_class(root, "edge"):
        numbers = [
            float(number) for number in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", edge.get("d", "").partition("m")[0])
        ]
        assert numbers[1] < numbers[-1]
    return root
