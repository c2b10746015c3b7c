"""Commits whose replies are lost, late or wrong: done, refused or unknown, and never mistaken for one another."""

from __future__ import annotations

import time

import pytest

from tests.log.events import plain, plains
from tests.log.objects.conftest import KEY, SECRET, s3_uri
from tests.log.objects.proxy import DONE_BUSY, FAIL, FORGET_CONDITION, HOLD, LOSE_REPLY, PASS, RESET, Proxy, first
from wfstore.errors import FencedError, OutcomeUnknownError, StorageError
from wfstore.log import open_reader, open_writer, resolve_storage, verify
from wfstore.objects import bucket, bucket_of, connect


def tasks(storage: str) -> list[str | None]:
    return [event.task_id for event in open_reader(storage).events()]


def test_a_commit_is_one_put(proxy: Proxy) -> None:
    writer = open_writer(s3_uri(proxy.url))
    with proxy.counting() as made:
        for number in range(20):
            writer.append(plains(number * 10, 10))
    assert made == {"PUT": 20}


@pytest.mark.parametrize("count", [1, 3])
def test_a_lost_reply_of_ones_own_success_is_a_success(proxy: Proxy, count: int) -> None:
    """The client asks again and is told that the object exists: it is the writer's own."""
    storage = s3_uri(proxy.url)
    writer = open_writer(storage)
    proxy.fault = first(count, "PUT", "/log/", LOSE_REPLY)
    assert writer.append(plains(0, 3)) == (1, 3)
    assert writer.append([plain(3)]) == (4, 4)
    assert tasks(storage) == ["t0", "t1", "t2", "t3"]
    assert verify(storage).ok


def test_lost_replies_everywhere(proxy: Proxy) -> None:
    storage = s3_uri(proxy.url)
    turn = [0]
    lost: set[tuple[str, str]] = set()

    def every_third(method: str, path: str) -> str:
        # Requests go out side by side: the same one must not be lost at each of its few attempts.
        turn[0] += 1
        asked = (method, path)
        if turn[0] % 3 or asked in lost:
            lost.discard(asked)
            return PASS
        lost.add(asked)
        return LOSE_REPLY

    proxy.fault = every_third
    writer = open_writer(storage)
    for number in range(6):
        writer.append([plain(number)])
    following = open_writer(storage)
    with pytest.raises(FencedError):
        writer.append([plain(98)])
    following.append([plain(6)])
    following.close()
    assert tasks(storage) == [f"t{number}" for number in range(7)]
    assert verify(storage).ok


def test_a_lost_reply_of_a_claim(proxy: Proxy) -> None:
    storage = s3_uri(proxy.url)
    open_writer(storage).append([plain(0)])
    proxy.fault = first(1, "PUT", "/log/", LOSE_REPLY)
    writer = open_writer(storage)
    assert (writer.epoch, writer.append([plain(1)])) == (2, (2, 2))


def test_refused_and_the_reply_lost_is_refused(proxy: Proxy) -> None:
    storage = s3_uri(proxy.url)
    old = open_writer(storage)
    new = open_writer(storage)
    new.append([plain(1)])
    proxy.fault = first(2, "PUT", "/log/", LOSE_REPLY)
    with pytest.raises(FencedError, match="another manager"):
        old.append([plain(0)])
    assert tasks(storage) == ["t1"]


@pytest.mark.parametrize("fate", [LOSE_REPLY, FAIL])
def test_an_outcome_that_cannot_be_learnt_ends_the_writer(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """The storage goes away in the middle of a commit: it is not acknowledged, and may or may not be there."""
    storage = s3_uri(proxy.url)
    writer = open_writer(storage)
    writer.append([plain(0)])
    monkeypatch.setattr(bucket, "UNKNOWN_AFTER_S", 0.0)
    proxy.fault = lambda method, path: fate
    with pytest.raises(OutcomeUnknownError) as caught:
        writer.append([plain(1)])
    proxy.fault = lambda method, path: PASS
    with pytest.raises(OutcomeUnknownError) as again:
        writer.append([plain(2)])
    assert again.value is caught.value
    assert SECRET not in f"{caught.value!r} {caught.value}"
    following = open_writer(storage)
    assert following.append([plain(3)])[0] == (3 if fate == LOSE_REPLY else 2)
    assert tasks(storage) == (["t0", "t1", "t3"] if fate == LOSE_REPLY else ["t0", "t3"])
    assert verify(storage).ok


def test_a_put_that_lands_when_everybody_has_given_it_up(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network keeps a commit for a while. By then another manager has the place, and the commit is refused."""
    monkeypatch.setattr(connect, "_SILENT_S", 0.3)
    monkeypatch.setattr(bucket, "UNKNOWN_AFTER_S", 0.0)
    storage = s3_uri(proxy.url)
    writer = open_writer(storage)
    writer.append([plain(0)])
    proxy.fault = lambda method, path: HOLD if method == "PUT" and "/log/" in path else PASS
    with pytest.raises(OutcomeUnknownError):
        writer.append([plain(1)])
    proxy.fault = lambda method, path: PASS
    following = open_writer(storage)
    proxy.release.set()
    deadline = time.monotonic() + 10
    while not proxy.late and time.monotonic() < deadline:
        time.sleep(0.01)
    assert proxy.late and set(proxy.late) == {412}
    following.append([plain(2)])
    assert tasks(storage) == ["t0", "t2"]
    assert verify(storage).ok


def test_a_short_outage_is_waited_out(proxy: Proxy) -> None:
    storage = s3_uri(proxy.url)
    writer = open_writer(storage)
    proxy.fault = first(8, "PUT", "/log/", FAIL)
    assert writer.append([plain(0)]) == (1, 1)
    assert tasks(storage) == ["t0"]


@pytest.mark.parametrize("fate", [RESET, LOSE_REPLY, DONE_BUSY])
@pytest.mark.parametrize("put", [0, 1])
def test_the_proof_of_put_if_absent_survives_faults(proxy: Proxy, fate: str, put: int) -> None:
    """A manager does not fail to start for one reply that was lost, and accuses no storage of what the network did."""
    puts: list[str] = []

    def fault(method: str, path: str) -> str:
        if method == "PUT" and "/probe/" in path:
            puts.append(path)
            return fate if len(puts) == put + 1 else PASS
        return PASS

    proxy.fault = fault
    assert open_writer(s3_uri(proxy.url)).append([plain(0)]) == (1, 1)
    assert len(puts) == 3


@pytest.mark.parametrize("fate", [RESET, LOSE_REPLY])
def test_a_removal_whose_reply_is_lost_is_asked_for_again(proxy: Proxy, fate: str) -> None:
    found = bucket_of(s3_uri(proxy.url))
    for name in ("a", "b"):
        found.put(name, b"x")
    proxy.fault = first(1, "POST", "", fate)
    found.remove(["a", "b", "never there"])
    assert [entry.name for entry in found.entries()] == []
    assert proxy.requests["POST"] == 2


def test_a_storage_that_ignores_put_if_absent_is_refused(proxy: Proxy) -> None:
    storage = s3_uri(proxy.url)
    proxy.fault = lambda method, path: FORGET_CONDITION
    with pytest.raises(StorageError, match="put-if-absent") as caught:
        open_writer(storage)
    assert "second put" in str(caught.value)
    assert next(bucket_of(storage).entries(), None) is None, "nothing is left behind"


def test_a_bucket_that_does_not_exist(moto: str) -> None:
    storage = s3_uri(moto, "missing")
    for use in (open_reader, open_writer, verify):
        with pytest.raises(StorageError, match="no such bucket"):
            use(storage)


def test_nobody_at_the_endpoint_says_so_without_secrets() -> None:
    storage = resolve_storage(f"s3://{KEY}:{SECRET}@bucket/x?endpoint=http://127.0.0.1:1&region=us-east-1")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1") as caught:
        open_reader(storage)
    for text in (str(caught.value), repr(caught.value), repr(caught.value.args), repr(bucket_of(storage))):
        assert SECRET not in text
        assert KEY not in text
