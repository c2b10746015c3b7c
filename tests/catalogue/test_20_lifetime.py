"""Section 20: workflows outlive their driver."""

from __future__ import annotations

import pytest
import ray

from tests.catalogue.items import item
from tests.catalogue.tasks import one
from tests.engine.drivers import end_everything, launch, said
from tests.engine.test_lifetime import address
from tests.engine.world import World, eventually, executions
from wfstore import workflow

pytestmark = [pytest.mark.ray, pytest.mark.fault]

TOTAL = sum(range(200_000))


@item("Z1", "a workflow goes on when its driver exits or is killed; another driver gets its output")
def test_Z1_the_driver_exits(own_world: World) -> None:
    log = own_world.file("log")
    driver = launch("submit", own_world.storage, own_world.namespace, str(log), "leave", env=address())
    said(driver, "submitted")
    assert driver.wait(30) == 0
    driver.communicate()
    assert workflow.get_output("outlives").sum() == TOTAL
    assert executions(log) == {"z-begins": 1, "z-ends": 1}


@item("Z1")
@item("Z2", "arguments that a dead driver had put into the object store can still be read")
def test_Z1_Z2_the_driver_is_killed(own_world: World) -> None:
    log = own_world.file("log")
    driver = launch("submit", own_world.storage, own_world.namespace, str(log), "stay", env=address())
    said(driver, "submitted")
    eventually(lambda: executions(log)["z-begins"] == 1, "the task runs")
    end_everything(driver)
    assert workflow.get_status("outlives") == "RUNNING"
    assert workflow.get_output("outlives").sum() == TOTAL
    assert executions(log) == {"z-begins": 1, "z-ends": 1}


@item("Z2")
def test_Z2_killed_before_the_task_starts(own_world: World) -> None:
    log = own_world.file("log")
    driver = launch("submit", own_world.storage, own_world.namespace, str(log), "stay", env=address())
    said(driver, "submitted")
    end_everything(driver)
    assert workflow.get_output("outlives").sum() == TOTAL
    assert executions(log)["z-ends"] == 1


@item("Z3", "the manager is a detached named actor; its namespace is `workflow` unless init(namespace=) says otherwise")
def test_Z3_a_named_actor(world: World) -> None:
    assert workflow.run(one.bind()) == 1
    actors = ray.util.list_named_actors(all_namespaces=True)
    assert {"name": "WorkflowManagementActor", "namespace": world.namespace} in actors
    from wfstore.engine import host

    assert (host.NAME, host.NAMESPACE) == ("WorkflowManagementActor", "workflow")
