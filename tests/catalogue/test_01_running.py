"""Section 1: running."""

from __future__ import annotations

import random
import re
import threading
import time
from typing import Any

import pytest
import ray
from ray.dag import InputNode
from ray.exceptions import GetTimeoutError

from tests.catalogue.drivers import launch as run_catalogue
from tests.catalogue.items import item
from tests.catalogue.tasks import add, factorial, go_on, hold, identity, noted, one, started
from tests.engine.conftest import MakeWorld
from tests.engine.drivers import launch
from tests.engine.test_lifetime import address, short_tmp  # noqa: F401 (short_tmp is a fixture)
from tests.engine.world import World, eventually, executions, ids
from wfstore import workflow

pytestmark = pytest.mark.ray


@item("R1", "run gives the value; run_async gives an ObjectRef at once")
def test_R1_run_and_run_async(world: World) -> None:
    assert workflow.run(add.bind(1, 2)) == 3
    began = time.monotonic()
    ref = workflow.run_async(hold.bind(str(world.folder), "r1", 7))
    assert time.monotonic() - began < 1.5
    assert isinstance(ref, ray.ObjectRef)
    with pytest.raises(GetTimeoutError):
        ray.get(ref, timeout=0.3)
    go_on(world, "r1")
    assert ray.get(ref) == 7


@item("R2", "sequences, loops, fork and join, nesting and recursion give plain results")
def test_R2_shapes(world: World) -> None:
    loop: Any = 0
    for n in range(10):
        loop = add.bind(loop, n)
    assert workflow.run(loop) == 45
    assert workflow.run(add.bind(*[add.bind(n, n) for n in range(5)])) == 20
    assert workflow.run(factorial.bind(10)) == 3628800


@item("R3", "a node used several times in a DAG runs once per run; the same DAG under a fresh id runs again")
def test_R3_a_node_is_one_task(world: World) -> None:
    log = world.file("r3")
    shared = noted.bind(str(log), "shared", 1)
    dag = noted.bind(str(log), "end", 2, shared, [shared, {"k": shared}], shared)
    for times in (1, 2):
        assert workflow.run(dag) == 2
        assert executions(log) == {"shared": times, "end": times}


@item("R3")
def test_R3_equal_calls_are_two_nodes(world: World) -> None:
    log = world.file("r3e")
    assert workflow.run(add.bind(noted.bind(str(log), "same", 1), noted.bind(str(log), "same", 1))) == 2
    assert executions(log) == {"same": 2}


@item("R4", "InputNode: whole, by position, by attribute and keyword; the values come from run()")
def test_R4_inputs(world: World) -> None:
    @ray.remote
    def show(*values: Any) -> list[Any]:
        return list(values)

    with InputNode() as given:
        whole = show.bind(given, [1])
    assert workflow.run(whole, {"k": 1}) == [{"k": 1}, [1]]
    with InputNode() as given:
        parts = show.bind(given[0], given[1], given.name)
    assert workflow.run(parts, 1, 2, name="x") == [1, 2, "x"]
    assert workflow.run(parts, 3, 4, name="y") == [3, 4, "y"], "the same DAG with other inputs"


@item("R5", 'what is no DAG: TypeError "Input should be a DAG." from the call itself')
@pytest.mark.parametrize("call", [workflow.run, workflow.run_async])
def test_R5_no_dag(world: World, call: Any) -> None:
    for thing in (1, None, "x", one, lambda: 1):
        with pytest.raises(TypeError, match=re.escape("Input should be a DAG.")):
            call(thing)


@item("R6", "class nodes and num_returns > 1 are refused with the old texts")
def test_R6_what_cannot_be_a_task(world: World) -> None:
    @ray.remote
    class Actor:
        def method(self) -> int:
            return 1

    @ray.remote(num_returns=2)
    def two() -> tuple[int, int]:
        return 1, 2

    with pytest.raises(TypeError, match=re.escape("Currently workflow does not support classes as DAG inputs.")):
        workflow.run(Actor.bind())
    with pytest.raises(TypeError, match=re.escape("Currently workflow does not support classes as DAG inputs.")):
        workflow.run(Actor.bind().method.bind())
    with pytest.raises(TypeError, match="Unsupported DAG node: "):
        workflow.run(identity.bind(Actor.bind()), workflow_id="r6")
    with pytest.raises(ValueError, match=re.escape("Workflow task can only have one return.")):
        workflow.run(two.bind(), workflow_id="r6")
    assert "r6" not in dict(workflow.list_all())


@item("R7", "works off the main thread")
def test_R7_threads(world: World) -> None:
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(workflow.run(identity.bind(n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [0, 1, 2, 3]


@item("R8", "without any init, run and list_all start Ray and use the default storage")
@pytest.mark.slow
@pytest.mark.parametrize(("call", "answer"), [("list", "[]"), ("run", "1")])
def test_R8_no_init(short_tmp: str, call: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    for name in ("RAY_ADDRESS", "WFSTORE_STORAGE", "RAY_WORKFLOW_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    program = launch("no_init", call, env={"TMPDIR": short_tmp})
    out, err = program.communicate(timeout=120)
    assert program.returncode == 0, err
    said, warned = out.strip().splitlines()[-2:]
    assert said == answer
    assert f"{short_tmp}/ray/workflow_data" in warned


def _random_dag(chance: random.Random) -> tuple[Any, int]:
    """A DAG of 12 sums, and the value they come to."""
    nodes: list[tuple[Any, int]] = [(n, n) for n in range(3)]
    for _ in range(12):
        picked = [chance.choice(nodes) for _ in range(chance.randint(1, 3))]
        nodes.append((add.options(num_cpus=0.1).bind(*[node for node, _ in picked]), sum(v for _, v in picked)))
    return nodes[-1]


@item("R9", "40 workflows at once give what plain Ray gives; 100 at once are all RUNNING, whatever the CPUs")
def test_R9_load(world: World) -> None:
    chance = random.Random(9)
    made = [_random_dag(chance) for _ in range(38)] + [(factorial.bind(8), 40320), (factorial.bind(5), 120)]
    refs = [workflow.run_async(dag) for dag, _ in made]
    assert ray.get(refs, timeout=120) == [value for _, value in made]


@item("R9")
def test_R9_a_hundred_are_running_on_two_cpus(make_world: MakeWorld) -> None:
    world = make_world()
    folder = str(world.folder)
    refs = [workflow.run_async(hold.bind(folder, "r9", n), workflow_id=f"r9-{n}") for n in range(100)]
    assert len(workflow.list_all("RUNNING")) == 100
    go_on(world, "r9")
    assert ray.get(refs, timeout=120) == list(range(100))


@item("R10", "once the result is visible the status is terminal, everywhere, and the queue slot is free")
def test_R10_bookkeeping_is_done(make_world: MakeWorld) -> None:
    make_world(max_running_workflows=1, max_pending_workflows=0)
    for n in range(20):
        name = f"r10-{n}"
        ref = workflow.run_async(identity.bind(n), workflow_id=name)  # queue.Full here: the slot was not free
        ray.get(ref)
        assert workflow.get_status(name) == "SUCCESSFUL"
        assert workflow.list_all("RUNNING") == []


@item("R11", "Ray's resource options hold exactly, and the engine's own processes hold no CPU")
def test_R11_resources(world: World) -> None:
    eventually(lambda: ray.available_resources().get("CPU") == 2, "nothing holds a CPU")
    ref = workflow.run_async(hold.options(num_cpus=2).bind(str(world.folder), "r11", 1))
    started(world, "r11")
    plain = one.options(num_cpus=1).remote()
    assert ray.wait([plain], timeout=1)[0] == [], "both CPUs are taken"
    go_on(world, "r11")
    assert ray.get([ref, plain], timeout=30) == [1, 1]


@item("R11")
def test_R11_runtime_env_of_a_task(world: World) -> None:
    @ray.remote
    def read() -> str | None:
        import os

        return os.environ.get("CATALOGUE_R11")

    env = {"env_vars": {"CATALOGUE_R11": "here"}}
    assert workflow.run(read.options(runtime_env=env).bind()) == "here"
    assert workflow.run(read.bind()) is None


@item("R11")
@pytest.mark.slow
def test_R11_the_submitters_runtime_env(world: World) -> None:
    """As of a plain Ray task: the job's variables and the task's own, none of the driver's that started the manager."""
    space = ids("env")
    for name in ("starter", "other"):
        driver = run_catalogue("env", str(world.folder / "env-store"), space, name, **address())
        out, err = driver.communicate(timeout=120)
        assert driver.returncode == 0, err
        plain, added, rays_plain, rays_added = out.splitlines()[-4:]
        assert plain == rays_plain == f"CATALOGUE_{name}"
        assert added == rays_added == " ".join(sorted([f"CATALOGUE_{name}", "CATALOGUE_own"]))
    ray.kill(ray.get_actor("WorkflowManagementActor", space))


@item("R12", "arguments are what they are when run() is called: not when bound, and later changes do not count")
def test_R12_arguments_are_snapshots(world: World) -> None:
    value = [1]
    dag = hold.bind(str(world.folder), "r12", value)
    value.append(2)
    ref = workflow.run_async(dag, workflow_id=ids())
    value.append(3)
    go_on(world, "r12")
    assert ray.get(ref) == [1, 2]
