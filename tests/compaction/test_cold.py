"""Which files a reader touches: those that its question needs, and no others."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

import wfstore
from tests.compaction.damage import copy, make, manifest
from tests.compaction.stores import Pair, planned
from tests.model.histories import random_history
from wfstore.errors import DamageError
from wfstore.index.compaction import compact
from wfstore.log import history, open_writer, resolve_storage
from wfstore.log.manifest import read_manifest
from wfstore.schema.history import EVENTS


def test_a_store_on_object_storage_is_read_with_nothing_of_it_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "made"))
    storage = resolve_storage(f"memory://{uuid.uuid4().hex}/prefix")
    events = random_history(3, 60).log
    with planned(range_events=20, group_events=25, fan_out=8):
        writer = open_writer(storage)
        writer.append(events)
        writer.close()
        compact(storage, grace_s=0, workers=1)
    assert len(read_manifest(storage).of("workflows")) > 1
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "fresh"))
    monkeypatch.setattr(history, "_checked", set())
    store = wfstore.open(storage)
    assert store.sql("SELECT count(*) FROM workflows").fetchall()[0][0] > 1
    fetched = [path.name for path in (tmp_path / "fresh").rglob("*.parquet")]
    assert not [name for name in fetched if name.startswith(("tasks", "attempts", "packs"))]
    assert store.sql("SELECT count(*) FROM events").fetchall() == [(len(events),)]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return copy(make(tmp_path / "stock"), tmp_path)


def test_late_views_cover_the_files_after_a_copy_was_given_away(pair: Pair) -> None:
    queries = [f"SELECT count(*) FROM {view}" for view in ("virtual_actors", "actor_calls", "time_spent")]
    plain = wfstore.open(pair.path)
    expected = [plain.sql(query).fetchall() for query in queries]
    store = wfstore.open(pair.path)
    own = store.connect()
    assert [own.sql(query).fetchall() for query in queries] == expected
    assert [store.sql(query).fetchall() for query in queries] == expected
    assert all(count > 0 for ((count,),) in expected)


def test_a_reader_that_met_damage_answers_rightly_once_it_is_gone(pair: Pair, tmp_path: Path) -> None:
    """The rows of a workflow that goes on are fetched by the query that sees it first; here that one fails."""
    store = wfstore.open(pair.path)
    store.sql("FROM workflows")
    writer = open_writer(str(pair.path))
    ids = pair.expected["workflows"]["workflow_id"].to_pylist()
    begins = manifest(pair).next_seq
    gone_on = {event.workflow_id for event in pair.events if (event.seq or 0) >= begins}
    known = next(each for each in ids if each not in gone_on)
    file = next(file for file in manifest(pair).of(EVENTS) if file.may_hold(known))
    path = pair.path / "history" / file.name
    path.rename(tmp_path / "aside")
    first = next(event for event in pair.events if event.workflow_id == known)
    writer.append([first._replace(type="workflow.metadata_set", attributes='{"metadata":{"k":"v"}}', status=None)])
    for _ in range(2):
        with pytest.raises(DamageError, match=file.name):
            store.sql("FROM workflows")
    (tmp_path / "aside").rename(path)
    query = f"SELECT workflow_id, metadata ->> '$.k' FROM workflows WHERE workflow_id = '{known}'"
    assert store.sql(query).fetchall() == [(known, "v")] == wfstore.open(pair.path).sql(query).fetchall()
    assert store.sql("SELECT count(*) FROM workflows").fetchall() == [(len(ids),)]
    writer.close()
