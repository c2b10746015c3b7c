"""Ctrl-C while DuckDB is at work is Ctrl-C, and no error of a statement."""

from __future__ import annotations

import pytest

from wfstore.index import database


def test_what_duckdb_makes_of_ctrl_c_is_ctrl_c_again() -> None:
    with pytest.raises(KeyboardInterrupt), database.translated():
        raise RuntimeError("Query interrupted")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="of ours"), database.translated():
        raise RuntimeError("of ours")
