"""A host changes how its process collects garbage; here it is a guest in the tests' own."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def own_garbage() -> Iterator[None]:
    """Tasks that ended in an exception nobody asked for are told of now, and not in the middle of another test."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.collect()
