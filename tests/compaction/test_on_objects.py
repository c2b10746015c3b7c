"""Compaction of a store on object storage: the same files, the same answers; what it no longer needs goes away."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest

import wfstore
from tests.compaction.stores import difference, small_plan, views
from tests.model import histories
from wfstore.index.compaction import compact
from wfstore.log import open_writer, resolve_storage, sizes, verify
from wfstore.log.manifest import read_manifest
from wfstore.objects import bucket_of


@pytest.fixture
def storages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One on object storage, one plain."""
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))
    return [resolve_storage(f"memory://{uuid.uuid4().hex}/prefix"), str(tmp_path / "plain")]


def same(store: wfstore.Store, plain: wfstore.Store) -> None:
    for name, wanted in views(plain).items():
        found = views(store)[name]
        assert found.equals(wanted), difference(name, found, wanted)


@pytest.mark.parametrize("seed", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_the_views_say_the_same_and_the_log_goes_away(storages: list[str], seed: int) -> None:
    rng = random.Random(seed)
    with small_plan(rng):
        simulation = histories.random_history(seed, 25)
        writers = [open_writer(storage) for storage in storages]
        before, plain = wfstore.open(storages[0]), wfstore.open(storages[1])
        events = [event for event in simulation.log if event.type != "workflow.deleted"]
        deleted = {event.workflow_id for event in simulation.log if event.type == "workflow.deleted"}
        events = [event for event in events if event.workflow_id not in deleted]
        for start in range(0, len(events), 40):
            for writer in writers:
                for position in range(start, min(start + 40, len(events)), 8):
                    writer.append(events[position : position + min(8, len(events) - position)])
            compact(storages[0], grace_s=0, workers=1)
            same(before, plain)
        for writer in writers:
            writer.close()
    assert read_manifest(storages[0]).next_seq == len(events) + 1
    same(wfstore.open(storages[0]), plain)
    log = [entry.name for entry in bucket_of(storages[0]).entries("log")]
    assert len(log) <= 2, "the claim, which keeps older writers out, and the newest object"
    assert sizes(storages[0])["history_bytes"] > 0
    assert all("payload" in problem.path for problem in verify(storages[0]).problems), "histories name no real ones"


def test_following_goes_on_from_history_files_into_the_log(storages: list[str]) -> None:
    simulation = histories.random_history(3, 40)
    events = [event for event in simulation.log if event.type != "workflow.deleted"]
    half = len(events) // 2
    writer = open_writer(storages[0])
    writer.append(events[:half])
    store = wfstore.open(storages[0])
    with store.follow() as early:
        first = [next(early).seq for _ in range(3)]
        compact(storages[0], grace_s=0, workers=1)
        writer.append(events[half:])
        compact(storages[0], grace_s=0, workers=1)
        rest = [next(early).seq for _ in range(len(events) - 3)]
    assert first + rest == list(range(1, len(events) + 1))
    with store.follow(since=len(events) - 1) as late:
        assert next(late).seq == len(events)
    writer.close()


def test_what_is_deleted_goes_out_of_the_objects(storages: list[str]) -> None:
    simulation = histories.random_history(11, 120)
    writer = open_writer(storages[0])
    writer.append(simulation.log)
    writer.close()
    store = wfstore.open(storages[0])
    store.retain(keep="0s", grace="0s")
    assert store.workflows(status=["SUCCESSFUL", "FAILED", "CANCELED"]).filter(~_is_actor(store)).is_empty()
    gone = store.sql(
        "SELECT count(*) FROM events WHERE workflow_id IS NOT NULL AND type <> 'workflow.deleted' "
        "AND workflow_id NOT IN (SELECT workflow_id FROM workflows)"
    ).fetchall()
    assert gone == [(0,)]


def _is_actor(store: wfstore.Store):  # type: ignore[no-untyped-def]
    import polars as pl

    actors = [row[0] for row in store.sql("SELECT actor_id FROM virtual_actors").fetchall()]
    return pl.col("workflow_id").is_in(actors)
