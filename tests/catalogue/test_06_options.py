"""Section 6: options."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tests.catalogue.items import item
from tests.catalogue.tasks import boom, failed, one
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


@item("O1", "options knows task_id (or name), metadata, catch_exceptions, checkpoint, and names a key it does not know")
def test_O1_keys(world: World) -> None:
    options = workflow.options(task_id="t", metadata={"k": 1}, catch_exceptions=True, checkpoint=True)
    assert workflow.run(one.options(**options).bind(), workflow_id="o1") == (1, None)
    found = workflow.get_metadata("o1", task_id="t")
    assert found["user_metadata"] == {"k": 1}
    assert found["task_options"]["catch_exceptions"] is True
    with pytest.raises(ValueError, match=re.escape("Invalid option keywords {'bad'} for workflow tasks.")) as caught:
        workflow.options(bad=1)
    for key in ("task_id", "metadata", "catch_exceptions", "checkpoint"):
        assert key in str(caught.value)


@item("O2", "three spellings: above @ray.remote, inside it, and .options(**workflow.options(...))")
def test_O2_three_spellings(world: World) -> None:
    @workflow.options(task_id="above")
    @ray.remote
    def above() -> int:
        return 1

    @ray.remote(**workflow.options(task_id="inside"))
    def inside() -> int:
        return 2

    for function, name in ((above, "above"), (inside, "inside"), (one.options(**workflow.options(name="at")), "at")):
        workflow.run(function.bind(), workflow_id=f"o2-{name}")
        assert set(world.task_statuses(f"o2-{name}")) == {name}
    assert isinstance(dict(**workflow.options(task_id="x")), dict), "keys() and []"


@item("O2")
def test_O2_only_remote_functions(world: World) -> None:
    def plain() -> int:
        return 1

    with pytest.raises(ValueError, match=re.escape("Only apply 'workflow.options' to Ray remote functions.")):
        workflow.options(task_id="x")(plain)


@item(
    "O3",
    "layers of options override per key, and metadata is replaced",
    ours="through `workflow.task` and `@workflow.options`; on a plain `.options(**workflow.options(...))` the "
    "later one "
    "replaces the earlier, because Ray keeps no place for another library's options",
)
def test_O3_layers_of_a_task(world: World) -> None:
    @workflow.task(task_id="old", metadata={"k": "v"}, catch_exceptions=True, max_retries=1)
    def layered() -> int:
        return 1

    newer = layered.options(task_id="new", metadata={"k2": "v2"}, num_cpus=0.5)
    assert workflow.run(newer.bind(), workflow_id="o3") == (1, None), "catch_exceptions persists"
    found = workflow.get_metadata("o3", "new")
    assert found["user_metadata"] == {"k2": "v2"}
    assert found["task_options"]["max_retries"] == 1
    assert found["task_options"]["ray_options"]["num_cpus"] == 0.5
    workflow.run(layered.bind(), workflow_id="o3-old")
    assert workflow.get_metadata("o3-old", "old")["user_metadata"] == {"k": "v"}, "the first is as it was"


@item("O3")
def test_O3_layers_of_decorators(world: World) -> None:
    @workflow.options(metadata={"k2": "v2"})
    @workflow.options(task_id="name", metadata={"k": "v"})
    @workflow.task
    def layered() -> int:
        return 1

    workflow.run(layered.bind(), workflow_id="o3d")
    assert workflow.get_metadata("o3d", "name")["user_metadata"] == {"k2": "v2"}


@item("O3")
def test_O3_a_later_one_replaces_on_a_plain_function(world: World) -> None:
    first = ray.remote(max_retries=1, **workflow.options(task_id="old", metadata={"k": "v"}))(lambda: 1)
    workflow.run(first.options(**workflow.options(task_id="new"), num_cpus=0.5).bind(), workflow_id="o3p")
    found = workflow.get_metadata("o3p", "new")
    assert found["user_metadata"] == {}
    assert found["task_options"]["max_retries"] == 1, "Ray's own options are layered by Ray"


@item(
    "O4",
    'common.WORKFLOW_OPTIONS is "workflow.io/options"',
    ours="a name only: Ray took `_metadata`, the place where the options lay under that key, away",
)
def test_O4_the_key(world: World) -> None:
    from wfstore.workflow.common import WORKFLOW_OPTIONS

    assert WORKFLOW_OPTIONS == "workflow.io/options"


@item(
    "O5", "any option of Ray works, also one that JSON cannot hold", ours="before, such a run failed with DataSaveError"
)
def test_O5_options_that_are_no_json(world: World) -> None:
    here = ray.get_runtime_context().get_node_id()
    pinned = one.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False))
    assert workflow.run(pinned.bind(), workflow_id="o5") == 1
    json.dumps(workflow.get_metadata("o5", "tests.catalogue.tasks.one"))
    spread: Any = one.options(scheduling_strategy="SPREAD", num_cpus=0.5, memory=1000)
    assert workflow.run(spread.bind()) == 1


@item("O5")
def test_O5_retry_exceptions_by_type(world: World) -> None:
    failed(boom.options(max_retries=2, retry_exceptions=[ValueError]).bind(), "o5-listed")
    assert len(world.errors("o5-listed")) == 3
    failed(boom.options(max_retries=2, retry_exceptions=[KeyError]).bind(), "o5-other")
    assert len(world.errors("o5-other")) == 1
