"""On PYTHONPATH, and with $WFSTORE_FAULT_CLOCK naming a file with a number of seconds: the wall clock of every Python
process of a test runs so much ahead, and jumps when the file changes. The monotonic clock is what it is; for the
negative control ($WFSTORE_FAULT_OFF) it jumps, too, so that nothing is left to wait by."""

import os
import time

_file = os.environ.get("WFSTORE_FAULT_CLOCK")
if _file:
    _time_ns, _monotonic = time.time_ns, time.monotonic

    def _ahead_s() -> int:
        with open(_file) as file:
            return int(file.read())

    time.time_ns = lambda: _time_ns() + _ahead_s() * 1_000_000_000
    time.time = lambda: _time_ns() / 1e9 + _ahead_s()
    if os.environ.get("WFSTORE_FAULT_OFF"):
        time.monotonic = lambda: _monotonic() + _ahead_s()

    def _by_that_clock(stat):
        """Files carry the kernel's time; as long as the clock does not jump they are as old as they are."""

        def told(*arguments, **named):
            found = stat(*arguments, **named)
            values = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
            values["st_mtime"] += _ahead_s()
            values["st_mtime_ns"] += _ahead_s() * 1_000_000_000
            return os.stat_result(tuple(found), values)

        return told

    os.stat, os.fstat = _by_that_clock(os.stat), _by_that_clock(os.fstat)
