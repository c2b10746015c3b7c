"""Section 14: resume and recovery, and what other sections say about interrupted workflows.

The tests with `after` and `resumed` tell one story and stand in its order: a cluster with a workflow of every kind is
killed whole, another one opens its storage, looks, and resumes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray

import wfstore
from tests.catalogue.drivers import launch
from tests.catalogue.items import item
from tests.catalogue.tasks import identity
from tests.engine.drivers import end_everything, said
from tests.engine.world import executions, ids, names
from wfstore import workflow
from wfstore.log import read_lease, verify

pytestmark = [pytest.mark.ray, pytest.mark.fault]

RAN = ["recursion", "held", "doomed", "bad", "refs", "skip", "partial", "whole", "other", "last"]
WAITED = ["waiting0", "waiting1"]


class Scene(NamedTuple):
    """Where the killed cluster wrote."""

    folder: Path
    storage: str

    @property
    def log(self) -> Path:
        return self.folder / "log"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    scene = Scene(folder, str(folder / "store"))
    driver = launch("scene", scene.storage, str(folder))
    try:
        said(driver, "ready")
    finally:
        end_everything(driver)
    return scene


@pytest.fixture(scope="module")
def space(scene: Scene, cluster: None) -> Iterator[str]:
    """The namespace of the second manager of that storage."""
    space = ids("after")
    workflow.init(storage=scene.storage, namespace=space)
    yield space
    handle = ray.get_actor("WorkflowManagementActor", space)
    ray.get(handle.stop.remote())
    ray.kill(handle)


@pytest.fixture
def after(scene: Scene, space: str) -> Scene:
    workflow.init(storage=scene.storage, namespace=space)
    return scene


@pytest.fixture(scope="module")
def resumed(scene: Scene, space: str) -> dict[str, Any]:
    """What resume_all gave, in its order."""
    workflow.init(storage=scene.storage, namespace=space)
    for name in (*RAN, "canceled"):
        (scene.folder / f"{name}-go").touch()
    return dict(workflow.resume_all())


@item("S2", "RESUMABLE is what an open workflow is without a live manager; readers without a cluster see it too")
@pytest.mark.slow
def test_S2_readers_without_a_cluster(scene: Scene) -> None:
    assert read_lease(scene.storage) is not None
    rows = wfstore.open(scene.storage, live=False).sql("select workflow_id, status from workflows").fetchall()
    assert dict(rows) == {
        "done": "SUCCESSFUL",
        "failed": "FAILED",
        "canceled": "CANCELED",
        **dict.fromkeys((*RAN, *WAITED), "RESUMABLE"),
    }


@item("S2", ours="get_metadata says RESUMABLE as well, where the old one still said RUNNING")
@pytest.mark.slow
def test_S2_after_a_restart(after: Scene) -> None:
    for name in (*RAN, *WAITED):
        assert workflow.get_status(name) == workflow.get_metadata(name)["status"] == "RESUMABLE"
    assert set(workflow.get_metadata("held")["stats"]) == {"start_time"}


@item("S6", "list_all(RESUMABLE) has those that were running before those that were pending")
@pytest.mark.slow
def test_S6_running_before_pending(after: Scene) -> None:
    assert names(workflow.list_all("RESUMABLE")) == [*RAN, *WAITED]
    assert workflow.list_all(workflow.RESUMABLE) == workflow.list_all({"RESUMABLE"})


@item("G7", "the output of an interrupted workflow after a restart: ValueError, at once")
@pytest.mark.slow
def test_G7_interrupted(after: Scene) -> None:
    began = time.monotonic()
    for name in ("held", "waiting0"):
        with pytest.raises(ValueError, match=name):
            workflow.get_output(name)
        with pytest.raises(ValueError):
            ray.get(workflow.get_output_async(name), timeout=10)
    assert time.monotonic() - began < 5
    assert workflow.get_output("done") == "value"
    assert workflow.get_output("whole", task_id="first") == 1, "what had finished can be read"


@item("M7", "metadata is read from the store after a restart")
@pytest.mark.slow
def test_M7_metadata_survives(after: Scene) -> None:
    assert workflow.get_metadata("held")["user_metadata"] == {"k": "v"}
    assert set(workflow.get_metadata("done")["stats"]) == {"start_time", "end_time"}
    assert set(workflow.get_metadata("partial", "second")["stats"]) == {"start_time", "end_time"}


@item("L2")
@pytest.mark.slow
def test_L2_an_interrupted_one_can_be_deleted(after: Scene) -> None:
    workflow.delete("doomed")
    assert "doomed" not in dict(workflow.list_all())
    with pytest.raises(ValueError):
        workflow.get_output("doomed")
    assert workflow.run(identity.bind("123"), workflow_id="doomed") == "123"


@item("Q5", "limits go with the cluster, and can be set again after a restart")
@pytest.mark.slow
def test_Q5_limits_are_gone(after: Scene, space: str) -> None:
    facts = ray.get(ray.get_actor("WorkflowManagementActor", space).describe.remote())
    assert (facts["max_running_workflows"], facts["max_pending_workflows"]) == (None, None)


@item(
    "V4", "resume_all gives [(id, reference)] of RESUMABLE ones, those that ran first; with include_failed FAILED ones"
)
@pytest.mark.slow
def test_V4_resume_all(after: Scene, resumed: dict[str, Any]) -> None:
    assert list(resumed) == [name for name in (*RAN, *WAITED) if name != "doomed"]
    for name, value in {"held": 5, "other": "other", "last": "last", "waiting0": 0, "waiting1": 1}.items():
        assert ray.get(resumed[name], timeout=60) == value
    assert workflow.get_status("failed") == "FAILED"
    assert workflow.get_status("canceled") == "CANCELED"
    (after.folder / "ok").touch()
    ((name, ref), *more) = workflow.resume_all(include_failed=True)
    assert name == "failed"
    assert names(more) in ([], ["bad"])
    assert ray.get(ref, timeout=30) == "healed"


@item(
    "V4",
    ours="one workflow that cannot be resumed is named in a warning and does not stop the others; the old call raised",
)
@pytest.mark.slow
def test_V4_one_that_fails_does_not_stop_the_others(after: Scene, resumed: dict[str, Any]) -> None:
    with pytest.raises(workflow.WorkflowExecutionError):
        ray.get(resumed["bad"], timeout=60)


@item("V3", "kill -9 of the whole cluster in the middle of a recursion: a new cluster on the same storage ends it")
@pytest.mark.slow
def test_V3_recursion(after: Scene, resumed: dict[str, Any]) -> None:
    assert ray.get(resumed["recursion"], timeout=60) == sum(range(21))
    ran = {name: count for name, count in executions(after.log).items() if name.startswith("down")}
    assert set(ran) == {f"down{n}" for n in range(21)}
    assert sum(ran.values()) <= 22, "only the level that was under way ran twice"


@item("D5")
@pytest.mark.slow
def test_D5_references_of_a_dead_cluster(after: Scene, resumed: dict[str, Any]) -> None:
    assert ray.get(resumed["refs"], timeout=60) == 100


@item("K4")
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "first", "second"), [("skip", 2, 2), ("partial", 2, 1), ("whole", 1, 1)])
def test_K4_resume_after_the_death_of_the_cluster(
    after: Scene, resumed: dict[str, Any], mode: str, first: int, second: int
) -> None:
    assert ray.get(resumed[mode], timeout=60) == 13
    ran = executions(after.log)
    assert (ran[f"{mode}-first"], ran[f"{mode}-second"]) == (first, second)


@pytest.mark.slow
def test_the_store_of_the_dead_cluster_is_whole(after: Scene, resumed: dict[str, Any]) -> None:
    ray.wait(list(resumed.values()), num_returns=len(resumed), timeout=60)
    report = verify(after.storage)
    assert report.ok, [str(problem) for problem in report.problems]
