"""Compaction changes no answer: random legal histories, compacted at random moments."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compaction.damage import make, manifest, path_of
from tests.compaction.stores import play

SEEDS = st.integers(0, 2**32)


def test_compaction_changes_no_answer(tmp_path: Path) -> None:
    # Another one in each run; of one example Hypothesis always makes the simplest. What fails shows what was printed.
    seed = random.SystemRandom().randrange(2**32)
    print(f"play(root, {seed}, steps=3)")
    play(tmp_path, seed, steps=3)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_compaction_changes_no_answer_in_many_more_histories(seed: int) -> None:
    with TemporaryDirectory() as root:
        play(Path(root), seed, steps=8)


def test_no_column_is_null_where_it_was_not(tmp_path: Path) -> None:
    """DuckDB 2.0 reads NULL out of text where there is none, unless it is written as `output` does it."""
    pair = make(tmp_path)
    seen = 0
    for file in manifest(pair).files:
        table = pq.read_table(path_of(pair, file))
        for name in table.column_names:
            query = f"SELECT count(*) FROM read_parquet('{path_of(pair, file)}') WHERE \"{name}\" IS NULL"
            assert duckdb.sql(query).fetchall() == [(table[name].null_count,)], (file.name, name)
            seen += 0 < table[name].null_count < table.num_rows
    assert seen
