"""What a fault campaign is, and how one is registered and run.

A campaign is a numbered series of cases; a case is a pure function of its number (seed everything by it), so that a
long run can be split among machines, stopped, and gone on with. Register one in any module of this package:

    @campaign("kill-writer", ci=500, release=20_000, batch=50, controls={"no fdatasync": 40})
    def kill_writer(case: int, folder: Path, off: str | None = None) -> Counts | None:
        ...

- `folder` is a fresh empty folder of this case; it is removed once the case has passed, and kept when it has failed.
- A case fails by raising (an AssertionError with a text one can act on). What it returns is added up over all cases:
  an int is a count (`{"acknowledged": 17}`), a float, or a list of floats, is a sample of a distribution
  (`{"recovery_s": 1.3}`), of which the sum shows median, p95 and maximum.
- `ci`, `release`: how many cases a run of that size has; a function when only a trial run can tell ("at every call").
- `batch`: cases per line of results; choose it so that a batch takes 5-60 s.
- `controls`: the negative controls. Name of a protection that is switched off -> number of cases to run without it
  (the name reaches the case as `off`). At least one of them has to FAIL: a suite that cannot see the bug proves
  nothing. Only AssertionError and WfstoreError count as having seen it; any other exception is a broken control.
  Switch off from the test's side (replace a function of wfstore in the child program), never by a switch in wfstore.
- `side_by_side`: so many cases of a batch run at once, each in a thread, for cases that mostly wait (for a disk, for
  another process). They may share nothing that is not safe among threads.
- `allowed`: failed cases that are acceptable (0). `limits`: bounds of samples, `{"recovery_s p95": 5.0}`; the names of
  the figures are p50, p95 and max.
- `marks`: further pytest markers, ("ray",) or ("s3",). `needs`: says why the campaign cannot run on this machine (it is
  skipped with that reason, and reported as skipped), or None.

Where a fresh folder and a call per case cost more than the case (damaged bytes: 15,000 cases a second), use
`@batch_campaign(...)` with `run(cases: range, folder: Path, tally: Tally, off=None)`, which reports by `tally.fail`,
`tally.count` and `tally.sample`; an exception fails the whole batch.

A module is found by being here: every module of this package whose name does not begin with `_` or `test_` is
imported, on every collection of the tests too. So import nothing heavy on top of it (ray, hypothesis, moto, fuse:
inside functions), and name child programs `_something.py`. `python -m tests.fault` runs campaigns;
docs/how-to/run-the-fault-suite.md has the commands. tests/fault/test_campaigns.py runs the CI size of each, and each
control.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import shutil
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wfstore.errors import WfstoreError

Counts = Mapping[str, int | float | list[float]]
_FRAME = ("campaign", "conftest", "results")
_SHOWN_FAILURES = 20

CAMPAIGNS: dict[str, Campaign] = {}


@dataclass
class Tally:
    """What came out of some cases. `failures`: the first (case, reason); `broken`: failed cases that are no finding."""

    failed: int = 0
    broken: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def fail(self, case: int, reason: str, *, cases: int = 1, broken: bool = False) -> None:
        """The case failed; `cases`: it and so many after it."""
        self.failed += cases
        self.broken += cases if broken else 0
        if len(self.failures) < _SHOWN_FAILURES:
            self.failures.append((case, reason))

    def raised(self, case: int, error: BaseException, cases: int = 1) -> None:
        """The case failed by raising."""
        found = isinstance(error, (AssertionError, WfstoreError))
        where = traceback.format_exception(error)[-6:]
        self.fail(case, "".join(where).strip()[-2000:], cases=cases, broken=not found)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] += by

    def sample(self, name: str, value: float) -> None:
        self.samples[name].append(value)

    def add(self, counts: Counts | None) -> None:
        """What a case returned."""
        for name, value in (counts or {}).items():
            if isinstance(value, int):
                self.count(name, value)
            else:
                self.samples[name] += value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Campaign:
    """A registered campaign; the fields are explained above. `run` is the batch form."""

    name: str
    run: Callable[..., None]
    ci: int | Callable[[], int]
    release: int | Callable[[], int]
    batch: int
    controls: Mapping[str, int]
    allowed: int
    limits: Mapping[str, float]
    marks: tuple[str, ...]
    needs: Callable[[], str | None]
    about: str

    def size(self, release: bool) -> int:
        """Number of cases."""
        size = self.release if release else self.ci
        return size if isinstance(size, int) else size()

    def cases(self, cases: range, folder: Path, off: str | None = None) -> Tally:
        """Run these cases, with the protection `off` switched off."""
        tally = Tally()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.run(cases, folder, tally, **({} if off is None else {"off": off}))
        except Exception as error:
            tally.raised(cases.start, error, len(cases) - tally.failed)
        return tally


def batch_campaign(
    name: str,
    *,
    ci: int | Callable[[], int],
    release: int | Callable[[], int],
    batch: int = 1000,
    controls: Mapping[str, int] | None = None,
    allowed: int = 0,
    limits: Mapping[str, float] | None = None,
    marks: tuple[str, ...] = (),
    needs: Callable[[], str | None] = lambda: None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register `run(cases, folder, tally, off=None)`. Raises ValueError for a name that is taken."""

    def register(run: Callable[..., None]) -> Callable[..., None]:
        if name in CAMPAIGNS:
            raise ValueError(f"two campaigns are named {name}")
        about = (run.__doc__ or "").strip().partition("\n")[0]
        CAMPAIGNS[name] = Campaign(
            name, run, ci, release, batch, controls or {}, allowed, limits or {}, marks, needs, about
        )
        return run

    return register


def campaign(
    name: str, *, batch: int = 50, side_by_side: int = 1, **settings: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `run(case, folder, off=None)`; settings: those of `batch_campaign`."""

    def register(run: Callable[..., Any]) -> Callable[..., Any]:
        def each(cases: range, folder: Path, tally: Tally, **off: str) -> None:
            def one(case: int) -> Counts | Exception | None:
                place = folder / str(case)
                place.mkdir()
                try:
                    counts: Counts | None = run(case, place, **off)
                except Exception as error:
                    return error
                shutil.rmtree(place)
                return counts

            with contextlib.ExitStack() as stack:
                # Only the main thread may handle signals.
                all_of = stack.enter_context(ThreadPoolExecutor(side_by_side)).map if side_by_side > 1 else map
                for case, outcome in zip(cases, all_of(one, cases), strict=True):
                    if isinstance(outcome, Exception):
                        tally.raised(case, outcome)
                    else:
                        tally.add(outcome)

        each.__doc__ = run.__doc__
        batch_campaign(name, batch=batch, **settings)(each)
        return run

    return register


def load() -> dict[str, Campaign]:
    """All campaigns, by name."""
    package = sys.modules[__package__ or "tests.fault"]
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith(("_", "test_")) and module.name not in _FRAME:
            importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(CAMPAIGNS.items()))
