"""How the tests are run."""

from __future__ import annotations

import os
import signal
import sys
import tempfile

import pytest

# Where an environment has Python keep no bytecode, every worker would compile all tests, and every interpreter that a
# test starts all of wfstore: seconds of each, again and again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Ray leaves the address of the newest cluster in its folder, where drivers look for it: each pytest worker has a folder
# of its own, and so clusters of its own.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["RAY_TMPDIR"] = os.path.join(tempfile.gettempdir(), f"ray-{os.getuid()}-{worker}")

# A shell that begins pytest in the background has it ignore Ctrl-C, and so all that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_FAST = "not (ray or slow or s3 or browser or fault or peer)"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Fast tests share the cores; the others have servers, clusters and clocks of their own, one after the other."""
    return min(4, os.cpu_count() or 1) if config.option.markexpr == _FAST else 0
