"""`Store.as_of`: small histories of which every moment is known."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import wfstore
from tests.index.worlds import World, dag, spec
from tests.reports.stories import Story, store_of
from tests.reports.stories import at as at_second
from wfstore import errors
from wfstore._asof import place
from wfstore.index import tail
from wfstore.log import now_us, open_writer
from wfstore.model import events as ev
from wfstore.model.commands import Delete
from wfstore.model.events import Event

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> World:
    """one: a, then b; it ends. two: a. Then one is deleted, and submitted anew."""
    world = World()
    world.submit("one", dag(spec("a"), spec("b", 0)))
    world.end("a")
    world.end("b")
    world.submit("two", dag(spec("a")))
    world.do(Delete("one", "r1"))
    world.submit("one", dag(spec("c")))
    return world


@pytest.fixture(scope="module")
def plain(world: World, tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    path = tmp_path_factory.mktemp("as_of") / "store"
    write(path, world.simulation.log)
    return wfstore.open(path)


@pytest.fixture
def compacted(plain: wfstore.Store, tmp_path: Path) -> wfstore.Store:
    path = tmp_path / "compacted"
    shutil.copytree(plain.storage, path)
    wfstore.open(path).compact(grace="0s")
    return wfstore.open(path)


def write(path: Path, events: list[Event]) -> None:
    writer = open_writer(str(path))
    writer.append(events)
    writer.close()


def seq_of(world: World, type_: str, workflow_id: str = "one", nth: int = 0) -> int:
    found = [event.seq for event in world.simulation.log if (event.type, event.workflow_id) == (type_, workflow_id)]
    return found[nth] or 0


def statuses(store: wfstore.Store) -> dict[str, str]:
    return dict(store.sql("SELECT workflow_id, status FROM workflows").fetchall())


def test_everything_stands_as_it_stood(world: World, plain: wfstore.Store) -> None:
    seq = seq_of(world, ev.ATTEMPT_SUCCEEDED)
    past = plain.as_of(seq)
    assert (past.seq, past.gone) == (seq, 0)
    assert past.workflows().select("workflow_id", "status", "tasks_done").rows() == [("one", "RUNNING", 1)]
    assert dict(past.tasks("one").select("task_id", "status").iter_rows()) == {"a": "SUCCESSFUL", "b": "PENDING"}
    assert past.tasks(status="PENDING")["task_id"].to_list() == ["b"]
    assert past.attempts().select("task_id", "status").rows() == [("a", "SUCCESSFUL")]
    assert past.events(limit=1)["seq"].to_list() == [seq]
    assert past.report("overview").height
    history = past.history("one")
    assert (history.status, history.events["seq"].max()) == ("RUNNING", seq)
    assert history.edges.select("upstream_task_id", "task_id").rows() == [("a", "b")]
    with pytest.raises(errors.WorkflowNotFoundError, match=f"no workflow 'two' as of seq {seq}"):
        past.history("two")
    with pytest.raises(errors.WorkflowError, match="no output yet"):
        past.output("one")
    assert past.connect().execute("SELECT count(*) FROM events").fetchone() == (seq,)


def test_before_and_after_a_deletion(world: World, plain: wfstore.Store) -> None:
    gone = seq_of(world, ev.WORKFLOW_DELETED)
    assert statuses(plain.as_of(gone - 1)) == {"one": "SUCCESSFUL", "two": "RUNNING"}
    assert statuses(plain.as_of(gone)) == {"two": "RUNNING"}
    assert statuses(plain.as_of(gone + 1)).keys() == {"one", "two"}
    assert plain.as_of(gone - 1).history("one").tasks["task_id"].to_list() == ["a", "b"]


def test_what_was_deleted_and_compacted_is_said_to_be_gone(world: World, compacted: wfstore.Store) -> None:
    gone = seq_of(world, ev.WORKFLOW_DELETED)
    past = compacted.as_of(gone - 1)
    assert statuses(past) == {"two": "RUNNING"}
    assert past.gone == 1
    with pytest.raises(
        errors.WorkflowNotFoundError, match=rf"deleted since \(seq {gone}\); what it was .* no longer kept"
    ):
        past.history("one")
    assert compacted.as_of(gone).gone == 0
    assert statuses(compacted.as_of(gone + 1)).keys() == {"one", "two"}


def test_it_stays_as_it_was_while_the_log_goes_on(world: World, compacted: wfstore.Store) -> None:
    last = len(world.simulation.log)
    past, said = compacted.as_of(last), statuses(compacted.as_of(last))
    write(Path(compacted.storage), [Event(ts=1, type=ev.WORKFLOW_CANCELED, workflow_id="two", status="CANCELED")])
    assert statuses(compacted)["two"] == "CANCELED"
    assert statuses(past) == said
    compacted.compact(grace="0s")
    assert statuses(past) == said == statuses(compacted.as_of(last))
    assert past.as_of(3).seq == 3
    with pytest.raises(ValueError, match="in the future"):
        past.as_of(last + 1)


def at(*minutes: int) -> list[Event]:
    """An event at each of these minutes after noon."""
    return [
        Event(ts=round((NOON + timedelta(minutes=minute)).timestamp() * 1e6), type=ev.MANAGER_STARTED)
        for minute in minutes
    ]


@pytest.mark.parametrize(
    ("minute", "seq"), [(0, 1), (9, 1), (10, 2), (14, 2), (15, 4), (22, 4), (25, 5), (30, 5), (40, 6), (999, 6)]
)
def test_a_moment_is_the_last_event_that_says_so(clock: wfstore.Store, minute: int, seq: int) -> None:
    """At 30 past the clock was set back to 15: what it showed twice means the second time."""
    moment = NOON + timedelta(minutes=minute)
    assert place(clock, moment) == (seq, moment.replace(tzinfo=None))


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    path = tmp_path_factory.mktemp("clock") / "store"
    write(path, at(0, 10, 30, 15, 25, 40))
    return wfstore.open(path)


def test_ways_to_say_when(clock: wfstore.Store) -> None:
    assert place(clock, "2024-05-17T12:10:00")[0] == 2
    assert place(clock, "1s")[0] == place(clock, timedelta(0))[0] == 6
    assert place(clock, "3") == place(clock, 3) == (3, None)
    with pytest.raises(TypeError, match="not True"):
        place(clock, True)
    assert clock.as_of(3).at == datetime(2024, 5, 17, 12, 30)
    assert clock.as_of("2024-05-17T13:10").at == datetime(2024, 5, 17, 13, 10)
    with pytest.raises(TypeError, match="not None"):
        clock.as_of(None)  # type: ignore[arg-type]


def test_ages_count_back_from_then(tmp_path: Path) -> None:
    """Of lists and reports; and what was stuck is asked at that moment, months ago."""
    story = Story()
    for number in range(6):
        story.now(100 * number)
        story.submit(f"past{number}", dag(spec("work")))
        story.ok(f"past{number}", "work", 100 * number + 1, 100 * number + 11)
    story.now(1000)
    story.submit("slow", dag(spec("work")))
    story.begins("slow", "work", 1001)
    store = store_of(story, tmp_path / "store")
    then = store.as_of(at_second(1010))
    assert then.at is not None
    assert store.workflows(since="11m").is_empty() and store.report("slowest_tasks", since="11m").is_empty()
    assert set(then.workflows(since="11m")["workflow_id"]) == {"past4", "past5", "slow"}
    assert then.report("slowest_tasks", since="11m")["workflow_id"].is_in(["past4", "past5"]).all()
    assert then.cost(since="11m")["attempts"].sum() == 2
    assert then.report("stuck").is_empty()
    assert then.report("stuck", at=then.at + timedelta(seconds=60))["running_s"].to_list() == [69.0]
    assert then.regressions("11m").is_empty()
    with pytest.raises(ValueError, match="in the future"):
        then.regressions(then.at + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (7, "seq 7 is in the future: the events of this store are 1 to 6"),
        (0, "seq 0 is before the beginning: the events of this store are 1 to 6"),
        ("2024-05-17T11:59", "11:59:00 UTC is before the beginning: the first event is of 2024-05-17 12:00:00 UTC"),
        ("9999-01-01", "9999-01-01 00:00:00 UTC is in the future"),
        ("soon", "'soon' is neither ISO 8601 nor a span of time"),
    ],
)
def test_when_there_was_nothing(clock: wfstore.Store, when: str | int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clock.as_of(when)


def test_nothing_has_no_past(tmp_path: Path) -> None:
    open_writer(str(tmp_path / "store")).close()
    with pytest.raises(ValueError, match="there is no event yet"):
        wfstore.open(tmp_path / "store").as_of("1h")


def test_open_workflows_run_unless_the_log_says_otherwise(tmp_path: Path) -> None:
    world = World()
    world.submit("one", dag(spec("a")))
    events = [Event(ts=1, type=ev.MANAGER_STARTED), *world.simulation.log]
    stopped = len(events) + 1
    interrupted = Event(ts=4, type=ev.WORKFLOW_INTERRUPTED, workflow_id="one", run=1, status="RESUMABLE")
    more = [Event(ts=2, type=ev.MANAGER_STOPPED), Event(ts=3, type=ev.MANAGER_STARTED), interrupted]
    write(tmp_path / "store", [*events, *more])
    store = wfstore.open(tmp_path / "store")
    seen = [statuses(store.as_of(seq))["one"] for seq in range(stopped - 1, stopped + 3)]
    assert seen == ["RUNNING", "RESUMABLE", "RUNNING", "RESUMABLE"]


def test_what_ran_then_runs_however_long_one_looks(
    world: World, plain: wfstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that stands still for a day between two looks at its clock, or one whose clock is set."""
    seq = seq_of(world, ev.ATTEMPT_SUCCEEDED)
    past = plain.as_of(seq)
    monkeypatch.setattr(tail, "now_us", lambda: now_us() + 86_400_000_000)
    assert statuses(past) == statuses(plain.as_of(seq)) == {"one": "RUNNING"}


def test_the_past_can_only_be_asked(clock: wfstore.Store) -> None:
    past = clock.as_of(4)
    for what in ("backup", "compact", "follow", "restore", "retain", "stats", "verify"):
        with pytest.raises(ValueError, match="the store as of seq 4, which can only be asked"):
            getattr(past, what)()
    assert repr(past) == f"<Store {clock.storage!r} as of seq 4>"
