"""What makes tasks comparable across runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.model import driving
from tests.model.driving import BAD, OK, dag, end, start, workflow
from wfstore.model.commands import Resume
from wfstore.model.dag import ARGUMENT, ORDER, TaskSpec
from wfstore.model.identity import shape


def task(function: str, *upstream: int, name: str | None = None, code: str | None = None) -> TaskSpec:
    return TaskSpec(name or function, f"m.{function}", "h", None, upstream, (ARGUMENT,) * len(upstream), code=code)


def keys_of(*tasks: TaskSpec) -> list[str]:
    return [one.key for one in workflow(start(dag(*tasks))).tasks.values()]


def test_members_of_a_fan_out_share_a_key_however_many_they_are() -> None:
    for width in (1, 2, 7):
        members = [task("part", 0) for _ in range(width)]
        keys = keys_of(task("load"), *members, task("join", *range(1, width + 1)))
        assert keys == ["m.load", *["m.part"] * width, "m.join"]


def test_links_of_a_chain_stand_at_places_of_their_own() -> None:
    assert keys_of(task("f"), task("f", 0), task("f", 1)) == ["m.f", "m.f#2", "m.f#3"]


def test_a_name_tells_siblings_apart_and_its_numbers_do_not() -> None:
    keys = keys_of(task("query", name="users"), task("query", name="orders"), task("query", name="users"))
    assert keys == ["m.query", "m.query#2", "m.query"]
    days = [task("query", name=f"day_2026-11-{day:02d}") for day in range(1, 4)]
    assert keys_of(*days) == ["m.query"] * 3
    assert keys_of(task("query", name="eu"))[0] == keys_of(task("query", name="us"))[0]


def test_what_only_comes_before_does_not_count() -> None:
    calls = [TaskSpec("call", "m.call", "h", None, (i - 1,) if i else (), (ORDER,) if i else ()) for i in range(4)]
    assert keys_of(*calls) == ["m.call"] * 4


def test_tasks_of_a_continuation_stand_below_their_creator() -> None:
    simulation = start(dag(task("f"), task("g", 0)))
    end(simulation, "f", OK._replace(output=None, continuation=dag(task("f"), task("h", 0))))
    end(simulation, "f_1", OK._replace(output=None, continuation=dag(task("f"))))
    found = {one.task_id: one.key for one in workflow(simulation).tasks.values()}
    assert found == {"f": "m.f", "g": "m.g", "f_1": "m.f#2", "h": "m.h", "f_2": "m.f#3"}


def test_the_shape_is_that_of_the_dag() -> None:
    def shape_of(*tasks: TaskSpec) -> str | None:
        return workflow(start(dag(*tasks))).shape

    once = shape_of(task("f"), task("g", 0))
    assert once == shape_of(task("f", name="x", code="c"), task("g", 0))
    assert len({once, shape_of(task("f"), task("g")), shape_of(task("g"), task("f", 0)), shape_of(task("f"))}) == 4


def test_a_resume_with_other_code_says_which() -> None:
    simulation = start(dag(task("f", code="old")))
    assert driving.task(simulation, "f").code == "old"
    end(simulation, "f", BAD)
    simulation.do(Resume("w", functions=(("h", "new", "newer"),)))
    assert driving.task(simulation, "f").code == "newer"


@given(st.lists(st.tuples(st.text(max_size=3), st.lists(st.integers(0, 5), max_size=3)), max_size=5))
def test_a_shape_is_16_digits(rows: list[tuple[str, list[int]]]) -> None:
    said = shape((key, upstream, [ARGUMENT] * len(upstream)) for key, upstream in rows)
    assert len(said) == 16 and int(said, 16) >= 0
