"""Results as JSON lines, one for a batch of cases: written once a batch is done, so that a run can be stopped, gone on
with and split among machines; and what lines of any number of runs add up to."""

from __future__ import annotations

import functools
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tests.fault.campaign import Campaign

Line = dict[str, Any]
_ROOT = Path(__file__).parents[2]


def read_lines(files: Iterable[Path]) -> list[Line]:
    """The lines of the files that exist. Half a line, left by a run that was killed, is none."""
    lines = []
    for file in files:
        for text in file.read_text().splitlines() if file.exists() else ():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return lines


@functools.cache
def code_version() -> str:
    """The commit that is being tested; `+` where the tree has changes."""
    command = ["git", "--no-optional-locks", "-C", str(_ROOT), "describe", "--always", "--dirty=+", "--abbrev=9"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


@dataclass
class Plan:
    """Which batches a run has, and where it writes. shard: (1-based, of how many)."""

    campaign: Campaign
    cases: int
    shard: tuple[int, int] = (1, 1)
    controls: bool = True

    def batches(self) -> Iterator[tuple[str | None, range]]:
        """Controls first, as a suite that cannot see a bug need not go on; they belong to the first shard."""
        if self.controls and self.shard[0] == 1:
            for off, cases in self.campaign.controls.items():
                yield off, range(cases)
        for number, first in enumerate(range(0, self.cases, self.campaign.batch)):
            if number % self.shard[1] == self.shard[0] - 1:
                yield None, range(first, min(first + self.campaign.batch, self.cases))


def run_batch(campaign: Campaign, cases: range, off: str | None, folder: Path) -> Line:
    """Run the cases; one line."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    tally = campaign.cases(cases, folder, off)
    return {
        "campaign": campaign.name,
        "off": off,
        "first": cases.start,
        "last": cases.stop - 1,
        "passed": len(cases) - tally.failed,
        "failed": tally.failed,
        "broken": tally.broken,
        "counts": dict(tally.counts),
        "samples": {name: [round(value, 4) for value in values] for name, values in tally.samples.items()},
        "failures": tally.failures,
        "seconds": round(time.monotonic() - began, 2),
        "code": code_version(),
    }


def run_plan(plan: Plan, folder: Path, out: Path | None, say: TextIO = sys.stderr) -> list[Line]:
    """Run what is not in `out` yet, and add it there. Returns the lines of this plan, old ones too."""
    name = plan.campaign.name
    if reason := plan.campaign.needs():
        print(f"{name}: skipped: {reason}", file=say, flush=True)
        return _written(out, [{"campaign": name, "skipped": reason}])
    known = {_key(line): line for line in read_lines([out] if out else []) if "first" in line}
    lines = []
    for off, cases in plan.batches():
        line = known.get((name, off, cases.start, cases.stop - 1))
        if line is None:
            place = folder / f"{name}-{(off or 'run').replace(' ', '-').replace('/', '-')}-{cases.start}"
            (line,) = _written(out, [run_batch(plan.campaign, cases, off, place)])
            _tell(line, plan.cases, say)
        lines.append(line)
    return lines


def _written(out: Path | None, lines: list[Line]) -> list[Line]:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        # On its own line even where a killed run has left half of one.
        begun = out.exists() and not out.read_bytes().endswith(b"\n") and out.stat().st_size
        with out.open("a") as file:
            file.write("\n" * bool(begun) + "".join(json.dumps(line) + "\n" for line in lines))
    return lines


def _tell(line: Line, of: int, say: TextIO) -> None:
    what = f" without {line['off']!r}" if line["off"] else f" of {of}"
    counts = " ".join(f"{name}={value}" for name, value in line["counts"].items())
    verdict = f"{line['failed']} failed" if line["failed"] else "passed"
    text = f"{line['campaign']}: {line['first']}-{line['last']}{what}: {verdict}, {line['seconds']} s {counts}"
    print(text, file=say, flush=True)
    for case, reason in [] if line["off"] else line["failures"][:3]:
        print(f"  case {case}: {reason}", file=say, flush=True)


def _key(line: Line) -> tuple[str, str | None, int, int]:
    return line["campaign"], line["off"], line["first"], line["last"]


@dataclass
class Sum:
    """What the lines of one campaign, or of one of its controls, add up to."""

    cases: int = 0
    failed: int = 0
    broken: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    skipped: str | None = None

    def figures(self) -> dict[str, float]:
        """`{"recovery_s p95": 1.3, ...}`."""
        found = {}
        for name, values in self.samples.items():
            if values:
                found[f"{name} p50"] = statistics.median(values)
                found[f"{name} p95"] = sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]
                found[f"{name} max"] = max(values)
        return found


def add_up(lines: Iterable[Line]) -> dict[tuple[str, str | None], Sum]:
    """Sums by (campaign, control). Of batches that begin with the same case, the longest counts, and only once."""
    batches: dict[tuple[str, str | None, int], Line] = {}
    sums: dict[tuple[str, str | None], Sum] = defaultdict(Sum)
    for line in lines:
        if "skipped" in line:
            sums[line["campaign"], None].skipped = line["skipped"]
        elif (old := batches.get(_key(line)[:3])) is None or old["last"] < line["last"]:
            batches[_key(line)[:3]] = line
    for line in batches.values():
        total = sums[line["campaign"], line["off"]]
        total.cases += line["passed"] + line["failed"]
        total.failed += line["failed"]
        total.broken += line["broken"]
        total.seconds += line["seconds"]
        total.counts.update(line["counts"])
        for name, values in line["samples"].items():
            total.samples[name] += values
    return dict(sums)


def beyond(campaign: Campaign, off: str | None, total: Sum) -> list[str]:
    """What is not as it has to be."""
    if off is not None:
        if total.broken:
            return [f"the control broke in {total.broken} cases"]
        return [] if total.failed else [f"switching off {off!r} was not noticed in {total.cases} cases"]
    if not total.cases and not total.skipped:
        return ["no case was run"]
    found = [f"{total.failed} failed, {campaign.allowed} allowed"] if total.failed > campaign.allowed else []
    figures = total.figures()
    return found + [
        f"{name} is {figures[name]:.3g}, {limit:g} is allowed"
        for name, limit in campaign.limits.items()
        if figures.get(name, 0.0) > limit
    ]
