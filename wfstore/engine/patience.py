"""Waiting for space on a disk that is full: what was accepted goes on when there is some again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from wfstore.errors import StorageFullError
from wfstore.objects import is_uri

_T = TypeVar("_T")
#: With less a manager would not get far.
ENOUGH_BYTES = 1 << 20
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_log = logging.getLogger("wfstore.storage")


def is_full(storage: str) -> bool:
    """Whether next to nothing is left where the store lies. False where that cannot be told."""
    if is_uri(storage):
        return False
    try:
        found = os.statvfs(storage)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < ENOUGH_BYTES


def with_patience(storage: str, action: Callable[[], _T], for_s: float | None = None) -> _T:
    """What `action` gives; where no space is left for it, it is tried again when there is some. for_s: None for ever.

    Raises StorageFullError when that takes too long, and whatever else `action` raises.
    """
    deadline = None if for_s is None else time.monotonic() + for_s
    pause_s, told = _PAUSE_S, False
    while True:
        try:
            return action()
        except StorageFullError as error:
            if deadline is not None and time.monotonic() > deadline:
                raise
            if not told:
                _log.warning("%s; waiting for space", error)
                told = True
        time.sleep(pause_s)
        # A quota is not seen beforehand, and each try may leave an empty file behind: not too often then.
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        while is_full(storage) and (deadline is None or time.monotonic() < deadline):
            time.sleep(_PAUSE_S)
