"""What happens to a driver's workflows, on that driver's stderr: both sides without Ray, then with it (W1)."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import ray

from tests.engine.conftest import ROOT
from tests.engine.world import eventually
from wfstore.engine import driverlog
from wfstore.engine.driverlog import Answer, DriverLog, LogBuffers, LogClosedError


def run(work: Callable[[LogBuffers], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work(LogBuffers()))


def say(buffers: LogBuffers, *texts: str, job: str = "job") -> None:
    for text in texts:
        buffers.add(job, "w", text, "RUNNING")


def tasks(answer: Answer) -> list[str]:
    return [task_id for _, task_id, _ in answer[1]]


# -- the manager's side -----------------------------------------------------------------------------------------------


def test_lines_come_once_to_whoever_asks_with_the_last_cursor() -> None:
    buffers = LogBuffers()
    buffers.open("job")
    say(buffers, "a", "b")
    first = buffers.lines("job", 0)
    assert (tasks(first), first[2]) == (["a", "b"], 0)
    assert tasks(buffers.lines("job", first[0])) == []
    say(buffers, "c")
    assert tasks(buffers.lines("job", first[0])) == ["c"]
    assert tasks(buffers.lines("job", first[0])) == ["c"], "an answer that was lost is given again"


def test_each_submitter_gets_its_own_and_one_without_a_buffer_nothing() -> None:
    buffers = LogBuffers()
    buffers.open("job")
    say(buffers, "a")
    say(buffers, "b", job="other")
    buffers.add(None, "w", "t", "RUNNING")
    assert tasks(buffers.lines("job", 0)) == ["a"]
    assert tasks(buffers.lines("other", 0)) == []


def test_the_oldest_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driverlog, "MOST_LINES", 3)
    buffers = LogBuffers()
    buffers.open("job")
    say(buffers, "a")
    cursor = buffers.lines("job", 0)[0]
    say(buffers, "b", "c", "d", "e", "f")
    assert buffers.lines("job", cursor)[1:] == ([("w", name, "RUNNING") for name in "def"], 2)
    assert buffers.lines("job", 0)[2] == 3
    assert buffers.lines("job", cursor + 2)[2] == 0


def test_a_cursor_of_the_manager_before_gets_everything() -> None:
    old = LogBuffers()
    old.open("job")
    say(old, *"abcdef")
    cursor = old.lines("job", 0)[0]
    time.sleep(0.001)
    new = LogBuffers()
    new.open("job")
    say(new, "g", "h")
    assert new.lines("job", cursor)[1:] == ([("w", "g", "RUNNING"), ("w", "h", "RUNNING")], 0)
    assert tasks(new.lines("job", cursor + 10**12)) == ["g", "h"], "also where the clock went back"


def test_wait_answers_at_once_when_lines_are_there_or_come() -> None:
    async def work(buffers: LogBuffers) -> None:
        buffers.open("job")
        say(buffers, "a")
        began = time.monotonic()
        first = await buffers.wait("job", 0, 5)
        assert tasks(first) == ["a"] and time.monotonic() - began < 0.05
        waiting = asyncio.create_task(buffers.wait("job", first[0], 5))
        await asyncio.sleep(0.15)
        say(buffers, "b")
        began = time.monotonic()
        assert tasks(await waiting) == ["b"]
        assert time.monotonic() - began < 0.05

    run(work)


def test_wait_gathers_lines_and_with_no_time_does_not() -> None:
    async def work(buffers: LogBuffers) -> None:
        buffers.open("job")
        say(buffers, "a")
        first = await buffers.wait("job", 0, 5)
        began = time.monotonic()
        waiting = asyncio.create_task(buffers.wait("job", first[0], 5))
        for name in "bcd":
            await asyncio.sleep(0.01)
            say(buffers, name)
        assert tasks(await buffers.wait("job", first[0], 0)) == ["b", "c", "d"]
        assert time.monotonic() - began < 0.08
        await asyncio.sleep(0.01)
        say(buffers, "e")
        assert tasks(await waiting) == ["b", "c", "d", "e"]
        assert 0.08 < time.monotonic() - began < 0.3

    run(work)


def test_wait_ends_without_lines_and_opens_what_it_asks_about() -> None:
    async def work(buffers: LogBuffers) -> None:
        cursor, lines, dropped = await buffers.wait("job", 0, 0.05)
        assert (lines, dropped) == ([], 0)
        say(buffers, "a")
        assert tasks(await buffers.wait("job", cursor, 0)) == ["a"]

    run(work)


def test_a_submitter_that_does_not_ask_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driverlog, "FORGOTTEN_AFTER_S", 0.05)
    monkeypatch.setattr(driverlog, "_SWEEP_EVERY_S", 0.0)

    async def work(buffers: LogBuffers) -> None:
        for job in ("gone", "waits"):
            buffers.open(job)
        waiting = asyncio.create_task(buffers.wait("waits", 0, 5))
        await asyncio.sleep(0.1)
        buffers.open("new")
        assert sorted(buffers._buffers) == ["new", "waits"]
        say(buffers, "a", job="gone")
        say(buffers, "b", job="waits")
        assert tasks(await waiting) == ["b"]

    run(work)


def test_a_line_costs_next_to_nothing() -> None:
    buffers = LogBuffers()
    buffers.open("job")
    assert _seconds_per_line(buffers, "nobody") < 2e-6
    assert _seconds_per_line(buffers, "job") < 4e-6


def _seconds_per_line(buffers: LogBuffers, job: str) -> float:
    def once() -> float:
        began = time.perf_counter()
        for _ in range(2000):
            buffers.add(job, "w", "t", "RUNNING")
        return (time.perf_counter() - began) / 2000

    return min(once() for _ in range(10))


# -- the driver's side ------------------------------------------------------------------------------------------------


class FakeManager:
    """Answers an `Ask` from buffers, or fails."""

    def __init__(self) -> None:
        self.buffers = LogBuffers()
        self.buffers.open("job")
        self.error: Exception | None = None
        self.asked = 0
        self.lock = threading.Lock()

    def ask(self, since: int, timeout_s: float) -> Answer:
        deadline = time.monotonic() + min(timeout_s, 0.05)
        while True:
            with self.lock:
                self.asked += 1
                if self.error is not None:
                    raise self.error
                answer = self.buffers.lines("job", since)
            if answer[1] or time.monotonic() >= deadline:
                return answer
            time.sleep(0.005)


@pytest.fixture
def manager() -> FakeManager:
    return FakeManager()


@pytest.fixture
def log(manager: FakeManager, caplog: pytest.LogCaptureFixture) -> Iterator[DriverLog]:
    caplog.set_level(logging.INFO, logger="wfstore.workflow")
    made = DriverLog(manager.ask, enabled=True)
    yield made
    made.close()
    if made._thread is not None:
        made._thread.join(timeout=5)
        assert not made._thread.is_alive()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "wfstore.workflow"]


def test_w1_the_lines_as_ray_workflow_wrote_them(
    manager: FakeManager, log: DriverLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.created("wid")
    manager.buffers.add("job", "wid", "f", "RUNNING")
    manager.buffers.add("job", "wid", "f", "SUCCESSFUL")
    log.drain()
    log.drain()
    assert messages(caplog) == [
        'Workflow job created. [id="wid"]',
        "Task status [RUNNING]\t[wid@f]",
        "Task status [SUCCESSFUL]\t[wid@f]",
    ]


def test_w1_lines_are_ascii_and_one_line_each(
    manager: FakeManager, log: DriverLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.created("wörk")
    manager.buffers.add("job", "wörk", "a\nTask status \udc80", "FAILED")
    log.drain()
    assert messages(caplog) == [
        'Workflow job created. [id="w\\xf6rk"]',
        "Task status [FAILED]\t[w\\xf6rk@a\\nTask status \\udc80]",
    ]


def test_the_thread_brings_lines_by_itself(
    manager: FakeManager, log: DriverLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.watch()
    with manager.lock:
        say(manager.buffers, "a", "b")
    eventually(lambda: len(messages(caplog)) == 2, "both lines", every_s=0.005)


def test_a_manager_that_restarts_is_waited_out(
    manager: FakeManager, log: DriverLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.watch()
    with manager.lock:
        say(manager.buffers, "a")
    eventually(lambda: len(messages(caplog)) == 1, "the first line", every_s=0.005)
    with manager.lock:
        manager.error = ConnectionError("the manager is away")
    began = time.monotonic()
    log.drain(timeout_s=0.3)
    assert time.monotonic() - began < 1
    with manager.lock:
        manager.error, manager.buffers = None, LogBuffers()
        manager.buffers.open("job")
        say(manager.buffers, "b")
    eventually(lambda: len(messages(caplog)) == 2, "the line of the next manager")
    assert messages(caplog)[1].endswith("[w@b]")


def test_two_that_ask_at_once_log_each_line_once_and_in_order(
    manager: FakeManager, log: DriverLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.watch()
    drains = [threading.Thread(target=lambda: [log.drain() for _ in range(50)]) for _ in range(3)]
    for thread in drains:
        thread.start()
    for number in range(300):
        with manager.lock:
            say(manager.buffers, str(number))
        if number % 10 == 0:
            time.sleep(0.001)
    for thread in drains:
        thread.join()
    log.drain()
    assert messages(caplog) == [f"Task status [RUNNING]\t[w@{number}]" for number in range(300)]


def test_dropped_lines_are_counted_once(
    manager: FakeManager, log: DriverLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driverlog, "MOST_LINES", 2)
    manager.buffers = LogBuffers()
    manager.buffers.open("job")
    say(manager.buffers, *"abcde")
    log.watch()
    log.drain()
    log.drain()
    assert messages(caplog)[0].startswith("3 lines") and len(messages(caplog)) == 3


def test_it_ends_when_the_process_leaves_the_cluster(manager: FakeManager, log: DriverLog) -> None:
    manager.error = LogClosedError()
    log.watch()
    assert log._thread is not None
    log._thread.join(timeout=5)
    assert not log._thread.is_alive()
    log.drain()


def test_off_means_no_thread_no_call_and_no_line(manager: FakeManager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="wfstore.workflow")
    off = DriverLog(manager.ask, enabled=False)
    off.created("w")
    off.drain()
    assert (off._thread, manager.asked, messages(caplog)) == (None, 0, [])


@pytest.mark.parametrize("value", ["0", "false", "No "])
def test_the_environment_switches_it_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WFSTORE_LOG_TO_DRIVER", value)
    assert driverlog.wanted() is False


PLAIN = """
import logging, sys, time
from wfstore.engine.driverlog import DriverLog, LogBuffers
buffers = LogBuffers()
buffers.open("job")

def ask(since, timeout_s):
    time.sleep(min(timeout_s, 0.2))
    return buffers.lines("job", since)

log = DriverLog(ask, enabled=True)
{before}
log.created("w")
buffers.add("job", "w", "t", "RUNNING")
{after}
"""


@pytest.mark.parametrize(
    ("before", "after", "created", "task"),
    [
        ("", "", 1, 1),
        ("logging.basicConfig(level=logging.INFO)", "", 1, 1),
        ("logging.basicConfig(level=logging.WARNING)", "", 0, 0),
        ("logging.getLogger('wfstore.workflow').setLevel(logging.WARNING)", "", 0, 0),
        ("", "logging.basicConfig(level=logging.INFO)", 1, 1),
        ("", "sys.stderr = sys.stdout", 1, 1),
    ],
)
def test_a_program_without_logging_gets_them_on_stderr_and_one_with_it_decides(
    before: str, after: str, created: int, task: int
) -> None:
    program = PLAIN.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert said.count('Workflow job created. [id="w"') == created
    assert said.count("Task status [RUNNING]\t[w@t]") == task, "what was not asked for yet is, at exit"


# -- on Ray -----------------------------------------------------------------------------------------------------------


class Manager:
    """The manager's part in it."""

    def __init__(self) -> None:
        self.buffers = LogBuffers()

    async def log_lines(self, job_id: str, since: int, timeout_s: float) -> Answer:
        return await self.buffers.wait(job_id, since, timeout_s)

    async def submit(self, job_id: str, workflow_id: str, tasks: int) -> None:
        self.buffers.open(job_id)
        for number in range(tasks):
            for status in ("RUNNING", "SUCCESSFUL"):
                self.buffers.add(job_id, workflow_id, f"t_{number}", status)

    async def buffered(self) -> int:
        return len(self.buffers._buffers)


DRIVER = """
import sys, time
import ray
from wfstore.engine.driverlog import DriverLog, asking, submitter
address, workflow_id, options = sys.argv[1:]
ray.init(address=address, namespace="driverlog", configure_logging=False, **eval(options))
manager = ray.get_actor("manager")
log = DriverLog(asking(lambda: manager, submitter()))
log.created(workflow_id)
ray.get(manager.submit.remote(submitter(), workflow_id, 3))
print(log.enabled)
{more}
"""
AGAIN = """
log.drain()
ray.shutdown()
time.sleep(0.5)
assert not ray.is_initialized()
log.drain()
log._thread.join(15)
assert not log._thread.is_alive() and not ray.is_initialized()
"""


@pytest.fixture
def ray_manager(cluster: None) -> Iterator[Any]:
    actor = ray.remote(Manager).options(name="manager", namespace="driverlog", num_cpus=0).remote()
    ray.get(actor.buffered.remote())
    yield actor
    ray.kill(actor)


def drive(workflow_id: str, options: str = "{}", more: str = "") -> subprocess.Popen[str]:
    address = ray.get_runtime_context().gcs_address
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER.replace("{more}", more), address, workflow_id, options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.ray
def test_w1_lines_go_to_the_driver_that_submitted_and_to_no_other(ray_manager: Any) -> None:
    drivers = {
        "one": drive("one"),
        "two": drive("two", more=AGAIN),
        "off": drive("off", "{'log_to_driver': False}"),
    }
    for name, process in drivers.items():
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        said.encode("ascii")
        wanted = name != "off"
        # The lines of workers are written by a thread, and may come between a print and its end of line.
        assert re.search(rf"^{wanted}", said, re.MULTILINE), said
        assert (f'Workflow job created. [id="{name}"' in said) == wanted
        for number in range(3):
            for status in ("RUNNING", "SUCCESSFUL"):
                assert said.count(f"Task status [{status}]\t[{name}@t_{number}]") == wanted
        assert said.count("Task status") == 6 * wanted


@pytest.mark.ray
def test_a_task_that_submits_is_a_submitter_of_its_own(ray_manager: Any) -> None:
    names = ray.get([ray.remote(driverlog.submitter).remote()])
    assert names[0].startswith(driverlog.submitter() + "-")
