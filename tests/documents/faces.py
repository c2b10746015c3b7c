"""In which the two faces differ for a program of the older generation (catalogue section 24)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RaySystemError

from tests.engine.world import eventually
from wfstore.errors import WorkflowExecutionError

#: The packages whose `workflow` an older program may import.
FACES = ("wfstore", "wfstore.legacy")


def value(workflow: Any, answer: Any) -> Any:
    """What get_output or resume gave: the value itself, or in wfstore.legacy an ObjectRef of it."""
    is_reference = isinstance(answer, ray.ObjectRef)
    assert is_reference == (workflow.__name__ == "wfstore.legacy.workflow"), type(answer)
    return ray.get(answer) if is_reference else answer


@contextmanager
def fails() -> Iterator[None]:
    """Around a run that must fail. The documents of both generations say RaySystemError, the newer library raised
    WorkflowExecutionError; here the error is both."""
    with pytest.raises(RaySystemError) as caught:
        yield
    assert isinstance(caught.value, WorkflowExecutionError)


def appears(path: Path, timeout_s: float = 30.0) -> None:
    eventually(path.exists, f"{path.name} is there", timeout_s)
