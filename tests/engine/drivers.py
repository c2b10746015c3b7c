"""Programs of tests/engine/programs in processes of their own, and the end of them and of all they started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import psutil

from tests.engine.conftest import ROOT


def launch(program: str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `python -m tests.engine.programs.<program>`."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.engine.programs.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the program has printed the line `word`."""
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"it ended without saying {word!r}:\n{process.stderr.read()}")


def end_everything(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a driver and to every process below it, all at one moment."""
    try:
        whole = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        whole = []
    for one in whole:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(whole, timeout=10)
    process.communicate(timeout=30)
