"""A store that nobody has any more leaves nothing behind: it has a database with threads of its own."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.cli.stores import made
from wfstore import Store


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.workflows(),
        lambda store: store.sql("SELECT count(*) FROM time_spent").fetchall(),
        lambda store: store.history("good").tasks,
        lambda store: store.history("good").why_no_eta,
        lambda store: store.as_of(1).workflows(),
        lambda store: store.report("slowest_tasks"),
        lambda store: store.stats(),
    ],
)
def test_it_goes_with_its_last_name(use: Callable[[Store], Any], tmp_path: Path) -> None:
    store = wfstore.open(made(tmp_path / "store"))
    use(store)
    gone = weakref.ref(store), weakref.ref(store._index)
    del store
    assert [one() for one in gone] == [None, None]
