"""Replaying a recorded workflow: every recorded task becomes one that sleeps as long, scaled, and returns as many
bytes, scaled. It runs none of the recorded programs."""

from __future__ import annotations

import random
import time

#: No output is larger than this, whatever was recorded.
OUTPUT_LIMIT_BYTES = 1_000_000


def replay(task_id: str, seconds: float, size: int, *upstream: bytes) -> bytes:
    """Sleep, then return `size` bytes that no other task returns (a store keeps equal outputs once)."""
    time.sleep(seconds)
    return random.Random(task_id).randbytes(size)


def trace_output(*outputs: bytes) -> int:
    """How many bytes the last tasks of the trace returned: what a trace with several ends gives back."""
    return sum(map(len, outputs))
