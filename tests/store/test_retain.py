"""Retention: what goes, to the microsecond; what never goes; and that the bytes are really gone."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import wfstore
from tests.model.histories import T0
from tests.store.aged import BODY, ENDED, STATUSES, STAY, Aged, age, at_day, bytes_of, exact, fill, write
from wfstore import errors
from wfstore._retention import Retention
from wfstore.index.retention import Policy


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("aged") / "store"
    path.mkdir()
    write(fill(path))
    age(path)
    return path


@pytest.fixture(scope="module")
def untouched(template: Path) -> wfstore.Store:
    return wfstore.open(template)


@pytest.fixture
def store(template: Path, tmp_path: Path) -> wfstore.Store:
    shutil.copytree(template, tmp_path / "store", copy_function=shutil.copy2)
    return wfstore.open(tmp_path / "store")


def statuses(store: wfstore.Store) -> dict[str, str]:
    return dict(store.sql("SELECT workflow_id, status FROM workflows").fetchall())


def digest(path: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in path.rglob("*") if file.is_file()}


def test_the_store_is_what_it_is_meant_to_be(store: wfstore.Store) -> None:
    """No manager is alive: what runs reads RESUMABLE."""
    assert statuses(store) == STATUSES | {
        name: "RESUMABLE" if status != "SUCCESSFUL" else status for name, status in STAY.items() if name != "pending"
    }
    rows = store.sql("SELECT workflow_id, epoch_us(ended_at) FROM workflows").fetchall()
    ended = {name: (moment - T0) / 86_400_000_000 for name, moment in rows if name in ENDED}
    assert ended == ENDED


@pytest.mark.parametrize(
    ("spans", "plus_us", "goes"),
    [
        ({"keep": "26d"}, 0, {"done", "failed", "canceled"}),
        ({"keep": "26d"}, 1, {"done", "failed", "canceled", "again"}),
        ({"keep": "26d", "keep_failed": "28d"}, 0, {"done", "canceled"}),
        ({"keep": "26d", "keep_failed": "28d"}, 1, {"done", "failed", "canceled", "again"}),
        ({"keep_failed": "10d"}, 1, {"failed"}),
        ({"keep": "10d", "keep_failed": "365d"}, 0, {"done", "canceled", "again"}),
        ({"keep": "10d", "keep_failed": "365d"}, 1, {"done", "canceled", "again", "resumed"}),
        ({"keep": "0s"}, 0, set(ENDED) - {"late"}),
        ({"keep": "0s"}, 1, set(ENDED)),
        ({"keep": "29d"}, -1, set()),
        ({"keep": "999d"}, 0, set()),
    ],
)
def test_what_goes(
    untouched: wfstore.Store, monkeypatch: pytest.MonkeyPatch, spans: dict[str, Any], plus_us: int, goes: set[str]
) -> None:
    at_day(monkeypatch, 30, plus_us)
    said = untouched.retain(**spans, dry_run=True)
    assert said.workflows == counted(goes)
    policy = Policy.of(*map(spans.get, ("keep", "keep_failed", "payloads")))
    found = Retention(untouched.storage, untouched._index, policy, managed=lambda: False)
    assert {workflow.workflow_id for workflow in found._over()} == goes


def counted(names: set[str]) -> dict[str, int]:
    return dict(Counter(STATUSES[name] for name in names))


@pytest.mark.parametrize("plus_us", [0, 1])
def test_it_goes(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch, plus_us: int) -> None:
    at_day(monkeypatch, 30, plus_us)
    goes = {"done", "failed", "canceled", *(["again"] if plus_us else [])}
    before = statuses(store)
    said = store.retain(keep="26d", grace="0s" if plus_us else "10m")
    assert said.workflows == counted(goes)
    assert statuses(store) == {name: status for name, status in before.items() if name not in goes}
    assert store.verify().ok


def test_a_dry_run_changes_no_byte_and_says_what_the_run_does(
    store: wfstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_day(monkeypatch, 30)
    path = Path(store.storage)
    spans: dict[str, Any] = {"keep": "27d", "payloads": "1d"}
    before = digest(path)
    dry = store.retain(**spans, dry_run=True, store_policy=True)
    assert digest(path) == before
    assert dry.dry_run and dry.bytes_after == {}
    assert store.stats()["retention"] is None
    real = store.retain(**spans, grace="0s")
    assert (dry.workflows, dry.payload_workflows, dry.payload_files, dry.bytes_before) == (
        real.workflows, real.payload_workflows, real.payload_files, real.bytes_before)  # fmt: skip
    assert (real.workflows, real.payload_workflows) == ({"SUCCESSFUL": 1, "FAILED": 1}, 3)
    again = store.retain(**spans, grace="0s")
    assert (again.workflows, again.payload_workflows, again.payload_files) == ({}, 0, 0)


def test_the_bytes_are_gone_and_shared_ones_stay(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at_day(monkeypatch, 30)
    path = Path(store.storage)
    marks = [f"{kind}-{name}".encode() for kind in ("meta", "args", "out", "repr") for name in ("done", "before")]
    marks += [b"meta-failed", b"error-failed", b"trace-failed", b"small-err-failed", b"meta-canceled"]
    before = bytes_of(path)
    assert [mark for mark in marks if mark not in before] == []
    said = store.retain(keep="26d", grace="0s")
    after = bytes_of(path)
    assert [mark for mark in marks if mark in after] == []
    for mark in (b"large-shared", b"a body that all share", b"large-state-idle", b"meta-again", b"small-out-again"):
        assert mark in after, "something needs it yet"
    assert said.payload_files == 2 + 2 + 2 + 1, "large arguments and outputs of four workflows; one was canceled"
    assert said.bytes_after["payload_bytes"] < said.bytes_before["payload_bytes"]
    assert said.bytes_waiting == 0
    assert store.output("again") == "small-out-again"
    ids = {row[0] for row in store.sql("SELECT workflow_id FROM events WHERE type = 'workflow.deleted'").fetchall()}
    assert ids == {"done", "failed", "canceled", "again"}


def test_what_was_used_lately_stays_until_it_is_old(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at_day(monkeypatch, 30)
    path = Path(store.storage)
    age(path, -2)
    assert store.retain(keep="26d", dry_run=True).payload_files == 0
    assert store.retain(keep="26d", grace="0s").payload_files == 0
    assert b"large-out-done" in bytes_of(path)
    age(path, 2)
    assert store.compact(grace="0s").payload_files == 7, "also those of workflows that went before"
    assert b"large-out-done" not in bytes_of(path)


def test_values_go_and_history_stays(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at_day(monkeypatch, 30)
    path = Path(store.storage)
    before = {name: views(store, name) for name in ("workflows", "runs", "tasks", "attempts", "edges")}
    assert store.output("done") == "small-out-done"
    said = store.retain(payloads="26d", grace="0s")
    assert (said.workflows, said.payload_workflows) == ({}, 3)
    after = bytes_of(path)
    for mark in ("done", "failed"):
        for kind in ("small-args-", "large-args-", "large-out-", "small-out-", "small-err-"):
            assert f"{kind}{mark}".encode() not in after
    assert b"meta-done" in after and b"error-failed" in after
    assert {name: views(store, name) for name in before} == before
    assert store.history("done").status == "SUCCESSFUL"
    for task in (None, "first", "last"):
        with pytest.raises(errors.PayloadMissingError, match=r"done'.*retention"):
            store.output("done", task)
    assert store.output("again") == "small-out-again"
    assert store.output("resumed", "first").startswith("large-out-resumed")
    assert store.verify().ok
    assert store.retain(payloads="26d").payload_workflows == 0
    assert store.retain(payloads="1d", dry_run=True).payload_workflows == 2


def views(store: wfstore.Store, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.sql(f"SELECT * FROM {name} ORDER BY ALL").pl().to_dicts()
    return rows


def test_one_that_is_resumed_between_choosing_and_dropping_keeps_its_values(
    store: wfstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`failed` goes on while pack files are being written."""
    import importlib

    from wfstore.log import open_writer
    from wfstore.model.events import WORKFLOW_STARTED, Event

    at_day(monkeypatch, 30)
    module = importlib.import_module("wfstore.index.compaction.compact")
    done: list[int] = []
    check = module._Compaction._drop_from

    def resumed_meanwhile(self: Any, *given: Any) -> bool:
        if not done:
            done.append(1)
            writer = open_writer(store.storage)
            writer.append([Event(ts=T0, type=WORKFLOW_STARTED, workflow_id="failed", run=2, status="RUNNING")])
            writer.close()
        return bool(check(self, *given))

    monkeypatch.setattr(module._Compaction, "_drop_from", resumed_meanwhile)
    said = store.retain(payloads="26d", grace="0s")
    assert said.payload_workflows == 2
    kept = bytes_of(Path(store.storage))
    for mark in (b"small-args-failed", b"large-args-failed", b"large-out-failed"):
        assert mark in kept
    assert b"small-args-done" not in kept and b"large-out-done" not in kept


def test_one_that_is_resumed_between_choosing_and_deleting_stays(
    store: wfstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wfstore.log import open_writer
    from wfstore.model.events import WORKFLOW_STARTED, Event

    at_day(monkeypatch, 30)

    def opened(storage: str) -> Any:
        writer = open_writer(storage)
        writer.append([Event(ts=T0, type=WORKFLOW_STARTED, workflow_id="failed", run=2, status="RUNNING")])
        writer.close()
        return open_writer(storage)

    monkeypatch.setattr(wfstore._retention, "open_writer", opened)
    told: list[tuple[str, int, int]] = []
    said = store.retain(keep="26d", grace="0s", progress=lambda *step: told.append(step))
    assert said.workflows == {"SUCCESSFUL": 1, "CANCELED": 1}
    assert statuses(store)["failed"] == "RESUMABLE"
    assert ("deleting", 2, 2) in told and all(0 <= done <= total for _, done, total in told)


def test_an_open_workflow_is_as_recoverable_after_it_as_before(
    store: wfstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention is no manager: the next one finds the session of the last, and what that left open."""
    from wfstore.log import open_reader
    from wfstore.model.apply import replay

    at_day(monkeypatch, 30)
    store.retain(keep="26d", grace="10m")
    types = [event.type for event in open_reader(store.storage).events()]
    assert "manager.started" not in types
    state = replay(open_reader(store.storage).events())
    assert state.workflows["running"].status == "RUNNING" and state.workflows["running"].open_attempts
    deleted = [e for e in open_reader(store.storage).events() if e.type == "workflow.deleted" and e.by == "retain"]
    assert {e.workflow_id for e in deleted} == {"done", "failed", "canceled"}


def test_run_numbers_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under an id whose last workflow was canceled before it began."""
    from wfstore.model.commands import Cancel, Delete
    from wfstore.model.events import CONFIG_SET, Event

    world = Aged(tmp_path)
    world.begin("w")
    world.close("w", 1)
    world.do(Delete("w", "r"))
    world.simulation.append(
        Event(ts=T0, type=CONFIG_SET, attributes='{"max_running_workflows":1,"max_pending_workflows":9}')
    )
    world.begin("blocks")
    world.begin("w", mark="second")
    world.now(2)
    world.do(Cancel("w"))
    exact(world, {"w": 2})
    store = write(world)
    at_day(monkeypatch, 9)
    assert store.retain(keep="1d", grace="0s").workflows == {"CANCELED": 1}
    found = store.sql("SELECT run, \"by\" FROM events WHERE type = 'workflow.deleted' ORDER BY seq").fetchall()
    assert found[-1] == (1, "retain"), "the run before"
    assert statuses(store) == {"blocks": "RESUMABLE"}


def test_delete_then_compact_then_submit_again(tmp_path: Path) -> None:
    from wfstore.model.commands import Delete

    world = Aged(tmp_path)
    world.begin("w")
    world.close("w", 1)
    world.do(Delete("w", "r"))
    store = write(world)
    age(tmp_path)
    assert store.compact(grace="0s").payload_files == 3, "arguments, output and body"
    kept = bytes_of(tmp_path)
    for mark in (b"meta-w", b"args-w", b"out-w", b"repr-w"):
        assert mark not in kept
    assert b"workflow.deleted" in kept
    with pytest.raises(errors.WorkflowNotFoundError):
        store.history("w")
    before = len(world.simulation.log)
    world.payloads.put_file(BODY)
    world.begin("w", mark="anew")
    world.close("w", 2, mark="anew")
    from wfstore.log import open_writer

    writer = open_writer(str(tmp_path))
    writer.append(world.simulation.log[before:])
    writer.close()
    store.compact(grace="0s")
    assert store.output("w") == "small-out-anew"
    assert store.history("w").runs["run"].to_list() == [2], "run numbers go on"
    kept = bytes_of(tmp_path)
    assert b"meta-anew" in kept and b"meta-w" not in kept


def test_a_policy_is_kept_with_the_store(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at_day(monkeypatch, 30)
    with pytest.raises(ValueError, match="no policy"):
        store.retain()
    with pytest.raises(ValueError, match="needs a span"):
        store.retain(store_policy=True)
    assert store.stats()["retention"] is None
    said = store.retain(keep="28d", keep_failed="365d", payloads="365d", store_policy=True, grace="0s")
    assert said.workflows == {"SUCCESSFUL": 1}
    policy = {"keep_s": 28 * 86400.0, "keep_failed_s": 365 * 86400.0, "payloads_s": 365 * 86400.0}
    assert store.stats()["retention"] == said.policy == policy
    with pytest.raises(ValueError, match="needs a span"):
        store.retain(store_policy=True)
    assert store.retain(dry_run=True, keep="1d", store_policy=True).workflows
    assert store.stats()["retention"] == policy
    store.compact(grace="0s")
    at_day(monkeypatch, 32)
    assert wfstore.open(store.storage).retain(grace="0s").workflows == {"CANCELED": 1}
    assert store.retain(keep="1d", dry_run=True).workflows["SUCCESSFUL"] == 2, "said spans count instead"
    store.retain(keep_failed="364d", store_policy=True)
    assert store.stats()["retention"] == {"keep_s": None, "keep_failed_s": 364 * 86400.0, "payloads_s": None}
    assert store.verify().ok


def test_a_policy_for_a_store_that_was_never_compacted(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at_day(monkeypatch, 0)
    store.retain(keep="90d", store_policy=True)
    assert store.stats()["retention"]["keep_s"] == 90 * 86400
    assert store.verify().ok and len(statuses(store)) == 10


@pytest.mark.parametrize("span", ["soon", "-1d", "", "1y", "999999999d", "1e9d", "nan", timedelta(-1), timedelta.max])
def test_bad_spans(untouched: wfstore.Store, span: str | timedelta) -> None:
    for name in ("keep", "keep_failed", "payloads", "grace"):
        spans: dict[str, Any] = {"keep": "1d", name: span}
        with pytest.raises(ValueError):
            untouched.retain(**spans)


def test_somebody_else_who_has_just_begun_to_write(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager that reads what there is has no lease yet; its log is not taken away from it."""
    from wfstore.log import open_writer

    at_day(monkeypatch, 30)
    writer = open_writer(store.storage)
    with pytest.raises(errors.StorageError, match="begun to write"):
        store.retain(keep="26d")
    store.compact()
    writer.append([])
    writer.close()
    assert store.retain(keep="26d").workflows


def test_sizes_say_what_waits_for_the_grace(store: wfstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    at_day(monkeypatch, 30)
    store.compact(grace="0s")
    said = store.retain(keep="0s", grace="10m")
    assert 0 < said.bytes_waiting < sum(said.bytes_after.values())
    left = store.retain(keep="0s", grace="0s")
    assert left.bytes_waiting == 0
    total = sum(size for name, size in said.bytes_after.items() if name != "files")
    assert sum(size for name, size in left.bytes_after.items() if name != "files") < total
