"""`python -m tests.fault.simulation SEED [--off PROTECTION]`: run one seed, and print all that happened."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import traceback
import warnings
from collections import Counter

#: Seeds between two looks of the garbage collector.
_COLLECT_EVERY = 100


def main() -> int:
    """Returns 1 where a law was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.simulation")
    parser.add_argument("seed", type=int, nargs="?")
    parser.add_argument("--batch", type=int, nargs=2, metavar=("FIRST", "STOP"), help="many, with results as JSON")
    parser.add_argument("--off", help="protection to switch off")
    parser.add_argument("--last", type=int, default=0, metavar="N", help="only the last N lines")
    given = parser.parse_args()
    if given.batch:
        return _many(range(*given.batch), given.off)
    if given.seed is None:
        parser.error("which seed?")
    return _one(given.seed, given.off, given.last)


def _one(seed: int, off: str | None, last: int) -> int:
    from tests.fault.simulation.stage import staged

    with staged(off) as simulation_of:
        simulation = simulation_of(seed, True)
        try:
            result, status = str(simulation.run()), 0
        except Exception:
            result, status = traceback.format_exc(), 1
    print("\n".join(simulation.world.trace[-last:]))
    print(result)
    return status


def _many(seeds: range, off: str | None) -> int:
    from tests.fault.simulation.stage import staged
    from wfstore.errors import WfstoreError

    counts: Counter[str] = Counter()
    failures: list[tuple[int, str, bool]] = []
    _forget_imports()
    gc.disable()
    logging.disable()  # what managers say about disks that are full on purpose
    # Of processes that were killed before their tasks had begun.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    with staged(off) as simulation_of:
        for seed in seeds:
            simulation = simulation_of(seed, False)
            try:
                counts.update(simulation.run())
            except Exception as error:
                found = isinstance(error, (AssertionError, WfstoreError))
                where = "" if isinstance(error, AssertionError) else traceback.format_exc()[-1500:]
                failures.append((seed, f"{type(error).__name__}: {error}"[:1500] + where, not found))
            simulation.world.close()
            if not seed % _COLLECT_EVERY:
                gc.collect()
    gc.unfreeze()
    json.dump({"counts": counts, "failures": failures}, sys.stdout)
    return 0


def _forget_imports() -> None:
    """The collector need not look at modules again and again; those that a check of SQL needs are among them."""
    from tests.fault.simulation import laws
    from wfstore.model.state import State

    laws.check_sql((), State())
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
