"""How fast a restarted manager has its state back: claim, read, check, decode and apply every event of a log.

    python -m benchmarks.recovery [--quick]

Prints JSON lines. The log is that of workflows of three small tasks, committed as the engine does it (1 to 10 rows a
commit). The floor in the same run is reading and checking the same bytes without making anything of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from wfstore.engine.recovery import recover
from wfstore.log import open_writer
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import Command, Outcome, Place, RecordOutcome, Submit
from wfstore.model.dag import DagSpec, TaskSpec
from wfstore.model.decide import decide
from wfstore.model.payload import PayloadRef
from wfstore.model.state import State

_ARGUMENTS = PayloadRef("a" * 64, 40, b"x" * 40)
_OUTPUT = PayloadRef("b" * 64, 40, b"y" * 40)


def write(storage: str, workflows: int) -> int:
    """Write the log; returns how many events it has."""
    tasks = tuple(
        TaskSpec("part", "module.part", "c" * 64, _ARGUMENTS, (i - 1,) if i else (), ("argument",) if i else ())
        for i in range(3)
    )
    writer = open_writer(storage)
    state = State()
    now = 1_700_000_000_000_000

    def carry_out(command: Command) -> list[tuple[int, str, int]]:
        caused = decide(state, command, now)
        for event in caused:
            apply(state, event)
        writer.append(caused)
        return [(e.run or 0, e.task_id or "", e.attempt or 0) for e in caused if e.type == ev.ATTEMPT_SUBMITTED]

    for number in range(workflows):
        workflow_id = f"workflow-{number}"
        ready = carry_out(Submit(workflow_id, DagSpec(tasks, 2), {"name": "bench"}, {"job_id": "01000000"}, "r" * 32))
        while ready:
            run, task_id, attempt = ready.pop()
            now += 1000
            place = Place(now, "n" * 56, 4242, "t" * 48)
            outcome = Outcome(True, now + 500, place, _OUTPUT, output_repr="'y'")
            ready += carry_out(RecordOutcome(workflow_id, run, task_id, attempt, outcome))
        if number % 1000 == 999:
            state = State()
    writer.close()
    return writer.next_seq - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    workflows = 1000 if parser.parse_args().quick else 10_000
    with tempfile.TemporaryDirectory(prefix="wfstore-bench-") as folder:
        storage = str(Path(folder) / "store")
        events = write(storage, workflows)
        rates = []
        floors = []
        for _ in range(5):
            began = time.perf_counter()
            size = sum(len(path.read_bytes()) for path in Path(storage, "log").glob("*.wfl"))
            floors.append(time.perf_counter() - began)
            began = time.perf_counter()
            recovered = recover(storage, "another-session", [])
            rates.append(events / (time.perf_counter() - began))
            assert len(recovered.state.workflows) == workflows
            recovered.writer.close()
        row = {"benchmark": "recovery", "workflows": workflows, "events": events, "log_bytes": size}
        row |= {"events_per_s": round(statistics.median(rates)), "must": ">= 120000"}
        row |= {"seconds": round(events / statistics.median(rates), 3), "floor_s": round(statistics.median(floors), 4)}
        print(json.dumps(row))


if __name__ == "__main__":
    main()
