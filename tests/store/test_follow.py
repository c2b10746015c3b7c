"""`Store.follow`: every event once, in order, from wherever one likes to begin."""

from __future__ import annotations

import copy
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

import wfstore
from tests.log.events import FULL, plain, plains
from wfstore import errors
from wfstore._follow import FollowedEvent, Follower
from wfstore.index import WholeLog
from wfstore.log import LogReader, LogWriter, failpoints, open_writer, survey, verify
from wfstore.log import follow as log_follow
from wfstore.model.events import Event
from wfstore.schema.views import VIEWS


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    writer = open_writer(str(tmp_path / "store"))
    yield writer
    writer.close()


def numbers(events: Iterator[FollowedEvent], count: int) -> list[int]:
    return [event.seq for event in islice(events, count)]


def test_events_are_the_rows_of_the_store(store: wfstore.Store) -> None:
    rows = store.events(order_by="seq").rows(named=True)
    with store.follow() as events:
        followed = list(islice(events, len(rows)))
    assert [dict(event) for event in followed] == rows
    assert followed == rows
    assert len({event.cursor for event in followed}) == len(rows)


def test_an_event_is_a_row_by_name_and_by_attribute(writer: LogWriter) -> None:
    writer.append([FULL])
    event = next(wfstore.open(writer.storage).follow())
    assert list(event) == [column.name for column in VIEWS["events"]]
    assert set(FollowedEvent.__annotations__) == set(event)
    for name in event:
        assert getattr(event, name) == event[name]
    assert (event.seq, event.type, event.workflow_id, event.run) == (1, FULL.type, FULL.workflow_id, 2)
    assert event.ts.isoformat() == "2023-11-14T22:13:20"
    assert isinstance(event.cursor, str)
    for other in (pickle.loads(pickle.dumps(event)), copy.deepcopy(event)):
        assert (other, other.cursor) == (event, event.cursor)
    assert "seq=1" in repr(event)
    assert "uri" not in repr(event)
    with pytest.raises(AttributeError, match="payload"):
        _ = event.payload
    with pytest.raises(AttributeError):
        event.seq = 2


@pytest.mark.parametrize("since", [None, "start", 0])
def test_it_begins_with_the_first_event(writer: LogWriter, since: str | int | None) -> None:
    writer.append(plains(0, 3))
    with wfstore.open(writer.storage).follow(since=since) as events:
        assert events.cursor == "start"
        assert numbers(events, 3) == [1, 2, 3]
        writer.append(plains(3, 2))
        assert numbers(events, 2) == [4, 5]


def test_now_is_when_it_was_asked_for(writer: LogWriter) -> None:
    store = wfstore.open(writer.storage)
    empty = store.follow(since="now")
    assert empty.cursor == "start"
    writer.append(plains(0, 3))
    events = store.follow(since="now")
    writer.append(plains(3, 2))
    assert numbers(events, 2) == [4, 5]
    assert numbers(empty, 5) == [1, 2, 3, 4, 5]
    events.close()
    empty.close()


def test_it_goes_on_behind_any_cursor_and_any_seq(writer: LogWriter) -> None:
    for first in range(0, 30, 3):
        writer.append(plains(first, 3))
    store = wfstore.open(writer.storage)
    followed = list(islice(store.follow(), 30))
    for event in followed[:-1]:
        for since in (event.cursor, event.seq):
            with Follower(WholeLog.at(writer.storage), since=since) as events:
                assert next(events).seq == event.seq + 1
    with store.follow(since=followed[-1].cursor) as last, store.follow(since=30) as same:
        assert last.cursor == same.cursor == followed[-1].cursor
        writer.append([plain(30)])
        assert next(last).seq == next(same).seq == 31


def test_it_goes_on_in_the_middle_of_a_large_segment(writer: LogWriter) -> None:
    """Further from the segment's beginning than one reading reaches."""
    for first in range(0, 120, 2):
        writer.append([plain(number)._replace(payload=bytes(100_000)) for number in range(first, first + 2)])
    for since in (3, 99, 118):
        with wfstore.open(writer.storage).follow(since=since) as events:
            assert numbers(events, 120 - since) == list(range(since + 1, 121))


def test_a_cursor_goes_to_another_process(writer: LogWriter) -> None:
    writer.append(plains(0, 5))
    cursor = list(islice(wfstore.open(writer.storage).follow(), 2))[-1].cursor
    program = (
        "import sys, wfstore; from itertools import islice; "
        "print([e.seq for e in islice(wfstore.open(sys.argv[1]).follow(since=sys.argv[2]), 3)])"
    )
    command = [sys.executable, "-c", program, writer.storage, cursor]
    assert subprocess.run(command, capture_output=True, text=True, timeout=30).stdout == "[3, 4, 5]\n"


@pytest.mark.parametrize("since", ["", "end", "1", "1-2", "-1-1-1", "1-1-x", -1, True, 1.5, b"1-1-1"])
def test_what_no_event_gave_is_refused_at_once(writer: LogWriter, since: object) -> None:
    writer.append(plains(0, 3))
    with pytest.raises(ValueError, match=r"since|seq"):
        wfstore.open(writer.storage).follow(since=since)  # type: ignore[arg-type]


def test_a_seq_that_is_yet_to_come_is_refused(writer: LogWriter) -> None:
    writer.append(plains(0, 3))
    with pytest.raises(ValueError, match="last one of this log is 3"):
        wfstore.open(writer.storage).follow(since=4)


def test_the_cursor_of_another_store_is_refused(writer: LogWriter, store: wfstore.Store) -> None:
    writer.append(plains(0, 3))
    for event in (next(store.follow()), list(islice(store.follow(), 10))[-1]):
        with pytest.raises(errors.StorageError, match="another store"):
            wfstore.open(writer.storage).follow(since=event.cursor)


def test_a_store_put_back_to_an_earlier_state_is_noticed(tmp_path: Path, writer: LogWriter) -> None:
    """The events that take the place of those one has seen would be left out otherwise."""
    writer.append(plains(0, 3))
    shutil.copytree(writer.storage, tmp_path / "backup")
    writer.append(plains(3, 1))
    seen = list(islice(wfstore.open(writer.storage).follow(), 4))
    backup = open_writer(str(tmp_path / "backup"))
    restored = wfstore.open(tmp_path / "backup")
    for _ in range(2):
        with pytest.raises(errors.StorageError, match="earlier state"):
            restored.follow(since=seen[3].cursor)
        backup.append([plain(9)])
    assert next(restored.follow(since=seen[2].cursor)).seq == 4
    backup.close()


def test_one_workflow_deleted_and_come_again(writer: LogWriter) -> None:
    def about(workflow_id: str, type_: str) -> Event:
        return Event(ts=5, type=type_, workflow_id=workflow_id, run=1)

    store = wfstore.open(writer.storage)
    with store.follow("a") as events, ThreadPoolExecutor() as pool:
        first = pool.submit(next, events)
        time.sleep(0.05)
        writer.append([about("b", "workflow.submitted"), about("a", "workflow.submitted")])
        assert first.result(timeout=5).workflow_id == "a"
        writer.append([about("a", "workflow.deleted"), about("b", "workflow.deleted")])
        writer.append([about("a", "workflow.submitted")])
        assert [(event.seq, event.type) for event in islice(events, 2)] == [
            (3, "workflow.deleted"),
            (5, "workflow.submitted"),
        ]
    assert store.events("a", order_by="seq")["seq"].to_list() == [2, 3, 5]


def test_the_followers_cursor_passes_what_was_not_asked_for(writer: LogWriter) -> None:
    writer.append([plain(0), *(plain(1) for _ in range(50))])
    store = wfstore.open(writer.storage)
    with store.follow("w0") as events:
        first = next(events)
        assert events.cursor == first.cursor
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(next, events, None)
            deadline = time.monotonic() + 5
            while events.cursor == first.cursor and time.monotonic() < deadline:
                time.sleep(0.01)
            events.close()
            assert waiting.result(timeout=5) is None
        assert events.cursor == list(islice(store.follow(), 51))[-1].cursor


def test_closing_ends_a_thread_that_waits(writer: LogWriter) -> None:
    events = wfstore.open(writer.storage).follow()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(list, events)
        time.sleep(0.1)
        began = time.monotonic()
        events.close()
        assert waiting.result(timeout=5) == []
        assert time.monotonic() - began < 0.5
    events.close()
    with pytest.raises(StopIteration):
        next(events)


def test_closing_ends_what_is_left_of_a_batch(writer: LogWriter) -> None:
    writer.append(plains(0, 10))
    events = wfstore.open(writer.storage).follow()
    assert next(events).seq == 1
    events.close()
    assert list(events) == []


def test_a_follower_that_is_dropped_leaves_nothing(writer: LogWriter) -> None:
    from tests.log.test_follow import eventually, native_threads

    assert eventually(lambda: native_threads() == 0)
    store = wfstore.open(writer.storage)

    def watch() -> None:
        threading.Timer(0.1, writer.append, [plains(0, 1)]).start()
        for _ in store.follow():
            assert native_threads() == 1
            return

    watch()
    assert eventually(lambda: native_threads() == 0)


def test_ctrl_c_is_a_keyboard_interrupt(writer: LogWriter) -> None:
    program = (
        "import sys, wfstore\n"
        "try:\n    for event in wfstore.open(sys.argv[1]).follow(): print(event.seq, flush=True)\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    writer.append(plains(0, 1))
    command = [sys.executable, "-c", program, writer.storage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted\n"
        assert process.wait(timeout=5) == 0


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageNotFoundError, match="no store here"):
        wfstore.open(tmp_path / "none").follow()


def test_damage_is_said_and_ends_it(writer: LogWriter) -> None:
    writer.append(plains(0, 2))
    writer.append(plains(2, 2))
    path = next((Path(writer.storage) / "log").iterdir())
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    events = wfstore.open(writer.storage).follow()
    with pytest.raises(errors.DamageError, match=path.name):
        list(events)
    assert list(events) == []


class Writers:
    """Random managers of one store: they append, rotate, crash in the middle of a write, and are fenced."""

    def __init__(self, storage: str, random: random.Random) -> None:
        self._storage, self._random = storage, random
        self._number = 0
        self._writers = [open_writer(storage, segment_bytes=600)]
        self.acknowledged: list[str | None] = []

    def events(self) -> list[Event]:
        count = self._random.choice((1, 1, 2, 7))
        self._number += count
        return plains(self._number, count)

    def append(self) -> None:
        events = self.events()
        try:
            self._writers[-1].append(events)
        except errors.FencedError:
            self.claim()
        else:
            self.acknowledged += [event.task_id for event in events]

    def append_fenced(self) -> None:
        with suppress(errors.StorageError):
            if len(self._writers) > 1:
                self._random.choice(self._writers[:-1]).append(self.events())

    def crash(self) -> None:
        """Before, in the middle of, or after a write that nobody gets to hear about; then a new manager."""
        points = (failpoints.APPEND_HALF_WRITTEN, failpoints.APPEND_WRITTEN, failpoints.APPEND_SYNCED)
        failpoints.arm(self._random.choice(points), _fail)
        with suppress(errors.StorageError):
            self._writers[-1].append(self.events())
        failpoints.disarm()
        self.claim()

    def claim(self) -> None:
        self._writers.append(open_writer(self._storage, segment_bytes=self._random.choice((1, 600, 5000))))

    def claim_and_die(self) -> None:
        """The name alone fences the manager there is; what it wrote last may not count, until somebody says so."""
        failpoints.arm(self._random.choice((failpoints.CLAIM_CREATED, failpoints.CLAIM_SCANNED)), _fail)
        with suppress(errors.StorageError):
            open_writer(self._storage)
        failpoints.disarm()

    def act(self) -> None:
        weighted = (self.append,) * 8 + (self.append_fenced, self.crash, self.claim, self.claim_and_die)
        self._random.choice(weighted)()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def _fail() -> None:
    raise OSError(5, "a crash")


class Acting:
    """Instead of waiting something happens in the log; then, after `count` times, it is over."""

    def __init__(self, act: Callable[[], None], count: int) -> None:
        self._act, self.left = act, count

    def wait(self, quiet_s: float) -> bool:
        self.left -= 1
        if self.left >= 0:
            self._act()
        return self.left >= 0

    def close(self) -> None:
        return


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_every_event_comes_once(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = random.Random(seed)
    writers = Writers(str(tmp_path), choice)
    reader = WholeLog.at(str(tmp_path))
    acting = Acting(writers.act, 40)
    monkeypatch.setattr(survey, "CLAIM_GRACE_S", 0.02)
    monkeypatch.setattr(log_follow, "waiter_for", lambda storage, stop: acting)
    seen: list[tuple[int, str | None]] = []
    since: str | None = None
    while acting.left >= 0:
        events = Follower(reader if choice.random() < 0.5 else WholeLog.at(str(tmp_path)), since=since)
        for event in islice(events, choice.randrange(1, 25)):
            seen.append((event.seq, event.task_id))
            assert events.cursor == event.cursor
        since = events.cursor
        events.close()
    with Follower(reader, since=since) as rest:
        seen += [(event.seq, event.task_id) for event in rest]
    writers.close()
    wanted = [(event.seq, event.task_id) for event in LogReader(str(tmp_path)).events()]
    assert seen == wanted
    assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))
    assert set(writers.acknowledged) <= {task for _, task in seen}
    assert verify(str(tmp_path)).ok


def test_several_followers_see_the_same(writer: LogWriter) -> None:
    store = wfstore.open(writer.storage)
    followers: list[Follower] = [store.follow(), store.follow(since="now"), wfstore.open(writer.storage).follow()]
    with ThreadPoolExecutor() as pool:
        seen = [pool.submit(numbers, events, 200) for events in followers]
        for first in range(0, 200, 4):
            writer.append(plains(first, 4))
        assert [one.result(timeout=10) for one in seen] == [list(range(1, 201))] * 3
    for events in followers:
        events.close()
