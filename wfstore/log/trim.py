"""Removes segments that history files hold, and older ones that do not count. The newest segment always stays, whatever
it holds.

They go in log order, so that what is left begins later and has no gap, and a writer that was fenced finds its own
segment gone before the claim that fenced it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from wfstore.log import failpoints
from wfstore.log._files import sync_directory, translated
from wfstore.log.segment import log_path, parse_name
from wfstore.log.survey import Survey, take_survey


class Trimmed(NamedTuple):
    """How much was removed."""

    files: int
    bytes: int


def trim(storage: str, next_seq: int) -> Trimmed:
    """Remove the sealed segments that hold nothing from `next_seq` on. Raises StorageError, DamageError."""
    files = freed = 0
    survey = take_survey(storage)
    with translated(storage, "removing segments that history files hold"):
        for name in _names_before(survey, next_seq):
            path = log_path(storage, name)
            try:
                size = os.path.getsize(path)
                Path(path).unlink()
            except FileNotFoundError:
                continue  # somebody else is at it, too
            files, freed = files + 1, freed + size
            failpoints.hit(failpoints.SEGMENT_REMOVED)
        if files:
            sync_directory(log_path(storage))
    return Trimmed(files, freed)


def replaced_bytes(storage: str, next_seq: int) -> int:
    """What `trim` would remove. Raises StorageError, DamageError."""
    size = 0
    with translated(storage, "weighing segments that history files hold"):
        for name in _names_before(take_survey(storage), next_seq):
            with contextlib.suppress(FileNotFoundError):
                size += os.path.getsize(log_path(storage, name))
    return size


def _names_before(survey: Survey, next_seq: int) -> list[str]:
    """The files before the first segment that has to stay, in log order."""
    counting = survey.segments
    held = [segment.seal is not None and segment.seal.next_seq <= next_seq for segment in counting[:-1]]
    kept = counting[held.index(False) if False in held else -1].name if counting else None
    return [name for name in survey.names if kept is not None and _key(name) < _key(kept)]


def _key(name: str) -> tuple[int, int]:
    return parse_name(name) or (0, 0)
