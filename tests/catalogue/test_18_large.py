"""Section 18: large objects and deduplication."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from tests.catalogue.drivers import launch
from tests.catalogue.items import entry, item
from tests.catalogue.tasks import add, failed
from tests.engine.world import World
from wfstore import workflow

pytestmark = pytest.mark.ray


def payloads(world: World) -> dict[str, int]:
    """Bytes of each payload file."""
    root = Path(world.storage, "payloads")
    return {path.name: path.stat().st_size for path in root.rglob("*") if path.is_file()}


def grown(world: World, before: dict[str, int], least: int = 100_000) -> list[int]:
    """Sizes of the large payloads that came."""
    return sorted(size for name, size in payloads(world).items() if name not in before and size >= least)


@item("B1", "arrays of 128 MiB go through three tasks with an object store of 150 MB, each of them kept")
@pytest.mark.slow
def test_B1_large_arrays_through_a_small_object_store(tmp_path: Path) -> None:
    program = launch("large", str(tmp_path / "store"))
    out, err = program.communicate(timeout=240)
    assert program.returncode == 0, err[-3000:]
    assert out.split()[-1] == "16777215"
    sizes = [path.stat().st_size for path in (tmp_path / "store" / "payloads").rglob("*") if path.is_file()]
    assert max(sizes) >= 2**27


@ray.remote
def total(refs: list[Any], *values: Any) -> float:
    return float(sum(value.sum() for value in [*ray.get(refs), *values]))


@item(
    "B2",
    "a reference used 21 times in a workflow is kept once",
    internal="the old suite counted uploads of its manager",
)
def test_B2_one_reference_many_times(world: World) -> None:
    before = payloads(world)
    ref = ray.put(np.arange(50_000))
    tasks = [total.bind([ref, ref], ref) for _ in range(7)]
    assert workflow.run(add.bind(*tasks)) == 21 * sum(range(50_000))
    assert len(grown(world, before)) == 1


@item(
    "B3",
    "equal content is kept once, by its hash: also in another workflow and after a resume",
    ours="one store for all workflows, where the old one kept a copy for each",
)
def test_B3_equal_content(world: World) -> None:
    flag = world.file("b3-ok")

    @ray.remote
    def first_of(value: Any, flag: str) -> int:
        if not Path(flag).exists():
            raise ValueError("not yet")
        return int(value[0])

    before = payloads(world)
    failed(first_of.bind(np.full(60_000, 7), str(flag)), "b3")
    assert len(grown(world, before)) == 1
    flag.touch()
    assert workflow.resume("b3") == 7
    assert workflow.run(first_of.bind(np.full(60_000, 7), str(flag)), workflow_id="b3-other") == 7
    assert len(grown(world, before)) == 1


class Holder:
    """A user's object that holds references."""

    def __init__(self, refs: list[Any]) -> None:
        self.refs = refs


@item("B4", "objects that hold references are kept with the references' content", internal="read the old store's files")
def test_B4_objects_that_hold_references(world: World) -> None:
    flag = world.file("b4-ok")

    @ray.remote
    def inside(holder: Holder, flag: str) -> int:
        if not Path(flag).exists():
            raise ValueError("not yet")
        return sum(ray.get(holder.refs))

    @ray.remote(num_cpus=0)
    class Owner:
        def make(self) -> list[Any]:
            return [ray.put(n) for n in range(3)]

    owner = Owner.remote()
    failed(inside.bind(Holder(ray.get(owner.make.remote())), str(flag)), "b4")
    ray.kill(owner)
    flag.touch()
    assert workflow.resume("b4") == 3


entry(
    "B5",
    "Ray Datasets flow through tasks",
    obsolete="the test used `ray.data.range_table`, which is gone; a Dataset is a value like any other",
)
