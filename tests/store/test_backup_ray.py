"""A backup of a store that a manager on Ray works on, and what becomes of it elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import wfstore
from tests.engine.world import World, local_ray
from tests.store.backups import said, up_to
from wfstore import workflow

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with local_ray():
        yield


@ray.remote
def note(folder: str, name: str, seconds: float, size: int = 0) -> str:
    with open(f"{folder}/ran", "a") as file:
        file.write(name + "\n")
    time.sleep(seconds)
    return name + "x" * size


@ray.remote
def joined(*values: str) -> int:
    return len("".join(values))


def test_live_and_restored_in_the_same_cluster(tmp_path: Path) -> None:
    """The copy of what runs does not run by itself: the original does, in this very cluster."""
    (tmp_path / "one").mkdir()
    world = World(tmp_path / "one")
    folder = str(tmp_path)
    refs = [
        workflow.run_async(
            joined.bind(note.bind(folder, f"a{n}", 0.01, 50_000), note.bind(folder, f"b{n}", 0.01)), workflow_id=f"w{n}"
        )
        for n in range(20)
    ]
    long = workflow.run_async(
        joined.bind(note.bind(folder, "first", 0), note.bind(folder, "long", 12)), workflow_id="long"
    )
    kept = tmp_path / "kept"
    backups = [wfstore.open(world.storage).backup(kept) for _ in range(3)]
    seqs = [done.seq for done in backups]
    assert seqs == sorted(seqs)
    assert said(kept).equals(up_to(world.storage, seqs[-1]))
    assert wfstore.open(kept).history("long").status == "RESUMABLE"
    assert workflow.get_status("long") == "RUNNING"

    wfstore.restore(kept, tmp_path / "two" / "store")
    other = World(tmp_path / "two")
    assert workflow.get_status("long") == "RESUMABLE"
    assert {status for _, status in workflow.list_all()} <= {"SUCCESSFUL", "RESUMABLE"}
    assert workflow.run(joined.bind(note.bind(folder, "new", 0)), workflow_id="new") == 3

    world.use()
    assert ray.get(refs) == [50_000 + 2 * len(f"a{n}") for n in range(20)]
    assert ray.get(long) == len("firstlong")
    ran = (tmp_path / "ran").read_text().split()
    assert ran.count("long") == 1 and ran.count("first") == 1, "only the original ran it"

    other.use()
    assert workflow.resume("long") == len("firstlong")
    assert (tmp_path / "ran").read_text().split().count("long") == 2, "until somebody asked"
    for each in (world, other):
        each.use()
        assert wfstore.open(each.storage).verify().ok
    assert wfstore.open(world.storage).backup(kept).seq > seqs[-1]
    other.stop()
    world.stop()
