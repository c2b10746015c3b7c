"""The drawing of a timeline: bars where they belong, retries beside each other, windows of one axis, readable ticks."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.draw.graphs import HOSTILE, START, SVG, attempt, parsed, with_class
from wfstore.draw import bar_id, timeline
from wfstore.draw._axis import CUT, fitted, said


def spans(svg: str, name: str) -> dict[str, tuple[float, float]]:
    """id of a bar -> from where to where its rect of that class goes."""
    found = {}
    for bar in with_class(parsed(svg), "bar"):
        for rect in with_class(bar, name):
            x = float(rect.get("x", 0))
            found[bar.get("id", "")] = (x, x + float(rect.get("width", 0)))
    return found


def test_queue_wait_and_run_time_are_apart_and_to_scale() -> None:
    drawn = timeline([attempt("a", 0, 2, 4), attempt("b", 4, 5, 8)], now=None, width=1030)
    queue, run = spans(drawn.svg, "queue"), spans(drawn.svg, "run")
    second = (run["bar-a-1-1"][1] - run["bar-a-1-1"][0]) / 2
    assert queue["bar-a-1-1"][1] - queue["bar-a-1-1"][0] == pytest.approx(2 * second, abs=0.2)
    assert queue["bar-a-1-1"][1] == pytest.approx(run["bar-a-1-1"][0], abs=0.2)
    assert run["bar-b-1-1"][1] - run["bar-b-1-1"][0] == pytest.approx(3 * second, abs=0.2)
    assert run["bar-b-1-1"][1] - queue["bar-a-1-1"][0] == pytest.approx(8 * second, abs=0.2)


def test_a_bar_is_split_into_what_its_time_went_to() -> None:
    tries = [
        attempt("a", 2, 6, 8, fetch_s=1.0, checkpoint_s=2.0, begun_at=START),
        attempt("nap", 0, 0, 10, task_type="timer"),
    ]
    drawn = timeline(tries, now=None, width=1430)
    bar = "bar-a-1-1"
    found = {name: spans(drawn.svg, name)[bar] for name in ("queue", "fetch", "run", "store")}
    # 1,000 px for ten seconds
    assert [round(right - left) for left, right in found.values()] == [300, 100, 200, 200]
    edges = [edge for span in found.values() for edge in span]
    assert edges == sorted(edges) and edges[1:7:2] == pytest.approx(edges[2:8:2], abs=0.2)
    root = parsed(drawn.svg)
    (before,) = with_class(root, "before")
    left, right = (before.get("d") or "").removeprefix("M").split(" ")[0], (before.get("d") or "").split("H")[1]
    assert float(right) == edges[0] and float(left) == pytest.approx(edges[0] - 200, abs=0.2)
    assert [one.get("data-task") for one in with_class(root, "waits")] == ["nap"]
    title = next(one for one in with_class(root, "bar") if one.get("id") == bar).findtext(f"{SVG}title") or ""
    for words in (
        "not given to Ray for 2.00 s",
        "waited 4.00 s",
        "of that 1.00 s for its arguments",
        "stored its output in 2.00 s",
    ):
        assert words in title


def test_retries_are_bars_in_one_row() -> None:
    tries = [
        attempt("a", 0, 1, 2, status="FAILED", kind="app", error_type="ValueError", error_message="<no>"),
        attempt("a", 3, 4, 6, attempt=2),
        attempt("a", 10, 11, 12, run=2),
    ]
    drawn = timeline(tries, now=None, critical=["a"], link=lambda task_id: f"/t/{task_id}")
    assert (drawn.total_rows, drawn.shown) == (1, 1)
    root = parsed(drawn.svg)
    bars = with_class(root, "bar")
    assert [bar.get("data-status") for bar in bars] == ["FAILED", "SUCCESSFUL", "SUCCESSFUL"]
    assert [bar.get("id") for bar in bars] == [bar_id("a", 1, 1), bar_id("a", 1, 2), bar_id("a", 2, 1)]
    runs = list(spans(drawn.svg, "run").values())
    assert runs == sorted(runs) and runs[0][1] < runs[1][0]
    assert "ValueError: <no> (app)" in (bars[0].findtext(f"{SVG}title") or "")
    assert [text.text for text in with_class(root, "said")] == ["SUCCESSFUL 1.00 s, 3 attempts"]
    assert [link.get("href") for link in root.iter(f"{SVG}a")] == ["/t/a"]


def test_open_attempts_go_on_until_now() -> None:
    open_ones = [attempt("a", 0, 1, None, status="RUNNING"), attempt("b", 2, None, None, status="PENDING")]
    now = START + timedelta(seconds=10)
    for moment in (now, now.replace(tzinfo=UTC)):
        drawn = timeline(open_ones, now=moment, width=1430)
        run, queue = spans(drawn.svg, "run"), spans(drawn.svg, "queue")
        assert run["bar-a-1-1"][1] == pytest.approx(queue["bar-b-1-1"][1], abs=0.2)
        assert run["bar-a-1-1"][1] - run["bar-a-1-1"][0] == pytest.approx(900, abs=1)
    assert with_class(parsed(drawn.svg), "open")
    parsed(timeline(open_ones, now=None).svg)


def test_windows_of_rows_have_one_axis() -> None:
    tries = [attempt(f"t{number}", number, number + 1, number + 3) for number in range(100)]
    whole = timeline(tries, now=None)
    parts = [timeline(tries, now=None, first=first, rows=30, axis=first == 0) for first in range(0, 120, 30)]
    assert [part.shown for part in parts] == [30, 30, 30, 10]
    assert {part.total_rows for part in parts} == {100}
    assert [part.axis_height > 0 for part in parts] == [True, False, False, False]
    merged: dict[str, tuple[float, float]] = {}
    for part in parts:
        merged |= spans(part.svg, "run")
    assert merged == spans(whole.svg, "run")
    assert timeline(tries, now=None, first=500).shown == 0
    assert sum(part.height for part in parts) == pytest.approx(whole.height)


def test_a_long_idle_time_is_cut_out_and_said() -> None:
    day = 86_400
    tries = [attempt("a", 0, 0, 10), attempt("a", day, day, day + 10, run=2)]
    drawn = timeline(tries, now=None)
    run = spans(drawn.svg, "run")
    assert run["bar-a-1-1"][1] - run["bar-a-1-1"][0] > 200
    assert run["bar-a-2-1"][0] - run["bar-a-1-1"][1] == pytest.approx(CUT, abs=0.2)
    (cut,) = with_class(parsed(drawn.svg), "cutout")
    assert "23 h 59 min in which nothing was under way" in (cut.findtext(f"{SVG}title") or "")


def test_odd_times_are_drawn_as_far_as_they_go() -> None:
    odd: list[dict[str, Any]] = [
        attempt("backwards", 5, 3, 1),
        attempt("never", 1, None, 2, status="FAILED"),
        attempt("unsaid", None, None, None),
        attempt("alone", None, None, 4),
        attempt("twice", 0, 1, 2),
        attempt("twice", 0, 1, 2),
        attempt("same", 0, 0, 0),
        {"task_id": "bare"},
        {"task_id": None, "started_at": START},
        {"task_id": "text", "started_at": "yesterday"},
    ]
    drawn = timeline(odd, now=None)
    assert {bar.get("data-task") for bar in with_class(parsed(drawn.svg), "bar")} == {
        "backwards", "never", "alone", "twice", "same",
    }  # fmt: skip
    assert "No attempts yet." in timeline([], now=None).svg
    parsed(timeline([attempt("a", 0, 0, 0)], now=None, standalone=True).svg)


@pytest.mark.parametrize("bad", HOSTILE)
def test_hostile_ids_are_text(bad: str) -> None:
    tries = [attempt(bad, 0, 1, 2, status=bad, kind=bad, error_type=bad, error_message=bad, node_id=bad)]
    drawn = timeline(tries, now=None, link=lambda task_id: task_id, prefix="p-")
    assert "<script" not in drawn.svg
    (bar,) = with_class(parsed(drawn.svg), "bar")
    assert bar.get("id") == bar_id(bad, 1, 1, "p-")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e6)), min_size=1, max_size=30),
    st.floats(100, 2000),
)
def test_an_axis_keeps_the_order_of_time(parts: list[tuple[float, float]], width: float) -> None:
    busy = [(begin, begin + length) for begin, length in parts]
    axis = fitted(busy, width)
    moments = sorted({moment for one in busy for moment in one})
    places = [axis.x(moment) for moment in moments]
    assert places == sorted(places)
    assert places[0] == 0 and places[-1] <= width + 1e-6
    ticks = [x for x, _ in axis.ticks()]
    assert ticks == sorted(ticks)
    assert len({label for _, label in axis.ticks()}) == len(ticks)


@pytest.mark.parametrize(
    ("second", "step", "text"),
    [
        (0, 1, "0"),
        (0.0005, 0.0001, "500 µs"),
        (0.02, 0.005, "20 ms"),
        (1.5, 0.5, "1.5 s"),
        (90, 30, "1:30 min"),
        (120, 60, "2 min"),
        (60.5, 0.5, "1:00.5 min"),
        (3900, 300, "1:05 h"),
        (7200, 3600, "2 h"),
        (86_415, 5, "1 d 0:00:15"),
        (86_400 * 3 + 6 * 3600, 6 * 3600, "3 d 6:00"),
        (86_400 * 2, 86_400, "2 d"),
    ],
)
def test_ticks_are_said_as_people_do(second: float, step: float, text: str) -> None:
    assert said(second, step) == text
