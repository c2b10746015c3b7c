"""Programs of tests/catalogue/programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.engine.conftest import ROOT


def launch(program: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start `python -m tests.catalogue.programs.<program>`."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.catalogue.programs.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
