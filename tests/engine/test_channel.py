"""The socket to the manager: an answer comes to whom asked for it, or the caller is told to go by Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import ray._private.worker as ray_worker

from wfstore import errors
from wfstore.engine import channel
from wfstore.engine.channel import ByRay, Channel, ChannelLostError


class Open(channel._Connection):
    """Connections that can be cut from here."""

    every: list[Open]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.every.append(self)


class Manager:
    """A loop in a thread that serves a few methods."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.asked: list[Any] = []
        self.leaving = threading.Lock()
        self.server = asyncio.run_coroutine_threadsafe(channel.listen(path, self.serve), self.loop).result(5)

    async def serve(self, method: str, args: tuple[Any, ...]) -> Any:
        self.asked.append((method, args))
        if method == "slow":
            await asyncio.sleep(args[0])
            return args[1]
        if method == "zeros":
            return bytes(args[0])
        if method == "echo":
            return args[0]
        if method == "raises":
            raise args[0]
        if method == "by_ray":
            raise ByRay
        if method == "not_to_be_pickled":
            return lambda: None
        if method == "not_to_be_loaded":
            return Unloadable()
        if method == "canceled":
            raise asyncio.CancelledError
        raise AssertionError(method)

    def leave(self) -> None:
        """As a process that is killed: every connection is closed, the file stays."""

        async def close() -> None:
            self.server.close()
            for connection in Open.every:
                assert connection._transport is not None
                connection._transport.abort()

        with self.leaving:
            if not self.thread.is_alive():
                return
            asyncio.run_coroutine_threadsafe(close(), self.loop).result(5)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)

    def close(self) -> None:
        """Leaves, and nothing of it stays open in this process."""
        self.leave()
        left = asyncio.all_tasks(self.loop)

        async def end() -> None:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        self.loop.run_until_complete(end())
        self.loop.close()


class Unloadable:
    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("not here")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    Open.every = []
    monkeypatch.setattr(channel, "_Connection", Open)
    made = Manager(str(tmp_path / "s"))
    yield made
    made.close()


@pytest.fixture
def way(manager: Manager) -> Iterator[Channel]:
    made = Channel(manager.path)
    yield made
    for connection in vars(made._local).values():
        connection.close()


def test_what_is_asked_comes_back(way: Channel) -> None:
    for value in (None, 0, b"", ("a", 1), {"x": [1.5]}, b"y" * 20_000_000):
        assert way.call("echo", value) == value


def test_errors_are_the_callers_and_the_connection_goes_on(way: Channel) -> None:
    for error in (errors.WorkflowNotFoundError("w"), errors.TaskNotFoundError("w", "t"), ValueError(1, 2), KeyError(3)):
        with pytest.raises(type(error)) as caught:
            way.call("raises", error)
        assert caught.value.args == error.args
    assert way.call("echo", 1) == 1


@pytest.mark.parametrize("method", ["by_ray", "not_to_be_pickled", "not_to_be_loaded", "canceled"])
def test_what_cannot_be_answered_here_is_asked_for_by_ray(way: Channel, method: str) -> None:
    with pytest.raises(ChannelLostError):
        way.call(method)
    assert way.call("echo", 1) == 1


def test_an_answer_too_large_for_a_message_goes_by_ray(way: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    value = way.call("echo", b"x" * 100_000)
    monkeypatch.setattr(channel, "_MOST_BYTES", 50_000)
    with pytest.raises(ChannelLostError, match="too large"):
        way.call("echo", value)
    monkeypatch.setattr(channel, "_MOST_BYTES", 50_000)
    with pytest.raises(ChannelLostError, match="Ray objects"):
        way.call("zeros", 50_000)


def test_eight_threads_get_their_own_answers(way: Channel) -> None:
    def ask(thread: int) -> list[int]:
        return [way.call("slow", (number % 3) / 1000, thread * 1000 + number) for number in range(100)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [[t * 1000 + n for n in range(100)] for t in range(8)]


def test_the_end_of_a_manager_in_the_middle_of_a_call(manager: Manager, way: Channel) -> None:
    assert way.call("echo", 1) == 1
    threading.Timer(0.2, manager.leave).start()
    with pytest.raises(ChannelLostError):
        way.call("slow", 60, 1)
    with pytest.raises(ChannelLostError):  # the file is still there
        way.call("echo", 2)


def test_the_next_manager_takes_the_place_of_a_dead_one(manager: Manager, way: Channel) -> None:
    assert way.call("echo", 1) == 1
    manager.leave()
    following = Manager(manager.path)
    answers: list[Any] = []
    while not answers:
        try:
            answers.append(way.call("echo", 2))
        except ChannelLostError:
            time.sleep(0.01)
    assert answers == [2]
    assert following.asked[-1] == ("echo", (2,))
    following.close()


def test_half_an_answer_is_no_answer(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def answer_half() -> None:
        connection = listener.accept()[0]
        connection.recv(1000)
        connection.sendall(channel._LENGTH.pack(1000) + b"x" * 500)
        connection.close()

    threading.Thread(target=answer_half, daemon=True).start()
    with pytest.raises(ChannelLostError):
        Channel(str(tmp_path / "s")).call("echo", 1)
    listener.close()


def on_alarm(act: Callable[[], None], after_s: float = 0.1) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        act()

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, after_s)


@pytest.fixture
def alarm() -> Iterator[Callable[..., None]]:
    before = signal.getsignal(signal.SIGALRM)
    yield on_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupted_call_leaves_no_answer_to_the_next(way: Channel, alarm: Callable[..., None]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    alarm(interrupt)
    with pytest.raises(KeyboardInterrupt):
        way.call("slow", 0.3, "late")
    assert way.call("echo", "mine") == "mine"
    time.sleep(0.4)
    assert way.call("echo", "mine too") == "mine too"


def test_a_signal_handler_that_calls_in_the_middle_of_a_call(way: Channel, alarm: Callable[..., None]) -> None:
    heard: list[Any] = []
    alarm(lambda: heard.append(way.call("slow", 0.4, "the handler's")))
    assert way.call("slow", 0.3, "the program's") == "the program's"
    assert heard == ["the handler's"]
    assert way.call("echo", 1) == 1


def test_a_fork_does_not_share_the_connection(way: Channel) -> None:
    assert way.call("echo", 0) == 0
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            right = all(way.call("slow", 0.001, f"child {number}") == f"child {number}" for number in range(100))
            os.write(write, b"right" if right else b"mixed")
        finally:
            os._exit(0)
    os.close(write)
    for number in range(100):
        assert way.call("slow", 0.001, f"parent {number}") == f"parent {number}"
    os.waitpid(child, 0)
    assert os.read(read, 5) == b"right"
    os.close(read)


def test_no_descriptor_is_left_behind(manager: Manager, way: Channel) -> None:
    def calls() -> None:
        for _ in range(20):
            with pytest.raises(ChannelLostError):
                way.call("by_ray")
            with pytest.raises(ChannelLostError):
                way.call("not_to_be_loaded")
            with pytest.raises(ChannelLostError):
                Channel(f"{manager.path}-nobody").call("echo", 1)
        for _ in range(20):
            thread = threading.Thread(target=way.call, args=("echo", 1))
            thread.start()
            thread.join()

    calls()
    time.sleep(0.1)
    before = len(os.listdir("/proc/self/fd"))
    calls()
    time.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


# -- who may -----------------------------------------------------------------------------------------------------------


def test_the_socket_is_for_its_user_only_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the process lets others write: Ray's folder of sockets is open to all."""
    path = tmp_path / "s"
    before = os.umask(0)
    real, seen = os.chmod, []

    def chmod(*args: Any, **kwargs: Any) -> None:
        seen.append(path.exists())
        real(*args, **kwargs)

    monkeypatch.setattr(os, "chmod", chmod)
    try:
        manager = Manager(str(path))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert seen == [False]
    assert os.listdir(tmp_path) == ["s"]
    manager.close()


def test_nothing_is_taken_from_another_users_socket(
    manager: Manager, way: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(ChannelLostError, match="another user"):
        way.call("echo", 1)
    assert manager.asked == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    async def listen() -> None:
        await channel.listen(str(tmp_path / "none" / "s"), None)  # type: ignore[arg-type]

    with pytest.raises(OSError):
        asyncio.run(listen())
    with pytest.raises(ChannelLostError):
        Channel(str(tmp_path / "none" / "s")).call("echo", 1)


def test_each_namespace_has_a_socket_and_long_paths_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        folder = "/tmp/ray/session/sockets"

        def get_sockets_dir_path(self) -> str:
            return self.folder

    node = Node()
    monkeypatch.setattr(ray_worker, "_global_node", node)
    assert channel.path_for("M", "one") == channel.path_for("M", "one") != channel.path_for("M", "two")
    node.folder = "/tmp/" + "x" * 90
    assert channel.path_for("M", "one") is None
    monkeypatch.setattr(ray_worker, "_global_node", None)
    assert channel.path_for("M", "one") is None
