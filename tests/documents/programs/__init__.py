"""Drivers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.engine.conftest import ROOT


def start(program: str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `python -m tests.documents.programs.<program>`; `tests.engine.drivers` waits for it and ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", f"{__name__}.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
