"""Compaction changes no answer: random legal histories, compacted at random moments."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wfstore
from tests.compaction.damage import make
from tests.compaction.stores import play

SEEDS = st.integers(0, 2**32)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_compaction_changes_no_answer(seed: int) -> None:
    with TemporaryDirectory() as root:
        play(Path(root), seed, steps=4)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_compaction_changes_no_answer_in_many_more_histories(seed: int) -> None:
    with TemporaryDirectory() as root:
        play(Path(root), seed, steps=8)


def test_no_column_is_null_where_it_was_not(tmp_path: Path) -> None:
    """DuckDB 2.0 reads NULL out of text where there is none, unless it is written as `output` does it."""
    pair = make(tmp_path)
    stores = [wfstore.open(pair.path), wfstore.open(pair.plain)]
    for view, table in pair.expected.items():
        columns = [name for name in table.column_names if name != "hash"]
        queries = [f'(SELECT count(*) FROM {view} WHERE "{name}" IS NULL)' for name in columns]
        found, wanted = (store.sql(f"SELECT {', '.join(queries)}").fetchall()[0] for store in stores)
        if view == "events":  # rows of what was deleted may be gone
            rows = stores[0].sql("FROM events").to_arrow_table()
            wanted = tuple(rows[name].null_count for name in columns)
        assert found == wanted, view
