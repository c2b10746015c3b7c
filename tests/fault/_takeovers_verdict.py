"""What a store with many takeovers has to look like afterwards, to its readers too."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Any

from tests.fault._takeovers_arena import Arena
from tests.fault._takeovers_processes import (
    ACKNOWLEDGED,
    CLAIMED,
    TRIED,
    Note,
    Seen,
    open_log,
    prefixes,
    read_new,
    read_notes,
)
from wfstore.log import Cursor, verify

#: A reader waits 2 s for a claim that is under way, then does without what was acknowledged shortly before.
_LONG_CLAIM_NS = 1_500_000_000


class Verdict:
    """`findings`: (case, what is wrong); `counts`: what was looked at, and lost, duplicate, phantom events."""

    def __init__(self, arena: Arena, readers: dict[str, tuple[list[Any], str | None]]) -> None:
        self.findings: list[tuple[int, str]] = []
        self.counts: Counter[str] = Counter(lost=0, duplicate=0, phantom=0, late=0)
        self.pasts = arena.pasts
        self.notes: dict[str, list[Note]] = {past.name: read_notes(past.notes) for past in arena.pasts}
        self.log, _ = read_new(open_log(arena.storage, arena.compacting), Cursor())
        self.counts["events"] = len(self.log)
        self._check_order()
        self._check_reigns()
        self._check_fences()
        self._check_readers(readers)
        # History files rightly say that nobody ever submitted the workflows of these events.
        problems = [problem for problem in verify(arena.storage).problems if "/history/" not in problem.path]
        if problems:
            self.find(-1, f"verify: {problems[:3]}")

    def find(self, case: int, what: str, kind: str = "", by: int = 1) -> None:
        self.findings.append((case, what))
        if kind:
            self.counts[kind] += by

    def _check_order(self) -> None:
        if [row[0] for row in self.log] != list(range(1, len(self.log) + 1)):
            self.find(-1, "seqs are not 1, 2, 3 ...")
        epochs = [row[1] for row in self.log]
        if epochs != sorted(epochs):
            self.find(-1, "events of an older manager stand behind those of a newer one")

    def _check_reigns(self) -> None:
        """Of each reign: what was acknowledged and at most one commit more, each event once, in order."""
        found: dict[str, list[Seen]] = defaultdict(list)
        for row in self.log:
            found[row[2]].append(row)
        for past in self.pasts:
            notes, rows = self.notes[past.name], found.pop(past.name, [])
            acknowledged = {
                n.first_seq + i: n.number + i for n in notes if n.kind == ACKNOWLEDGED for i in range(n.rows)
            }
            self.counts["acknowledged"] += len(acknowledged)
            placed = {row[0]: row[3] for row in rows}
            if lost := [seq for seq, number in acknowledged.items() if placed.get(seq) != number]:
                where = f"{past.name} (epoch {past.epoch})"
                self.find(
                    past.case, f"{len(lost)} acknowledged events of {where} are not in the log", "lost", len(lost)
                )
            numbers = [row[3] for row in rows]
            if twice := len(numbers) - len(set(numbers)):
                self.find(past.case, f"{twice} events of {past.name} are there twice", "duplicate", twice)
            tried = [note for note in notes if note.kind == TRIED]
            behind = tried[-1].rows if tried and not self._answered(notes) else 0
            most = len(acknowledged) + behind
            if numbers != list(range(len(numbers))) or len(numbers) > most:
                self.find(
                    past.case, f"events of {past.name} in the log that it could not have: {numbers[-9:]}", "phantom"
                )
            self.counts["visible without acknowledgement"] += max(0, len(numbers) - len(acknowledged))
            if len({row[1] for row in rows} | ({past.epoch} if rows and past.epoch else set())) > 1:
                self.find(past.case, f"events of {past.name} have several epochs")
        for name, rows in found.items():
            self.find(-1, f"{len(rows)} events of nobody we know: {name}", "phantom", len(rows))

    @staticmethod
    def _answered(notes: list[Note]) -> bool:
        return notes[-1].kind == ACKNOWLEDGED

    def _check_fences(self) -> None:
        """Who was replaced ends with an error that says so, and nothing it began after the takeover is acknowledged."""
        claims = sorted((n.ended_ns, n.epoch) for notes in self.notes.values() for n in notes if n.kind == CLAIMED)
        self.counts["claims"] = len(claims)
        if len({epoch for _, epoch in claims}) < len(claims):
            self.find(-1, "an epoch was claimed twice")
        for past in self.pasts:
            if past.outcome in ("ended", "refused"):
                self.counts["fenced"] += 1
                if not past.text.startswith("FencedError") or "epoch" not in past.text:
                    self.find(past.case, f"{past.name} {past.outcome} with {past.text}")
            after = min((at for at, epoch in claims if epoch > past.epoch), default=None) if past.epoch else None
            acknowledged = [n for n in self.notes[past.name] if n.kind == ACKNOWLEDGED]
            if late := [n for n in acknowledged if after is not None and n.began_ns > after]:
                self.find(
                    past.case, f"{past.name} acknowledged {len(late)} commits after the takeover", "late", len(late)
                )

    def _check_readers(self, readers: dict[str, tuple[list[Any], str | None]]) -> None:
        """Each saw the log from its beginning to the last event: nothing missing, nothing else, nothing taken back."""
        for way, (seen, wrong) in readers.items():
            if wrong is not None:
                if wrong.startswith("broken"):
                    raise RuntimeError(wrong)
                self.find(-1, wrong, "phantom")
            elif way == "afresh":
                self._check_looks(seen)
            elif seen != self.log:
                at = next((i for i, (a, b) in enumerate(zip(seen, self.log, strict=False)) if a != b), -1)
                shown, there = (seen[at], self.log[at]) if at >= 0 else (len(seen), len(self.log))
                self.find(-1, f"a reader ({way}) saw {shown} where the log has {there}", "phantom")
            self.counts["read"] += len(seen)

    def _check_looks(self, looks: list[tuple[int, int, str]]) -> None:
        """Every look at the whole log shows a beginning of it, in which what was acknowledged before is."""
        digests = ["", *prefixes(self.log)]
        acknowledged = sorted(
            (n.ended_ns, n.first_seq + n.rows - 1)
            for notes in self.notes.values()
            for n in notes
            if n.kind == ACKNOWLEDGED
        )
        times, highest = [0], [0]
        for at, seq in acknowledged:
            times.append(at)
            highest.append(max(seq, highest[-1]))
        for began, count, digest in looks:
            if count >= len(digests) or digests[count] != digest:
                self.find(-1, f"a look showed {count} events that are not the log's first", "phantom")
            elif count < (least := highest[bisect_left(times, began) - 1]) and not self._claiming_long(began):
                self.find(-1, f"a look showed {count} events when {least} were acknowledged", "lost", least - count)

    def _claiming_long(self, at_ns: int) -> bool:
        """Whether a claim that was under way then, or began soon after, took long."""
        for past in self.pasts:
            answered = next((n.ended_ns for n in self.notes[past.name] if n.kind == CLAIMED), None)
            until = at_ns + 2 * _LONG_CLAIM_NS if answered is None else answered
            near = past.ordered_ns - _LONG_CLAIM_NS < at_ns < until + _LONG_CLAIM_NS
            if near and until - past.ordered_ns > _LONG_CLAIM_NS:
                return True
        return False
