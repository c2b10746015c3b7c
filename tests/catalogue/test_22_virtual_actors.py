"""Section 22: virtual actors."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError

from tests.catalogue.actors import Catching, Counter, Indirect, Nested, Parent, Troubled
from tests.catalogue.items import item
from tests.engine.world import World, eventually, executions, names
from wfstore import workflow
from wfstore.workflow.exceptions import VirtualActorNotInitializedError

pytestmark = pytest.mark.ray


@item(
    "VA1",
    "get_or_create gives a handle at once while the constructor, a durable step, runs; of an existing id it gives the "
    "existing actor and ignores the arguments; ready() is a reference",
)
def test_VA1_get_or_create(world: World) -> None:
    go = world.file("va1-go")
    actor = Counter.get_or_create("va1", 5, str(go))
    ready = actor.ready()
    with pytest.raises(GetTimeoutError):
        ray.get(ready, timeout=0.3)
    go.touch()
    ray.get(ready, timeout=30)
    assert actor.val.run() == 5
    assert Counter.get_or_create("va1", 100).val.run() == 5
    with pytest.raises(TypeError):
        Counter.get_or_create("va1-wrong", 1, 2, 3)


@item("VA2", "methods have run, run_async and options; readonly ones are marked with virtual_actor.readonly")
def test_VA2_ways_to_call(world: World) -> None:
    actor = Counter.get_or_create("va2", 0)
    assert actor.incr.run() == 1
    ref = actor.incr.run_async(10)
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == 11
    assert actor.incr.options(name="more", metadata={"k": 1}, max_retries=2, num_cpus=0.5).run(by=5) == 16
    assert ray.get(actor.val.run_async()) == 16


@item(
    "VA3",
    "readonly methods see the last committed state, lose what they change, run side by side while writers queue, and "
    "change no status",
)
def test_VA3_readonly(world: World) -> None:
    actor = Counter.get_or_create("va3", 42)
    ray.get(actor.ready())
    assert actor.mutate.run() == 43
    assert actor.val.run() == 42
    meeting = actor.meet.options(num_cpus=0)
    assert ray.get([meeting.run_async(str(world.folder), n, 4) for n in range(4)], timeout=60) == [42] * 4
    go = world.file("va3-go")
    writers = [actor.incr_when.options(num_cpus=0.1).run_async(str(go)) for _ in range(5)]
    assert workflow.get_status("va3") == "RUNNING"
    assert actor.val.run() == 42, "it does not wait for the writers"
    assert workflow.get_status("va3") == "RUNNING"
    go.touch()
    assert ray.get(writers, timeout=60) == [43, 44, 45, 46, 47]
    before = workflow.list_all()
    assert actor.val.run() == 47
    assert workflow.list_all() == before


@item(
    "VA4",
    "a readonly call before the constructor is done: VirtualActorNotInitializedError; one that returns a "
    "workflow: TypeError",
)
def test_VA4_not_initialized(world: World) -> None:
    go = world.file("va4-go")
    actor = Counter.get_or_create("va4", 1, str(go))
    with pytest.raises(VirtualActorNotInitializedError):
        actor.val.run()
    go.touch()
    ray.get(actor.ready(), timeout=30)
    assert actor.val.run() == 1
    text = "Returning a Workflow from a readonly virtual actor is not allowed."
    with pytest.raises(TypeError, match=re.escape(text)):
        actor.returns_workflow.run()


@item("VA5", "writers run one after the other in the order of the calls, and their results can be fetched in any order")
def test_VA5_writers_are_serial(world: World) -> None:
    actor = Counter.get_or_create("va5", 0)
    refs = [actor.incr.run_async() for _ in range(50)]
    for n in (49, 0, 25):
        assert ray.get(refs[n], timeout=60) == n + 1
    assert ray.get(refs, timeout=60) == list(range(1, 51))
    assert actor.val.run() == 50


@item("VA6", "a writer that failed is not skipped: the next call, or resume, runs it again first")
def test_VA6_failed_constructor(world: World) -> None:
    trouble = world.file("va6")
    trouble.touch()
    actor = Troubled.get_or_create("va6", 0, str(trouble), True)
    with pytest.raises(Exception):  # noqa: B017 (the older generation's own classes do not count)
        actor.incr.run()
    trouble.unlink()
    assert [actor.incr.run() for _ in range(9)] == list(range(2, 11)), "the call that failed counted"


@item("VA6")
def test_VA6_failed_writers_are_played_again(world: World) -> None:
    trouble = world.file("va6r")
    actor = Troubled.get_or_create("va6r", 20, str(trouble))
    assert [actor.incr.run() for _ in range(3)] == [21, 22, 23]
    trouble.touch()
    for _ in range(2):
        with pytest.raises(workflow.WorkflowExecutionError):
            actor.incr.run()
    assert actor.val.run() == 23
    assert workflow.get_status("va6r") == "FAILED"
    trouble.unlink()
    workflow.resume("va6r")
    assert actor.val.run() == 25
    assert actor.incr.run() == 26


@item("VA7", "resume of an actor gives its state, as __getstate__ returned it, not a method's result")
def test_VA7_resume_gives_the_state(world: World) -> None:
    trouble = world.file("va7")
    actor = Troubled.get_or_create("va7", 1, str(trouble))
    trouble.touch()
    with pytest.raises(workflow.WorkflowExecutionError):
        actor.incr.run()
    trouble.unlink()
    state = workflow.resume("va7")
    assert tuple(state) == (2, str(trouble))


@item(
    "VA8",
    "a writer may return a step, or self.method.step(...) of its own, which changes the state too; the state at "
    "its return "
    "is committed before",
)
def test_VA8_steps_from_methods(world: World) -> None:
    actor = Parent.get_or_create("va8")
    assert [actor.double.run(update) for update in (False, False, True, True)] == [2, 2, 2, 4]
    assert actor.state.run() == [4, "EMPTY"]


@item("VA8")
def test_VA8_the_state_is_committed_before_the_steps_run(world: World) -> None:
    flag, log = world.file("va8-ok"), world.file("va8-log")
    actor = Parent.get_or_create("va8c")
    with pytest.raises(workflow.WorkflowExecutionError):
        actor.begin.run(str(flag), str(log))
    assert actor.state.run() == [1, "STARTING"]


@item(
    "VA9", "recursion by self.method.step: every level is committed, and a failure in the middle goes on from its level"
)
def test_VA9_recursion(world: World) -> None:
    log, flag = world.file("va9"), world.file("va9-ok")
    actor = Parent.get_or_create("va9")
    assert actor.down.run(5, str(log)) == 0
    assert executions(log) == {f"down{n}": 1 for n in range(6)}
    again = world.file("va9-again")
    with pytest.raises(workflow.WorkflowExecutionError):
        actor.down.run(5, str(again), str(flag))
    assert actor.state.run()[0] == 3, "the level before the one that failed"
    flag.touch()
    workflow.resume("va9")
    assert actor.state.run()[0] == 0
    ran = executions(again)
    assert (ran["down5"], ran["down4"], ran["down3"], ran["down1"], ran["down0"]) == (1, 1, 1, 1, 1)


@item("VA10", "a step of a method that failed: a resume runs that step only")
def test_VA10_failed_step(world: World) -> None:
    flag, log = world.file("va10-ok"), world.file("va10-log")
    actor = Parent.get_or_create("va10")
    with pytest.raises(workflow.WorkflowExecutionError):
        actor.begin.run(str(flag), str(log))
    flag.touch()
    workflow.resume("va10")
    assert actor.state.run() == [5, "DONE"]
    assert executions(log) == {"counted": 1, "fails_without": 2}


@item("VA11", "actors call actors in methods and in constructors; each has its own id and log")
def test_VA11_actors_that_call_actors(world: World) -> None:
    actor = Indirect.get_or_create("va11", "va11-other")
    calls = actor.incr.options(num_cpus=0)
    assert [calls.run(), calls.run()] == [11, 12]
    assert workflow.get_actor("va11-other").val.run() == 12
    assert actor.incr_later.run() == 13
    assert {"va11", "va11-other"} <= set(names(workflow.list_all()))


@item(
    "VA12",
    "state: __getstate__ and __setstate__ both or neither, else ValueError at the decoration; without them the fields, "
    "which JSON has to be able to hold",
)
def test_VA12_state(world: World) -> None:
    with pytest.raises(ValueError, match=re.escape("The class does not have '__setstate__' method")):

        @workflow.virtual_actor
        class OnlyGet:
            def __getstate__(self) -> int:
                return 1

    with pytest.raises(ValueError, match=re.escape("The class does not have '__getstate__' method")):

        @workflow.virtual_actor
        class OnlySet:
            def __setstate__(self, state: int) -> None: ...

    @workflow.virtual_actor
    class Fields:
        def __init__(self) -> None:
            self.fields: Any = {"list": [1, 2]}

        def spoil(self) -> None:
            self.fields = object()

        @workflow.virtual_actor.readonly
        def get(self) -> Any:
            return self.fields

    actor = Fields.get_or_create("va12")
    ray.get(actor.ready())
    assert actor.get.run() == {"list": [1, 2]}
    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        actor.spoil.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert actor.get.run() == {"list": [1, 2]}
    json.dumps(actor.get.run())


@item(
    "VA13",
    "get_actor works in any process, as the class is stored by value; an unknown id is a KeyError of get_actor itself; "
    "ready() of one whose constructor failed raises",
)
def test_VA13_get_actor(world: World) -> None:
    @workflow.virtual_actor
    class Local:
        def __init__(self) -> None:
            self.value = 7

        @workflow.virtual_actor.readonly
        def get(self) -> int:
            return self.value

    ray.get(Local.get_or_create("va13").ready())

    @ray.remote
    def elsewhere(storage: str, namespace: str) -> tuple[int, int]:
        workflow.init(storage=storage, namespace=namespace)
        return workflow.get_actor("va13").get.options(num_cpus=0).run(), os.getpid()

    value, pid = ray.get(elsewhere.remote(world.storage, world.namespace))
    assert value == 7
    assert pid != os.getpid()
    with pytest.raises(KeyError):
        workflow.get_actor("nobody")
    trouble = world.file("va13")
    trouble.touch()
    broken = Troubled.get_or_create("va13-broken", 0, str(trouble), True)
    with pytest.raises(Exception, match=r"va13-broken|trouble"):
        ray.get(broken.ready(), timeout=30)


@item(
    "VA14",
    "direct calls are TypeErrors, unknown methods AttributeErrors, wrong arguments TypeErrors",
    ours="a handle need not be kept alive: workflow.get_actor(id).method.run() works",
)
def test_VA14_handle_errors(world: World) -> None:
    actor = Counter.get_or_create("va14", 0)
    with pytest.raises(TypeError, match="Actor methods cannot be called directly"):
        actor.incr()
    with pytest.raises(TypeError, match="cannot be instantiated directly"):
        Counter(1)
    with pytest.raises(AttributeError, match=re.escape("No method with name 'nope'")):
        _ = actor.nope
    with pytest.raises(TypeError, match="Invalid input arguments for virtual actor method 'incr'"):
        actor.incr.run(1, 2)
    assert workflow.get_actor("va14").incr.run() == 1


@item(
    "VA15", 'calls are tasks: options(name="add") three times makes add, add_1, add_2, each with its metadata and stats'
)
def test_VA15_metadata(world: World) -> None:
    actor = Counter.get_or_create("va15", 0)
    for n in range(3):
        actor.incr.options(name="add", metadata={f"k{n}": n}).run(10)
    for n, name in enumerate(("add", "add_1", "add_2")):
        found = workflow.get_metadata("va15", name)
        assert found["user_metadata"] == {f"k{n}": n}
        assert found["stats"]["end_time"] >= found["stats"]["start_time"]


@item("VA15")
def test_VA15_nested(world: World) -> None:
    actor = Nested.get_or_create("va15n")
    assert actor.incr.options(name="incr", metadata={"outer_k": "outer_v"}).run(5) == 5
    found = [workflow.get_metadata("va15n", name)["user_metadata"] for name in _incr_names()]
    assert found == [{"outer_k": "outer_v"}, *({"current_n": n} for n in range(1, 5))]


def _incr_names() -> list[str]:
    return ["incr", *(f"incr_{n}" for n in range(1, 5))]


@item("VA16", "list_all: SUCCESSFUL after the constructor, RUNNING while a writer runs")
def test_VA16_statuses(world: World) -> None:
    go = world.file("va16-go")
    actor = Counter.get_or_create("va16", 0)
    ray.get(actor.ready())
    eventually(lambda: ("va16", "SUCCESSFUL") in workflow.list_all(), "it is constructed")
    ref = actor.incr_when.run_async(str(go))
    assert ("va16", "RUNNING") in workflow.list_all()
    go.touch()
    ray.get(ref)
    eventually(lambda: ("va16", "SUCCESSFUL") in workflow.list_all(), "the writer is done")


@item(
    "VA17",
    "catch_exceptions works on a step used in a method, and on a method itself",
    ours="before, on a method it was broken: a TypeError, and the actor stuck",
)
def test_VA17_catch(world: World) -> None:
    actor = Catching.get_or_create("va17")
    error = actor.tries.run(str(world.file("never")), str(world.file("va17-log")))
    assert "ValueError" in error
    other = Troubled.get_or_create("va17m", 1, str(world.file("none")))
    value, caught = other.caught.options(catch_exceptions=True, max_retries=0).run()
    assert value is None
    assert isinstance(caught, ValueError)
    assert other.incr.run() == 2, "the actor goes on"
