"""Python's garbage collector in processes that hold much for long."""

from __future__ import annotations

import atexit
import gc


def calm_collector(full_every: int = 100) -> None:
    """Never look again through what is there now, and seldom through what comes: full collections of a large heap
    without cycles find nothing, and take a tenth of a busy process's time. full_every: in million objects that came
    to stay. May be called again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, full_every)
    # DuckDB's bindings complain about everything that is still there at the end of the process.
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)
