"""Tables on narrow terminals: never wider than the room, the least important goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wfstore.cli.fitting import GAP, Column, fit

COLUMNS = [Column("id", keep=True), Column("name", drop=2), Column("status", keep=True), Column("error")]


def test_with_room_every_column_has_what_it_needs() -> None:
    assert fit(COLUMNS, [10, 2, 10, 50], 200) == {0: 10, 1: 4, 2: 10, 3: 50}


def test_the_longest_is_shortened_first() -> None:
    assert fit(COLUMNS, [10, 20, 10, 50], 80) == {0: 10, 1: 20, 2: 10, 3: 34}


def test_then_columns_go_by_their_rank() -> None:
    assert fit(COLUMNS, [10, 20, 10, 50], 34) == {0: 10, 2: 10, 3: 10}
    assert fit(COLUMNS, [10, 20, 10, 50], 25) == {0: 10, 2: 10}
    assert fit(COLUMNS, [10, 20, 10, 50], 6) == {0: 6}


columns = st.builds(Column, st.text("x", max_size=20), st.booleans(), st.booleans(), st.integers(0, 3))


@given(st.lists(st.tuples(columns, st.integers(0, 200)), min_size=1, max_size=12), st.integers(1, 300))
def test_a_table_never_exceeds_its_room(given_columns: list[tuple[Column, int]], room: int) -> None:
    widths = fit([column for column, _ in given_columns], [wide for _, wide in given_columns], room)
    assert 0 in widths
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= room
    assert all(width >= 0 for width in widths.values())
