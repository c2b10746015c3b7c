"""`Store`: lists and filters, outputs, reports, figures, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

import wfstore
from tests.store.conftest import LARGE
from wfstore import _store, errors
from wfstore.index import ordering
from wfstore.log import open_writer
from wfstore.model.statuses import WorkflowStatus

IDS = ["good", "plain", "continued", "large", "failed", "caught", "unkept", "canceled", "open"]


def ids(frame: pl.DataFrame) -> list[str]:
    return frame["workflow_id"].to_list()


def test_workflows_come_newest_first_and_all_of_them(store: wfstore.Store) -> None:
    assert ids(store.workflows()) == IDS[::-1]
    assert ids(store.workflows(limit=2)) == ["open", "canceled"]
    assert ids(store.workflows(limit=0)) == []


@pytest.mark.parametrize("events", [1, 5, 20, 60])
def test_the_newest_are_the_same_however_few_events_they_are_looked_for_in(
    store: wfstore.Store, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    everything = {name: getattr(store, name)() for name in ("workflows", "attempts", "events")}
    failed = store.workflows(status="FAILED")
    monkeypatch.setattr(ordering, "_LEAST_EVENTS", events)
    monkeypatch.setattr(ordering, "_EVENTS_EACH", 1)
    for name, rows in everything.items():
        for limit in (1, 3, 8, 1000):
            assert getattr(store, name)(limit=limit).equals(rows.head(limit))
    assert store.workflows(limit=2, offset=3).equals(everything["workflows"].slice(3, 2))
    assert store.workflows(limit=1, status="FAILED").equals(failed)
    assert ids(store.workflows(limit=2, order_by="submitted_seq")) == IDS[:2]


def test_filters_of_status_name_and_metadata(store: wfstore.Store) -> None:
    assert ids(store.workflows(status="FAILED")) == ["failed"]
    assert ids(store.workflows(status={"CANCELED", WorkflowStatus.RESUMABLE})) == ["open", "canceled"]
    assert ids(store.workflows(name="shop")) == ["good"]
    assert ids(store.workflows(metadata={"team": "web"})) == ["plain"]
    assert ids(store.workflows(metadata={"team": "data", "n": [1, {"a": "é"}]})) == ["good"]
    assert ids(store.workflows(metadata={"team": "none"})) == []
    assert ids(store.workflows(metadata={})) == IDS[::-1]


def test_filters_of_time(store: wfstore.Store) -> None:
    moment = store.workflows(name="shop")["submitted_at"][0]
    assert ids(store.workflows(until=moment)) == []
    assert ids(store.workflows(since=moment)) == IDS[::-1]
    assert ids(store.workflows(until=moment + timedelta(microseconds=1))) == ["good"]
    there = (moment + timedelta(microseconds=1)).replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))
    assert ids(store.workflows(until=there)) == ["good"]
    assert ids(store.workflows(until=there.isoformat())) == ["good"]
    assert ids(store.workflows(since="7d")) == ids(store.workflows(since=timedelta(days=7))) == []
    assert ids(store.workflows(since=datetime(2020, 1, 1), until="7d")) == IDS[::-1]


def test_orders(store: wfstore.Store) -> None:
    assert ids(store.workflows(order_by="workflow_id")) == sorted(IDS)
    assert ids(store.workflows(order_by="-workflow_id", limit=1)) == ["unkept"]
    assert ids(store.workflows(order_by="tasks desc", limit=2)) == ["continued", "good"]
    assert ids(store.workflows(order_by=["-tasks", "workflow_id"]))[-1] == "unkept"


def test_tasks_attempts_and_events(store: wfstore.Store) -> None:
    assert store.tasks("good")["task_id"].to_list() == ["total", "map_1", "map", "list"]
    assert ids(store.tasks(status="FAILED")) == ["failed"]
    assert set(ids(store.tasks(name="map"))) == {"good"}
    assert store.attempts("good", name="map")["task_id"].to_list() == ["map_1", "map"]
    assert ids(store.attempts(status="FAILED")) == ["caught", "failed"]
    assert set(ids(store.attempts(metadata={}))) == set(IDS)
    events = store.events("good")
    assert events["seq"].to_list() == sorted(events["seq"].to_list(), reverse=True)
    assert set(ids(store.events(metadata={"team": "web"}))) == {"plain"}
    assert ids(store.events(type="workflow.failed")) == ["failed"]
    assert store.events(order_by="seq", limit=1)["type"].to_list() == ["workflow.submitted"]


@pytest.mark.parametrize(
    "given",
    [{"status": "DONE"}, {"status": ["FAILED", "x"]}, {"order_by": "nope"}, {"order_by": "name; DROP"}, {"limit": -1},
     {"limit": 1.5}, {"since": "yesterday"}, {"metadata": {"a": object()}}, {"metadata": "a"}],
)  # fmt: skip
def test_what_there_is_not_is_a_value_error(store: wfstore.Store, given: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        store.workflows(**given)  # type: ignore[arg-type]


def test_outputs(store: wfstore.Store) -> None:
    assert store.output("plain") == 41
    assert store.output("good", "list") == ["x", "y"]
    assert store.output("failed", "a") == 1
    assert store.output("caught") == store.output("caught", "a") == (None, "caught it")


def test_an_output_follows_continuations(store: wfstore.Store) -> None:
    assert store.output("continued", "a") == store.output("continued", "y") == "the end"
    assert store.output("continued") == "all"


def test_a_large_output_comes_from_its_file(store: wfstore.Store) -> None:
    assert store.output("large") == LARGE


def test_an_output_that_there_is_not(store: wfstore.Store) -> None:
    with pytest.raises(errors.WorkflowNotFoundError, match="nope"):
        store.output("nope")
    with pytest.raises(errors.TaskNotFoundError, match="nope"):
        store.output("good", "nope")
    with pytest.raises(errors.NotCheckpointedError, match="was not kept"):
        store.output("unkept")
    with pytest.raises(errors.WorkflowExecutionError, match="ValueError: bad"):
        store.output("failed")
    with pytest.raises(errors.WorkflowExecutionError):
        store.output("failed", "b")
    with pytest.raises(errors.WorkflowCancellationError):
        store.output("canceled")
    with pytest.raises(errors.WorkflowError, match="no output yet: it is RESUMABLE"):
        store.output("open")


def test_reports(store: wfstore.Store) -> None:
    assert {"failures", "output_sizes", "slowest_tasks", "task_durations", "throughput"} <= set(store.reports()["name"])
    assert store.report("slowest_tasks", limit=3).height == 3
    assert store.report("slowest_tasks", workflow="shop")["workflow_name"].unique().to_list() == ["shop"]
    assert store.report("throughput", bucket="1d")["attempts"].sum() == store.report("throughput")["attempts"].sum()
    assert store.report("failures", since="1h").is_empty()
    durations = store.report("task_durations", workflow="shop")
    assert set(durations["task_name"]) == {"list", "map", "total"}


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [("nope", {}, "slowest_tasks"), ("slowest_tasks", {"nope": 1}, "limit"),
     ("slowest_tasks", {"limit": "x"}, "BIGINT"), ("slowest_tasks", {"limit": -1}, "BIGINT"),
     ("throughput", {"bucket": "0s"}, "INTERVAL"),
     ("throughput", {"bucket": "soon"}, "INTERVAL"), ("failures", {"since": "soon"}, "TIMESTAMP"),
     ("failures", {"workflow": 5}, "VARCHAR")],
)  # fmt: skip
def test_a_wrong_report_or_parameter_says_what_there_is(
    store: wfstore.Store, name: str, params: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        store.report(name, **params)


def test_stats_and_verify(store: wfstore.Store) -> None:
    stats = store.stats()
    assert (stats["workflows"], stats["tasks"]) == (9, 17)
    assert stats["payload_bytes"] > len(LARGE)
    assert stats["log_bytes"] > 0
    assert stats["bytes_per_event"] == stats["log_bytes"] / stats["events"]
    assert stats["oldest"] <= stats["newest"]
    assert store.verify().ok


def test_module_functions(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wfstore.sql("SELECT count(*) FROM workflows", storage=storage).fetchall() == [(9,)]
    assert wfstore.history("good", storage=storage).status == "SUCCESSFUL"
    monkeypatch.setenv("WFSTORE_STORAGE", storage)
    assert wfstore.sql("SELECT $a", {"a": 1}).fetchall() == [(1,)]


def test_a_store_sees_what_is_written_after_it_was_opened(tmp_path: Path) -> None:
    from tests.index.worlds import World, fan

    world = World()
    world.submit("w", fan(2))
    writer = open_writer(str(tmp_path))
    store = wfstore.open(tmp_path)
    assert store.workflows().is_empty()
    writer.append(world.simulation.log)
    assert ids(store.workflows()) == ["w"]
    writer.close()


def test_no_store_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageNotFoundError):
        wfstore.open(tmp_path / "nothing")


def test_live(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        return [{"workflow_id": "w", "as_of_seq": 1}], []

    monkeypatch.setattr(_store, "_live_source", lambda storage, live: None if live is False else rows)
    count = "SELECT count(*) FROM live_workflows"
    for live in (None, True):
        assert wfstore.open(storage, live=live).sql(count).fetchall() == [(1,)]
    assert wfstore.open(storage, live=False).sql(count).fetchall() == [(0,)]
    assert wfstore.open(storage).connect().sql(count).fetchall() == [(1,)]
