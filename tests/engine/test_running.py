"""Running DAGs (catalogue section 1), workflow ids (2) and task names (3)."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
import ray
from ray.dag import InputNode

from tests.engine.world import World, executions, ids
from wfstore import workflow

pytestmark = pytest.mark.ray


@ray.remote
def add(a: int, b: int) -> int:
    return a + b


@ray.remote
def factorial(n: int, product: int = 1) -> Any:
    return product if n <= 1 else workflow.continuation(factorial.bind(n - 1, product * n))


@ray.remote
def note(path: str, name: str, *after: Any) -> str:
    with open(path, "a") as file:
        file.write(name + "\n")
    return name


def test_r1_run_gives_the_value_and_run_async_returns_at_once(world: World) -> None:
    @ray.remote
    def slow() -> int:
        time.sleep(2)
        return 7

    assert workflow.run(add.bind(1, 2)) == 3
    began = time.monotonic()
    ref = workflow.run_async(slow.bind())
    assert time.monotonic() - began < 1.5
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == 7


def test_r2_graphs_of_many_shapes_give_plain_results(world: World) -> None:
    chain = add.bind(0, 1)
    for _ in range(5):
        chain = add.bind(chain, 1)
    fork = add.bind(chain, add.bind(chain, 1))
    assert workflow.run(chain) == 6
    assert workflow.run(fork) == 13
    assert workflow.run(factorial.bind(10)) == 3628800


def test_r3_a_node_runs_once_in_a_run_and_again_in_another(world: World) -> None:
    log = world.file("r3")
    shared = note.bind(str(log), "shared")
    dag = note.bind(str(log), "end", shared, [shared], shared)
    assert workflow.run(dag) == "end"
    assert executions(log) == {"shared": 1, "end": 1}
    assert workflow.run(dag) == "end"
    assert executions(log) == {"shared": 2, "end": 2}


def test_r4_inputs_of_the_graph(world: World) -> None:
    @ray.remote
    def show(*values: Any) -> list[Any]:
        return list(values)

    with InputNode() as given:
        by_place = show.bind(given[0], given[1], given.name)
    assert workflow.run(by_place, 1, 2, name="x") == [1, 2, "x"]
    with InputNode() as given:
        whole = show.bind(given)
    assert workflow.run(whole, {"k": 1}) == [{"k": 1}]


@pytest.mark.parametrize("thing", [1, "x", None, add, print])
def test_r5_not_a_dag(world: World, thing: Any) -> None:
    for call in (workflow.run, workflow.run_async):
        with pytest.raises(TypeError, match=re.escape("Input should be a DAG.")):
            call(thing, workflow_id="r5")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("r5")


def test_r6_classes_and_many_returns_are_refused(world: World) -> None:
    @ray.remote
    class Actor:
        def get(self) -> int:
            return 1

    @ray.remote(num_returns=2)
    def two() -> tuple[int, int]:
        return 1, 2

    with pytest.raises(TypeError, match="does not support classes as DAG inputs"):
        workflow.run(Actor.bind(), workflow_id="r6")
    with pytest.raises(TypeError, match="Unsupported DAG node"):
        workflow.run(add.bind(Actor.bind(), 1), workflow_id="r6")
    with pytest.raises(ValueError, match="Workflow task can only have one return"):
        workflow.run(two.bind(), workflow_id="r6")
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.get_status("r6")


def test_r7_works_off_the_main_thread(world: World) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(workflow.run(add.bind(20, 22))))
    thread.start()
    thread.join(30)
    assert found == [42]


def test_r9_many_at_once_are_all_accepted(world: World) -> None:
    @ray.remote(num_cpus=0.2)
    def layer(*values: int) -> int:
        return sum(values) + 1

    def layered() -> Any:
        nodes = [layer.bind(n) for n in range(3)]
        for _ in range(3):
            nodes = [layer.bind(*nodes) for _ in range(3)]
        return layer.bind(*nodes)

    expected = 0
    values = [n + 1 for n in range(3)]
    for _ in range(3):
        values = [sum(values) + 1] * 3
    expected = sum(values) + 1
    refs = [workflow.run_async(layered(), workflow_id=f"r9-{n}") for n in range(20)]
    refs += [workflow.run_async(factorial.bind(5)) for _ in range(20)]
    assert ray.get(refs, timeout=90) == [expected] * 20 + [120] * 20


def test_r9_running_means_accepted_not_having_a_cpu(world: World) -> None:
    flag = world.file("r9-go")

    @ray.remote
    def wait(path: str) -> int:
        import os

        while not os.path.exists(path):
            time.sleep(0.05)
        return 1

    refs = [workflow.run_async(wait.bind(str(flag)), workflow_id=f"r9b-{n}") for n in range(100)]
    running = [name for name, status in workflow.list_all("RUNNING") if name.startswith("r9b-")]
    assert len(running) == 100
    flag.touch()
    assert sum(ray.get(refs, timeout=60)) == 100


def test_r10_a_result_is_seen_only_after_the_status_is(world: World) -> None:
    @ray.remote
    def bad() -> None:
        raise ValueError("no")

    for _ in range(10):
        name = ids("r10")
        ray.get(workflow.run_async(add.bind(1, 1), workflow_id=name))
        assert workflow.get_status(name) == "SUCCESSFUL"
        assert name not in dict(workflow.list_all("RUNNING"))
        name = ids("r10")
        with pytest.raises(workflow.WorkflowExecutionError):
            ray.get(workflow.run_async(bad.bind(), workflow_id=name))
        assert workflow.get_status(name) == "FAILED"


def test_r11_ray_resources_are_honoured_and_the_manager_holds_none(world: World) -> None:
    started, go = world.file("r11-on"), world.file("r11-go")

    @ray.remote(num_cpus=2)
    def both(started: str, go: str) -> str:
        import os

        open(started, "w").close()
        while not os.path.exists(go):
            time.sleep(0.05)
        return "done"

    @ray.remote(num_cpus=1)
    def plain() -> str:
        return "plain"

    ref = workflow.run_async(both.bind(str(started), str(go)))
    while not started.exists():
        time.sleep(0.05)
    starved = plain.remote()
    assert ray.wait([starved], timeout=1.0)[0] == []
    go.touch()
    assert ray.get([ref, starved], timeout=30) == ["done", "plain"]


def test_r12_arguments_are_those_of_the_moment_of_run(world: World) -> None:
    @ray.remote
    def slow_sum(values: list[int]) -> int:
        time.sleep(0.5)
        return sum(values)

    values = [1]
    dag = slow_sum.bind(values)
    values.append(2)
    ref = workflow.run_async(dag)
    values.append(100)
    assert ray.get(ref) == 3


# -- ids -------------------------------------------------------------------------------------------------------------


def test_i1_a_fresh_id_is_a_uuid_and_a_time(world: World) -> None:
    before = set(dict(workflow.list_all()))
    workflow.run(add.bind(1, 1))
    (fresh,) = set(dict(workflow.list_all())) - before
    assert re.fullmatch(r"[0-9a-f-]{36}\.\d+\.\d{9}", fresh)


def test_i2_the_id_of_one_that_runs(world: World) -> None:
    flag = world.file("i2")

    @ray.remote
    def wait(path: str) -> int:
        import os

        while not os.path.exists(path):
            time.sleep(0.05)
        return 5

    ref = workflow.run_async(wait.bind(str(flag)), workflow_id="i2")
    text = re.escape("Workflow 'i2' is already running or pending.")
    for call in (
        lambda: workflow.run_async(add.bind(1, 1), workflow_id="i2"),
        lambda: workflow.run(add.bind(1, 1), workflow_id="i2"),
        lambda: workflow.resume_async("i2"),
        lambda: workflow.resume("i2"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
    flag.touch()
    assert ray.get(ref) == 5


def test_i3_an_id_that_has_ended_is_answered_from_the_store(world: World) -> None:
    log = world.file("i3")
    assert workflow.run(note.bind(str(log), "first"), workflow_id="i3") == "first"
    assert workflow.run(note.bind(str(log), "other"), workflow_id="i3") == "first"
    assert ray.get(workflow.run_async(note.bind(str(log), "other"), workflow_id="i3")) == "first"
    assert executions(log) == {"first": 1}


def test_i3_an_id_that_failed_resumes_its_own_graph(world: World) -> None:
    flag = world.file("i3-ok")

    @ray.remote
    def fragile(path: str) -> str:
        import os

        if not os.path.exists(path):
            raise ValueError("not yet")
        return "own"

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(flag)), workflow_id="i3f")
    flag.touch()
    assert workflow.run(add.bind(1, 1), workflow_id="i3f") == "own"


def test_i4_metadata_given_again_replaces_what_was_there(world: World) -> None:
    workflow.run(add.bind(1, 1), workflow_id="i4", metadata={"a": 1})
    workflow.run(add.bind(1, 1), workflow_id="i4", metadata={"b": 2})
    assert workflow.get_metadata("i4")["user_metadata"] == {"b": 2}


@pytest.mark.parametrize(
    "name", ["a/b/c", "../../up", "...", "a b", "ü-🙂", "%2e%2e", "x" * 1024, "-rf", "CON", "'; --"]
)
def test_i5_any_printable_id_lists_like_any_other(world: World, name: str) -> None:
    assert workflow.run(add.bind(1, 1), workflow_id=name) == 2
    assert (name, "SUCCESSFUL") in workflow.list_all()
    assert workflow.get_status(name) == "SUCCESSFUL"
    assert workflow.get_output(name) == 2
    assert sorted(path.name for path in world.folder.iterdir() if path.is_dir()) == ["store"]
    workflow.delete(name)
    assert name not in dict(workflow.list_all())


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "a\nb", "x" * 10_000, "\udc80"])
def test_bad_ids_are_refused_before_anything_is_written(world: World, name: str) -> None:
    seq = world.seq()
    with pytest.raises(ValueError, match="workflow_id"):
        workflow.run(add.bind(1, 1), workflow_id=name)
    assert world.seq() == seq


def test_i6_an_id_that_is_no_string(world: World) -> None:
    for call in (
        lambda: workflow.get_status(5),  # type: ignore[arg-type]
        lambda: workflow.cancel(5),  # type: ignore[arg-type]
        lambda: workflow.delete(5),  # type: ignore[arg-type]
        lambda: workflow.resume(5),  # type: ignore[arg-type]
        lambda: workflow.get_output(5),  # type: ignore[arg-type]
        lambda: workflow.run(add.bind(1, 1), workflow_id=5),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=re.escape("workflow_id has to be a string type.")):
            call()


# -- names -----------------------------------------------------------------------------------------------------------


def test_n1_default_names(world: World) -> None:
    @ray.remote
    def inner(n: int) -> int:
        return n

    workflow.run(inner.bind(2), workflow_id="n1")
    module = f"{__name__}."
    name = module + "test_n1_default_names.locals.inner"
    assert list(world.task_statuses("n1")) == [name]
    assert workflow.get_output("n1", task_id=name) == 2


def test_n2_the_innermost_has_the_bare_name(world: World) -> None:
    f = add.options(**workflow.options(task_id="f"))
    assert workflow.run(f.bind(f.bind(5, 5), 10), workflow_id="n2") == 20
    assert workflow.get_output("n2", task_id="f") == 10
    assert workflow.get_output("n2", task_id="f_1") == 20


def test_n3_continuations_count_on(world: World) -> None:
    assert workflow.run(factorial.options(**workflow.options(name="fact")).bind(5), workflow_id="n3") == 120
    default = f"{__name__}.factorial"
    assert set(world.task_statuses("n3")) == {"fact", default, *(f"{default}_{n}" for n in (1, 2, 3))}


def test_n4_a_resume_does_not_reset_the_counter(world: World) -> None:
    flag = world.file("n4")

    @ray.remote
    def leaf() -> int:
        return 1

    @ray.remote
    def fragile(path: str) -> Any:
        import os

        if not os.path.exists(path):
            raise ValueError("not yet")
        return workflow.continuation(leaf.options(**workflow.options(name="leaf")).bind())

    named = leaf.options(**workflow.options(name="leaf"))
    dag = add.bind(named.bind(), fragile.bind(str(flag)))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="n4")
    flag.touch()
    assert workflow.resume("n4") == 2
    assert {"leaf", "leaf_1"} < set(world.task_statuses("n4"))


def test_n5_names_that_collide_get_each_their_own_value(world: World) -> None:
    @ray.remote
    def same(value: str) -> str:
        return value

    @ray.remote
    def three(*values: str) -> tuple[str, ...]:
        return values

    def named(name: str, value: str) -> Any:
        return same.options(**workflow.options(name=name)).bind(value)

    dag = three.bind(named("f", "f0"), named("f", "f1"), named("f_1", "explicit"))
    assert workflow.run(dag, workflow_id="n5") == ("f0", "f1", "explicit")
    outputs = {name: workflow.get_output("n5", task_id=name) for name in world.task_statuses("n5") if name[0] == "f"}
    assert sorted(outputs.values()) == ["explicit", "f0", "f1"]
