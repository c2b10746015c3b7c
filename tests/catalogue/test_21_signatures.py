"""Section 21: signature checks."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import identity
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def signed(a: Any, b: Any, c: Any = 3, *, d: Any = 4) -> list[Any]:
    return [a, b, c, d]


@item(
    "Y1",
    "wrong arguments in bind are a TypeError of run(), before anything is stored; calling the function is one at once",
)
@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((1,), {}, "missing a required argument: 'b'"),
        ((1, 2, 3, 4), {}, "too many positional arguments"),
        ((1, 2), {"e": 5}, "got an unexpected keyword argument 'e'"),
        ((1, 2), {"a": 5}, "multiple values for argument 'a'"),
    ],
)
def test_Y1_wrong_arguments(world: World, args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    node = signed.bind(*args, **kwargs)
    for dag in (node, identity.bind(node)):
        with pytest.raises(TypeError, match=text):
            workflow.run(dag, workflow_id="y1")
        with pytest.raises(TypeError, match=text):
            workflow.run_async(dag, workflow_id="y1")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("y1")
    with pytest.raises(ValueError):
        workflow.get_metadata("y1")


@item("Y1")
def test_Y1_right_arguments_and_a_direct_call(world: World) -> None:
    assert workflow.run(signed.bind(1, b=2, d=5)) == [1, 2, 3, 5]
    with pytest.raises(TypeError):
        signed(1, 2)
