"""Damaged bytes: of segments through the log's scanner, and of every kind of file end to end through SQL and Store."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from tests.fault._damage_scanner import Scanner, case_bytes, judged
from tests.fault._zygote import Child, Zygote
from tests.fault.campaign import Tally, batch_campaign

CRC_CHECK = "CRC check"


@batch_campaign("damage-scanner", ci=100_000, release=5_000_000, batch=50_000, controls={CRC_CHECK: 20_000})
def scanner(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Every cut, every bit flip and any other damage of segments, read by the scanner: no wrong row, none skipped."""
    with Scanner().ready(off) as scan:
        for case in cases:
            made, data, kind = case_bytes(case)
            try:
                tally.count(f"{kind}_{judged(scan, made, data)}")
            except AssertionError as error:
                tally.fail(case, str(error))
            except Exception as error:  # the reader must end in an error of ours, whatever the bytes are
                tally.fail(case, f"{type(error).__name__}: {error}")


_BATCH = 500
#: Of histories that have files of every kind.
_SEEDS = (10, 12, 13, 14, 15, 16, 17, 19)
#: As long as a machine may be frozen, and more.
_LONGEST_S = 180.0


@functools.cache
def zygote() -> Zygote:
    """One for the whole run; it ends with this process, as its socket closes."""
    return Zygote("tests.fault._damage_stores")


@batch_campaign("damage-store", ci=2_000, release=50_000, batch=_BATCH, controls={CRC_CHECK: 100})
def store(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Any damage of segments, history files, manifest, payloads and store.json, end to end: no wrong row, all named."""
    first = cases.start
    for life in range(len(cases)):
        if first >= cases.stop:
            break
        # A store for each batch of a release, and the same one however a batch is run.
        seed = _SEEDS[first // _BATCH % len(_SEEDS)]
        place = folder / str(life)
        child = zygote().fork("tests.fault._damage_stores:run", str(place), first, cases.stop - 1, seed, off)
        child.begin()
        first = _noted(child, first, tally)


def _noted(child: Child, first: int, tally: Tally) -> int:
    """Note what the child says of its cases; the case to go on with."""
    ended = "ended the process"
    try:
        while child.wait_lines(len(child.lines) + 1, _LONGEST_S):
            continue
    except TimeoutError:
        ended = "hung"
        child.kill()
    child.ended()
    case = None
    for line in child.lines:
        word, _, rest = line.partition(" ")
        if word == "begin":
            case = int(rest)
        elif word == "broke":
            raise RuntimeError(f"the process that asks the store broke: {rest}")
        elif case is not None:
            if word == "failed":
                tally.fail(case, json.loads(rest))
            else:
                tally.count(rest)
            first, case = case + 1, None
    if case is None:
        return first
    tally.fail(case, f"reading {ended}")
    tally.count("crashes")
    return case + 1
