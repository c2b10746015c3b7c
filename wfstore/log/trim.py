"""Removes segments that history files hold. The newest segment always stays, whatever it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from wfstore.log._files import sync_directory, translated
from wfstore.log.segment import log_path
from wfstore.log.survey import take_survey


class Trimmed(NamedTuple):
    """How much was removed."""

    files: int
    bytes: int


def trim(storage: str, next_seq: int) -> Trimmed:
    """Remove the sealed segments that hold nothing from `next_seq` on. Raises StorageError, DamageError."""
    files = freed = 0
    survey = take_survey(storage)
    with translated(storage, "removing segments that history files hold"):
        for segment in survey.segments[:-1]:
            if segment.seal is None or segment.seal.next_seq > next_seq:
                break
            path = log_path(storage, segment.name)
            freed += os.path.getsize(path)
            Path(path).unlink()
            files += 1
        if files:
            sync_directory(log_path(storage))
    return Trimmed(files, freed)
