"""Compaction changes no answer: random legal histories, compacted at random moments."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compaction.stores import play

SEEDS = st.integers(0, 2**32)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_compaction_changes_no_answer(seed: int) -> None:
    with TemporaryDirectory() as root:
        play(Path(root), seed, steps=4)
