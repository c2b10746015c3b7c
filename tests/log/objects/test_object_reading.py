"""Following, the read side and the command line over a store on object storage, without Ray."""

from __future__ import annotations

import json
import threading
import time

import pytest

import wfstore
from tests.log.events import plain, plains
from tests.log.objects.conftest import s3_uri
from tests.log.objects.proxy import Proxy
from wfstore.cli.app import run
from wfstore.log import Cursor, GroupCommit, open_reader, open_writer, own_lease, read_lease, remove_lease, write_lease
from wfstore.log.follow import end_of


def test_follow(memory: str) -> None:
    writer = open_writer(memory)
    writer.append(plains(0, 3))
    assert end_of(open_reader(memory)).next_seq == 4
    store = wfstore.open(memory)
    with store.follow() as events:
        assert [next(events).seq for _ in range(3)] == [1, 2, 3]
        cursor = events.cursor
        thread = threading.Timer(0.2, lambda: open_writer(memory).append(plains(3, 2)))
        thread.start()
        began = time.monotonic()
        assert [next(events).seq for _ in range(2)] == [4, 5]
        assert time.monotonic() - began < 3
        thread.join()
    with store.follow(since=cursor) as events:
        assert next(events).seq == 4
    with store.follow(since="now") as events:
        open_writer(memory).append([plain(9)])
        assert next(events).seq == 6


def test_the_lease(memory: str) -> None:
    assert read_lease(memory) is None
    lease = own_lease(5, "session", 1)
    write_lease(memory, lease)
    assert read_lease(memory) == lease
    remove_lease(memory)
    remove_lease(memory)
    assert read_lease(memory) is None


def test_requests_are_few(proxy: Proxy) -> None:
    """One event costs a few requests, wherever it is."""
    storage = s3_uri(proxy.url)
    writer = open_writer(storage)
    for number in range(100):
        writer.append(plains(number * 25, 25))
    reader = open_reader(storage)
    with proxy.counting() as made:
        assert reader.read_range(2000, 2000)["task_id"].to_pylist() == ["t1999"]
    assert made["GET"] <= 4
    with proxy.counting() as made:
        assert reader.read_range(2001, 2001).num_rows == 1
    assert made["GET"] <= 3
    with proxy.counting() as made:
        assert end_of(open_reader(storage)).next_seq == 2501
    assert made["GET"] <= 6
    _, cursor = reader.read()
    with proxy.counting() as made:
        assert reader.read(cursor)[0].num_rows == 0
    assert made == {"GET": 1}, "to see that there is nothing new is one request"


def test_a_long_log(memory: str) -> None:
    """More objects than a page of a listing has."""
    writer = open_writer(memory)
    for number in range(2500):
        writer.append(plains(number * 2, 2))
    assert [event.seq for event in open_reader(memory).events()] == list(range(1, 5001))
    for seq in (1, 2, 1999, 3000, 4999, 5000):
        assert open_reader(memory).read_range(seq, seq + 1)["task_id"].to_pylist()[0] == f"t{seq - 1}"
    assert open_reader(memory).read(Cursor.after(4998))[0].num_rows == 2
    following = open_writer(memory)
    assert (following.epoch, following.next_seq) == (2, 5001)


def test_group_commit(memory: str) -> None:
    import asyncio

    writer = open_writer(memory)

    async def appended() -> list[int]:
        commits = GroupCommit(writer)
        futures = [commits.append([plain(number)]) for number in range(100)]
        seqs = list(await asyncio.gather(*futures))
        commits.close()
        return seqs

    assert asyncio.run(appended()) == list(range(1, 101))


def test_the_command_line(memory: str, capfd: pytest.CaptureFixture[str]) -> None:
    writer = open_writer(memory)
    writer.append(plains(0, 5))
    writer.close()

    def said(*arguments: str) -> str:
        capfd.readouterr()
        assert run([*arguments, "--storage", memory]) == 0
        return capfd.readouterr().out

    assert [json.loads(line)["seq"] for line in said("tail", "-n", "2", "--json").splitlines()] == [4, 5]
    assert said("sql", "select count(*) as n from events", "--format", "csv").split() == ["n", "5"]
    assert said("ls", "--json").strip() == "[]"
    stats = json.loads(said("stats", "--json"))
    assert stats["events"] == 5 and stats["log_bytes"] > 500 and stats["files"] == 3
    assert json.loads(said("verify", "--json"))["events"] == 5


def test_errors_of_the_command_line_show_no_secret(capfd: pytest.CaptureFixture[str], moto: str) -> None:
    uri = f"s3://AKIDAKID:psstpsst@bucket/none?endpoint={moto}&region=us-east-1"
    assert run(["ls", "--storage", uri]) == 1
    said = capfd.readouterr().err
    assert "there is no store here" in said and "psst" not in said and "AKID" not in said
