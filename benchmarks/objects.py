"""Figures of stores on object storage: `python benchmarks/objects.py [--quick] [--storage URI]`. JSON lines.

commit:  one event made durable by one PUT, beside a bare put-if-absent of as many bytes, taken in turns
group:   PUTs per 1,000 events and events/s, 50 coroutines that each await one append of 3 events at a time
engine:  PUTs per 1,000 events and seconds, 50 workflows of 7 tasks at once on a local Ray
read:    events/s out of a log of small objects; requests for one event, and for "nothing new"

Without --storage the store is on a moto server of its own, behind a proxy on loopback that counts the requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.log.objects.proxy import Proxy
from tests.log.objects.s3_server import KEY, SECRET, running
from wfstore.log import GroupCommit, open_reader, open_writer, resolve_storage
from wfstore.model.events import Event
from wfstore.objects import bucket_of

QUICK = "--quick" in sys.argv
COMMITS = 50 if QUICK else 300
CALLERS, APPENDS = 50, 7 if QUICK else 20
WORKFLOWS, TASKS = 50, 7


def event(number: int) -> Event:
    return Event(
        ts=1_700_000_000_000_000 + number, type="attempt.succeeded", workflow_id=f"w{number % 50}", task_id="t"
    )


def say(name: str, **facts: Any) -> None:
    print(json.dumps({"benchmark": name, **facts}), flush=True)


def ms(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": round(1000 * statistics.median(ordered), 2),
        "p99_ms": round(1000 * ordered[int(len(ordered) * 0.99)], 2),
    }


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def commits(storage: str) -> None:
    writer, bucket = open_writer(storage), bucket_of(storage)
    bare, own = [], []
    for number in range(COMMITS):
        bare.append(timed(lambda n=number: bucket.create_once(f"bare/{n}", bytes(700))))
        own.append(timed(lambda n=number: writer.append([event(n)])))
    say("commit", commits=COMMITS, **ms(own), bare_put_p50_ms=ms(bare)["p50_ms"])


def group(storage: str, counted: Counter[str] | None) -> None:
    writer = open_writer(storage)
    before = Counter(counted or {})

    async def all_callers() -> None:
        appends = GroupCommit(writer)

        async def caller(number: int) -> None:
            for _ in range(APPENDS):
                await appends.append([event(number)] * 3)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        appends.close()

    took = timed(lambda: asyncio.run(all_callers()))
    events = writer.next_seq - 1
    puts = {} if counted is None else {"puts_per_1000": round(1000 * (counted - before)["PUT"] / events, 1)}
    say("group", events=events, events_per_s=round(events / took), **puts)


def reading(storage: str, counted: Counter[str] | None) -> None:
    writer = open_writer(storage)
    for number in range(COMMITS):
        writer.append([event(number)] * 5)
    reader = open_reader(storage)
    took = timed(lambda: reader.read())
    _, cursor = reader.read()
    before = Counter(counted or {})
    again = timed(lambda: reader.read(cursor))
    requests = {} if counted is None else {"nothing_new_requests": sum((counted - before).values())}
    say(
        "read",
        events_per_s=round(COMMITS * 5 / took),
        objects_per_s=round(COMMITS / took),
        nothing_new_ms=round(again * 1000, 2),
        **requests,
    )


def engine(storage: str, counted: Counter[str] | None) -> None:
    import ray

    from wfstore import workflow

    @ray.remote
    def link(number: int) -> int:
        return number

    def chain(length: int) -> Any:
        node = link.bind(0)
        for _ in range(length - 1):
            node = link.bind(node)
        return node

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        workflow.init(storage=storage, namespace=uuid.uuid4().hex)
        workflow.run(chain(3))
        began_seq, before = len(list(open_reader(storage).events(columns=("seq",)))), Counter(counted or {})
        began = time.perf_counter()
        ray.get([workflow.run_async(chain(TASKS)) for _ in range(WORKFLOWS)])
        took = time.perf_counter() - began
        puts = None if counted is None else (counted - before)["PUT"]
        events = len(list(open_reader(storage).events(columns=("seq",)))) - began_seq
        per = {} if puts is None else {"puts": puts, "puts_per_1000": round(1000 * puts / events, 1)}
        one = statistics.median(timed(lambda: workflow.run(chain(TASKS))) for _ in range(3))
        say(
            "engine", workflows=WORKFLOWS, events=events, seconds=round(took, 2), lone_chain_of_7_s=round(one, 3), **per
        )
    finally:
        ray.shutdown()


def every(base: str, query: str, counted: Counter[str] | None) -> None:
    def storage() -> str:
        return resolve_storage(f"{base}/{uuid.uuid4().hex}{query}")

    commits(storage())
    group(storage(), counted)
    reading(storage(), counted)
    engine(storage(), counted)


def main() -> None:
    if "--storage" in sys.argv:
        base, _, query = sys.argv[sys.argv.index("--storage") + 1].partition("?")
        every(base, f"?{query}" if query else "", None)
        return
    os.environ.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1")
    with running() as endpoint:
        proxy = Proxy(endpoint)
        every("s3://bucket", f"?endpoint={quote(proxy.url, safe='')}", proxy.requests)
        proxy.close()


if __name__ == "__main__":
    main()
