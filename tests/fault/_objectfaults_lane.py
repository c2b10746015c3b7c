"""A store behind a proxy that injects what a script says, a rival, and what the store has to hold in the end."""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from tests.log.objects import proxy as net
from wfstore.log import Writer, open_reader, open_writer, resolve_storage, verify
from wfstore.log.objects import link
from wfstore.log.objects.writer import ObjectLogWriter
from wfstore.model.events import Event
from wfstore.objects import bucket_of

_TARGETS = ("commit", "commit", "commit", "claim", "claim", "create", "put", "start")
_FATES = (
    *(net.LOSE_REPLY, net.BUSY, net.DONE_BUSY, net.SILENT, net.DONE_SILENT, net.RESET, net.DONE_RESET),
    *(net.FAIL, net.CUT, net.TWICE, net.HOLD),
)


@dataclass(frozen=True)
class Script:
    """What one case does; drawn by its number.

    fates: what happens to the operation's requests, in order, after the first `skip` ones. outage: the last one happens
    to all further ones, too. rival: before which request another manager takes the place (or creates the key), None:
    none does. late: what was kept on its way arrives once the operation is over, else after the next manager has
    claimed the store.
    """

    target: str
    fates: tuple[str, ...]
    outage: bool
    rival: int | None
    late: bool
    skip: int

    @staticmethod
    def drawn(case: int) -> Script:
        chance = random.Random(f"object fault {case}")
        fates = tuple(chance.choice(_FATES) for _ in range(chance.randrange(1, 5)))
        target = chance.choice(_TARGETS)
        return Script(
            target=target,
            fates=fates,
            outage=chance.random() < 0.1,
            rival=chance.choice((None, None, chance.randrange(len(fates) + 1))),
            late=chance.random() < 0.5,
            skip=chance.randrange(12) if target == "start" else 0,
        )


class Lane:
    """A store, the way to it through a proxy of its own and the direct one; cases follow one another on it.

    acknowledged: events by seq; unknown: those that may be there; known_not: those that must not.
    """

    def __init__(self, endpoint: str) -> None:
        from tests.log.objects.s3_server import KEY, SECRET

        self.proxy = net.Proxy(endpoint)
        prefix = f"s3://{KEY}:{SECRET}@bucket/lane/{secrets.token_hex(6)}?region=us-east-1&endpoint="
        self.direct = resolve_storage(prefix + quote(endpoint, safe=""))
        self.through = resolve_storage(prefix + quote(self.proxy.url, safe=""))
        self.bucket = bucket_of(self.direct)
        self.acknowledged: dict[int, str] = {}
        self.unknown: set[str] = set()
        self.known_not: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._asked = 0

    @contextlib.contextmanager
    def faults(self, script: Script, rival: Callable[[], object], part: str) -> Iterator[None]:
        """Inside, requests whose path holds `part` fare as the script says; /log/: from the first put on."""
        self._asked = -script.skip

        def fault(method: str, path: str) -> str:
            with self._lock:
                if part not in path or (part == "/log/" and not self._asked and method != "PUT"):
                    return net.PASS
                number = self._asked
                self._asked += 1
                if number == script.rival:
                    rival()
            fate = net.PASS
            if number >= 0 and (number < len(script.fates) or script.outage):
                fate = script.fates[min(number, len(script.fates) - 1)]
            self.counts["faults"] += fate != net.PASS
            # Only a put can come to be later on; for what is read late nobody waits.
            return net.SILENT if fate == net.HOLD and method != "PUT" else fate

        self.proxy.fault = fault
        try:
            yield
        finally:
            self.proxy.fault = lambda method, path: net.PASS
            if script.late:
                self.arrive_late()

    def arrive_late(self) -> None:
        """What was kept on its way arrives now, and is answered to nobody."""
        self.proxy.release.set()
        self.proxy.release = threading.Event()
        time.sleep(0.02)

    def manager(self) -> Writer:
        """The next manager: whatever was left open before is settled by its claim, and what comes late is refused."""
        writer = open_writer(self.direct)
        self.arrive_late()
        return writer

    def route(self, writer: Writer, storage: str) -> None:
        """Let the writer's further requests go this way: through the proxy by an impatient client, or directly."""
        assert isinstance(writer, ObjectLogWriter)
        writer._bucket = bucket_of(storage)

    def append(self, writer: Writer, name: str) -> None:
        """Commit one event; it is acknowledged when this returns."""
        self.acknowledged[writer.append([event(name)])[0]] = name

    def end(self) -> Iterator[tuple[int, str]]:
        """(case, what is wrong), after all its cases: what was acknowledged is there, and nothing that must not be."""
        writer = self.manager()
        self.append(writer, "0 end")
        writer.close()
        self.arrive_late()
        self.proxy.close()
        log = {event.seq or 0: event.task_id or "" for event in open_reader(self.direct).events()}
        names = Counter(log.values())
        for seq, name in self.acknowledged.items():
            if log.get(seq) != name:
                yield _case(name), f"acknowledged as event {seq}, where the log has {log.get(seq)!r}"
        allowed = set(self.acknowledged.values()) | self.unknown
        for name, count in names.items():
            if name in self.known_not or name not in allowed or count > 1:
                yield _case(name), f"{name!r} is in the log {count} times: it was {self._said(name)}"
        if twice := [claim for claim, count in self._claims().items() if count > 1]:
            yield 0, f"{len(twice)} managers took their own claim for another's, and claimed twice"
        if not (report := verify(self.direct)).ok:
            yield 0, f"verify: {report.problems[:3]}"

    def _said(self, name: str) -> str:
        return "refused" if name in self.known_not else "unknown" if name in self.unknown else "acknowledged, or never"

    def _claims(self) -> Counter[str]:
        """How many claims in the chain each claimant has."""
        found: Counter[str] = Counter()
        for entry in self.bucket.entries("log"):
            place, data = link.parse_name(entry.name), self.bucket.get(entry.name)
            assert place is not None and data is not None
            object_ = link.read(self.direct, place, data, None)
            found[object_.header.claim] += object_.events is None
        return found


def event(name: str) -> Event:
    return Event(ts=1, type="task.reset", workflow_id="w", task_id=name)


def _case(name: str) -> int:
    return int(name.split()[0])


class Rival:
    """Another manager, on the direct way, that claims the store and commits."""

    def __init__(self, lane: Lane, case: int) -> None:
        self._lane, self._case = lane, case
        self.came = False

    def __call__(self) -> None:
        self.came = True
        self._lane.append(open_writer(self._lane.direct), f"{self._case} rival")
