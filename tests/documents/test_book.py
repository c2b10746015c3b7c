"""Seed 002, a book's chapter on the older generation: examples 1 to 3, 5 to 9 and 14 to 17, each through both
faces. Examples 4 and 10 to 13 are in test_book_actors.

Where an example cannot run as printed, "Slip" says what was put right.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.documents.faces import appears, fails, value
from tests.documents.programs import start
from tests.documents.stand_ins import Flight, Hotel, Receipt, TicketService
from tests.engine.drivers import end_everything, said
from tests.engine.programs.tasks import note
from tests.engine.world import World, eventually, executions, names

pytestmark = pytest.mark.ray


def test_example_01_hello_world(older: Any, own_world: World) -> None:
    workflow = older

    @ray.remote
    def hello() -> str:
        return "hello"

    @workflow.step
    def words() -> list[Any]:
        return [hello.remote(), ray.put("world")]

    @workflow.step
    def concat(refs: list[Any]) -> str:
        return " ".join(ray.get(ref) for ref in refs)

    workflow.init(own_world.storage)
    output = concat.step(words.step())
    assert output.run(workflow_id="workflow_1") == "hello world"
    assert workflow.get_status("workflow_1") == workflow.WorkflowStatus.SUCCESSFUL
    # Slip: compared with a string here, called an ObjectRef in the text of example 5. It is the face that decides.
    assert value(workflow, workflow.get_output("workflow_1")) == "hello world"


def test_example_02_resources(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step(num_gpus=1)
    def train() -> dict[str, float]:
        return dict(ray.get_runtime_context().get_assigned_resources())

    assert train.step().run()["GPU"] == 1
    given = train.options(num_gpus=0.5, num_cpus=2).step().run()
    assert (given["GPU"], given["CPU"]) == (0.5, 2)


def test_example_03_recursion(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step
    def factorial(n: int) -> Any:
        return 1 if n == 1 else mult.step(n, factorial.step(n - 1))

    @workflow.step
    def mult(a: int, b: int) -> int:
        return a * b

    # Slip: the example calls run() on the result of run().
    assert factorial.step(5).run() == 120


def test_example_05_steps_with_inputs_and_names(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step
    def total(x: int, y: int, z: int) -> int:
        return x + y + z

    @workflow.step(name="first_value")
    def get_value1() -> int:
        return 100

    @workflow.step
    def get_value2(x: int) -> int:
        return 10 * x

    # Slip: the example defines get_value1 and get_value2, and calls get_val1 and get_val2.
    dag = total.step(get_value1.step(), get_value2.options(name="second_value").step(10), 100)
    assert dag.run("sum_example") == 300
    assert value(workflow, workflow.get_output("sum_example", name="first_value")) == 100
    assert value(workflow, workflow.get_output("sum_example", name="second_value")) == 100
    # Slip: the text says that the workflow's own output is 100; that is the output of its parts.
    assert value(workflow, workflow.get_output("sum_example")) == 300


def test_example_06_fibonacci(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step
    def add(a: int, b: int) -> int:
        return a + b

    @workflow.step
    def fib(n: int) -> Any:
        return n if n <= 1 else add.step(fib.step(n - 1), fib.step(n - 2))

    assert fib.step(10).run() == 55


@pytest.mark.parametrize("free", [True, False])
def test_example_07_conditional_steps(older: Any, own_world: World, free: bool) -> None:
    workflow, returned = older, own_world.file("returned")

    @workflow.step
    def book_flight(origin: str, dest: str, date: str) -> Flight:
        assert returned.exists(), "a child ran before its parent had returned"
        return Flight(origin, dest, date)

    @workflow.step
    def book_hotel(dest: str, dates: list[str]) -> Hotel:
        return Hotel(dest, tuple(dates), free)

    @workflow.step
    def finalize_or_cancel(flights: list[Flight], hotels: list[Hotel]) -> Receipt:
        return Receipt(all(hotel.free for hotel in hotels), tuple(flights), tuple(hotels))

    @workflow.step
    def book_trip(origin: str, dest: str, dates: list[str]) -> Any:
        there = book_flight.step(origin, dest, dates[0])
        back = book_flight.step(dest, origin, dates[1])
        hotel = book_hotel.step(dest, dates)
        trip = finalize_or_cancel.step([there, back], [hotel])
        time.sleep(0.3)
        returned.touch()
        return trip

    receipt = book_trip.step("OAK", "SAN", ["6/12", "7/5"]).run()
    flights = (Flight("OAK", "SAN", "6/12"), Flight("SAN", "OAK", "7/5"))
    assert receipt == Receipt(free, flights, (Hotel("SAN", ("6/12", "7/5"), free),))


def test_example_08_retries(older: Any, own_world: World) -> None:
    workflow, log = older, str(own_world.file("log"))

    @workflow.step
    def fails_at_first(name: str, times: int) -> str:
        note(log, name)
        if executions(Path(log))[name] <= times:
            raise RuntimeError("Found failure")
        return "OK"

    # Slips: the function is defined under one name and called under another, and `random` is not imported. Ours fails
    # as often as it is told. Slip: the comment says "5 times"; max_retries counts the runs after the first.
    assert fails_at_first.options(max_retries=5).step("five", 5).run() == "OK"
    with fails():
        fails_at_first.options(max_retries=5).step("six", 6).run()
    assert fails_at_first.step("default", 3).run() == "OK"
    assert executions(Path(log)) == {"five": 6, "six": 6, "default": 4}


def test_example_08_caught_errors(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step
    def faulty(fail: bool) -> str:
        if fail:
            raise RuntimeError("Found failure")
        return "OK"

    @workflow.step
    def handle_errors(result: tuple[str | None, Exception | None]) -> str:
        assert isinstance(result[1], RuntimeError | None)
        return f"There was an error: {result[1]}" if result[1] else "OK"

    caught = faulty.options(catch_exceptions=True)
    assert handle_errors.step(caught.step(False)).run() == "OK"
    answer = handle_errors.step(caught.step(True)).run()
    assert answer.startswith("There was an error: ") and "Found failure" in answer


def test_example_09_idempotent_steps(older: Any, own_world: World) -> None:
    workflow, broken = older, own_world.file("broken")
    service = TicketService(own_world.file("tickets"))
    broken.touch()

    @workflow.step
    def generate_id() -> str:
        return uuid.uuid4().hex

    @workflow.step
    def book_flight_idempotent(request_id: str) -> str:
        if service.has_ticket(request_id):
            ticket = service.get_ticket(request_id)
        else:
            ticket = service.book_flight(request_id)
        if broken.exists():
            raise RuntimeError("after the effect, before the output is durable")
        return ticket

    dag = book_flight_idempotent.step(generate_id.options(name="request").step())
    with fails():
        dag.run("trip")
    request_id = value(workflow, workflow.get_output("trip", name="request"))
    broken.unlink()
    assert value(workflow, workflow.resume("trip")) == service.get_ticket(request_id)
    assert value(workflow, workflow.get_output("trip", name="request")) == request_id
    assert service.tickets() == ["ticket 1"]


def test_example_14_object_references(older: Any, own_world: World) -> None:
    workflow = older

    @ray.remote
    def do_add(a: int, b: int) -> int:
        return a + b

    @workflow.step
    def add(a: int, b: int) -> Any:
        return do_add.remote(a, b)

    assert add.step(ray.put(10), ray.put(20)).run() == 30


def test_example_15_steps_inside_a_list(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step
    def add(values: list[int]) -> int:
        return sum(values)

    @workflow.step
    def get_val() -> int:
        return 10

    assert add.step([get_val.step() for _ in range(3)]).run() == 30


def test_example_16_timers(older: Any, own_world: World) -> None:
    workflow = older

    @workflow.step
    def gather(*args: Any) -> tuple[Any, ...]:
        return args

    # Slip: the text says 90 seconds, the program 60 and 30. Here they are 2 and 1.
    begun = time.time()
    late = workflow.wait_for_event(workflow.event_listener.TimerListener, begun + 2)
    early = workflow.wait_for_event(workflow.event_listener.TimerListener, begun + 1)
    assert gather.step(late, early).run() == (None, None)
    assert time.time() >= begun + 2


def test_example_17_a_listener_of_our_own(older: Any, own_world: World) -> None:
    workflow, letter = older, own_world.file("letter")

    class Mailbox(workflow.event_listener.EventListener):
        """An event is a file; it is taken away once the event is durable."""

        async def poll_for_event(self, path: str) -> dict[str, str]:
            while not Path(path).exists():
                await asyncio.sleep(0.05)
            return {"path": path, "text": Path(path).read_text()}

        async def event_checkpointed(self, event: dict[str, str]) -> None:
            Path(event["path"]).unlink()

    @workflow.step
    def read(event: dict[str, str]) -> str:
        assert not Path(event["path"]).exists(), "the value came before event_checkpointed had run"
        return event["text"]

    ref = read.step(workflow.wait_for_event(Mailbox, str(letter))).run_async("mail")
    assert workflow.get_status("mail") == "RUNNING"
    own_world.file("draft").write_text("hello")
    own_world.file("draft").rename(letter)
    assert ray.get(ref, timeout=30) == "hello"
    assert not letter.exists()


def test_example_17_the_interface(older: Any, own_world: World) -> None:
    listener = older.event_listener.EventListener()
    with pytest.raises(NotImplementedError):
        asyncio.run(listener.poll_for_event())
    assert asyncio.run(listener.event_checkpointed("any")) is None
    with pytest.raises(TypeError):
        older.wait_for_event(int)


# -- what the chapter says besides its examples ----------------------------------------------------------------------


def test_text_managing_workflows(older: Any, own_world: World) -> None:
    workflow, flag = older, own_world.file("flag")

    @workflow.step
    def needs_flag() -> str:
        if not flag.exists():
            raise ValueError("not yet")
        return "done"

    @workflow.step
    def forever() -> None:
        time.sleep(1000)

    with fails():
        needs_flag.step().run("failed")
    forever.step().run_async("canceled")
    workflow.cancel(workflow_id="canceled")
    # Slips: list_all takes one set, not several statuses; "resume.all" is resume_all.
    assert workflow.list_all({"FAILED", "CANCELED"}) == [("failed", "FAILED"), ("canceled", "CANCELED")]
    assert workflow.resume_all() == []
    flag.touch()
    ((name, ref),) = workflow.resume_all(include_failed=True)
    assert (name, ray.get(ref)) == ("failed", "done")
    assert workflow.get_status(workflow_id="failed") == workflow.SUCCESSFUL
    workflow.delete(workflow_id="canceled")
    assert names(workflow.list_all()) == ["failed"]


@pytest.mark.fault
def test_text_a_dead_driver(older: Any, own_world: World) -> None:
    """Slip: the text lets a workflow fail when its driver does. It goes on, as the library's own tests asked (Z1)."""
    env = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    folder = str(own_world.folder)
    driver = start("leaving", older.__name__, own_world.storage, own_world.namespace, folder, env=env)
    said(driver, "submitted")
    appears(own_world.file("runs"))
    end_everything(driver)
    own_world.file("go").touch()
    assert value(older, older.get_output("outlives")) == 30
    eventually(lambda: older.get_status("outlives") == "SUCCESSFUL", "it says so")
