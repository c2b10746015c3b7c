"""The campaign of faults between a writer and its object store: what the writer says has to be what the bucket holds.

A proxy in front of an S3 server (moto, real HTTP) loses replies, answers 503, is silent, resets connections, cuts
replies off, does requests twice or much later; a rival claims the place, or creates the same key, in the middle of it.
The verdict is done, refused or unknown; afterwards another manager takes the store and the whole chain is read. A case
is one operation under faults; the cases of a batch run side by side, as most of the time they wait.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest import mock

from tests.fault._objectfaults_lane import Lane, Rival, Script, event
from tests.fault.campaign import Tally, batch_campaign
from wfstore.errors import FencedError, OutcomeUnknownError, StorageError
from wfstore.log import Writer, open_writer
from wfstore.objects import Bucket, bucket_of, connect
from wfstore.objects import bucket as bucket_module

READ_BACK = "read-back of unknown outcomes"
#: So many stores at once.
_LANES = 12


def _commit(lane: Lane, case: int, script: Script) -> None:
    """A commit: acknowledged and there, or refused and another's, or unknown and the writer's last."""
    writer, rival, name = lane.manager(), Rival(lane, case), f"{case} commit"
    lane.append(writer, f"{case} before")
    said = "done"
    lane.route(writer, lane.through)
    try:
        with lane.faults(script, rival, "/log/"):
            lane.append(writer, name)
    except FencedError:
        said = "refused"
        lane.known_not.add(name)
        assert rival.came, "refused, and there was no rival"
    except OutcomeUnknownError:
        said = "unknown"
        lane.unknown.add(name)
    lane.route(writer, lane.direct)
    lane.counts[said] += 1
    lane.counts["unknown without an outage"] += said == "unknown" and not script.outage
    if said == "done" and not rival.came:
        lane.append(writer, f"{case} after")
    elif said != "done":
        _expect_ended(writer, f"{case} after")


def _expect_ended(writer: Writer, name: str) -> None:
    try:
        writer.append([event(name)])
    except (FencedError, OutcomeUnknownError):
        return
    raise AssertionError("a writer that was refused, or does not know, went on")


def _claim(lane: Lane, case: int, script: Script, part: str = "/log/") -> None:
    """A claim: the manager it lets in can commit, unless a rival came after it."""
    rival = Rival(lane, case)
    try:
        with lane.faults(script, rival, part):
            writer = open_writer(lane.through)
    except StorageError as error:
        if "does not honour" in str(error):
            raise AssertionError(f"a wrong accusation: {error}") from error
        lane.counts["no claim"] += 1
        lane.counts["no claim without an outage"] += not script.outage
        return
    lane.counts["claimed"] += 1
    lane.route(writer, lane.direct)
    try:
        lane.append(writer, f"{case} claimed")
    except FencedError:
        assert rival.came, "fenced, and there was no rival"


def _start(lane: Lane, case: int, script: Script) -> None:
    """A claim with faults in everything that a manager does when it starts."""
    _claim(lane, case, script, "/lane/")


def _create(lane: Lane, case: int, script: Script) -> None:
    """Put-if-absent of any key, and a rival that creates the same."""
    name, mine, theirs = f"other/{case}", f"mine {case}".encode(), f"theirs {case}".encode()
    rival: list[bool] = []
    said: bool | None = None
    try:
        with lane.faults(script, lambda: rival.append(lane.bucket.create(name, theirs)), name):
            said = bucket_of(lane.through).create(name, mine)
    except OutcomeUnknownError:
        lane.counts["unknown without an outage"] += not script.outage
    lane.arrive_late()
    there = lane.bucket.get(name)
    lane.counts["unknown" if said is None else "done" if said else "refused"] += 1
    assert said is None or (there == mine) is said, f"it said {said}, and {there!r} is there"
    assert not rival or (there == theirs) is rival[0], f"the rival was told {rival[0]}, and {there!r} is there"


def _put(lane: Lane, case: int, script: Script) -> None:
    """A put without a condition: when it says so, it is there."""
    name, data = f"other/{case}", secrets.token_bytes(200)
    try:
        with lane.faults(script, lambda: None, name):
            bucket_of(lane.through).put(name, data)
    except StorageError:
        lane.counts["not put"] += 1
        lane.counts["not put without an outage"] += not script.outage
    else:
        lane.counts["done"] += 1
        assert lane.bucket.get(name) == data, "it said done, and it is not there"


_OPERATIONS = {"commit": _commit, "claim": _claim, "start": _start, "create": _create, "put": _put}


def _trusting(bucket: Bucket, name: str, data: bytes) -> bool:
    """`Bucket.create` that takes a refusal for what it seems to be."""
    from obstore.exceptions import AlreadyExistsError

    failure = bucket._try_to_create(name, data)
    if failure is not None and not isinstance(failure, AlreadyExistsError):
        raise OutcomeUnknownError(bucket.storage, str(failure))
    return failure is None


@contextlib.contextmanager
def _impatient(off: str | None) -> Iterator[None]:
    """Clients that are made inside wait a few tenths of a second where others wait a minute."""
    with contextlib.ExitStack() as changes:
        settings: list[tuple[Any, str, Any]] = [
            (connect, "_RETRIES", 4),
            (connect, "_SILENT_S", 0.4),
            (bucket_module, "_PAUSE_S", 0.05),
            (bucket_module, "UNKNOWN_AFTER_S", 1.5),
        ]
        if off == READ_BACK:
            settings.append((Bucket, "create", _trusting))
        for where, name, value in settings:
            changes.enter_context(mock.patch.object(where, name, value))
        yield


def _drive(lane: Lane, cases: SimpleQueue[int | None], failed: Callable[[int, BaseException | str], object]) -> None:
    """Cases one after the other, until there are no more."""
    while (case := cases.get()) is not None:
        script = Script.drawn(case)
        lane.counts[script.target] += 1
        try:
            _OPERATIONS[script.target](lane, case, script)
        except Exception as error:
            failed(case, error)
    for case, reason in lane.end():
        failed(case, reason)


@batch_campaign("object-faults", ci=200, release=5_000, batch=200, controls={READ_BACK: 60}, marks=("s3",))
def object_faults(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Lost replies, 503, silence, resets and rivals between a writer and its object store: 0 wrong verdicts."""
    from tests.log.objects.s3_server import running

    failures: dict[int, BaseException | str] = {}
    queue: SimpleQueue[int | None] = SimpleQueue()
    for case in [*cases, *[None] * _LANES]:
        queue.put(case)
    with running() as endpoint, ThreadPoolExecutor(_LANES) as pool:
        # The direct way is asked without faults, by clients that were made before.
        lanes = [Lane(endpoint) for _ in range(_LANES)]
        with _impatient(off):
            for driven in [pool.submit(_drive, lane, queue, failures.setdefault) for lane in lanes]:
                driven.result()
    for lane in lanes:
        for name, count in lane.counts.items():
            tally.count(name, count)
    for case, failure in failures.items():
        case = max(case, cases.start)
        if isinstance(failure, str):
            tally.fail(case, failure)
        else:
            tally.raised(case, failure)
