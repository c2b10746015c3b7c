"""Mounting a disk of _fusedisk.py: a filesystem that can lose what was not made durable."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.fault._zygote import ROOT


class FuseDisk:
    """A mounted disk in a process of its own. Raises RuntimeError when it cannot be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "tests.fault._fusedisk", str(folder)]
        folder.mkdir(parents=True, exist_ok=True)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, stdin=pipe, stdout=pipe)
        until = time.monotonic() + 20
        while not os.path.ismount(folder):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no FUSE filesystem could be mounted at {folder}")
            time.sleep(0.01)

    def order(self, line: str) -> list[int]:
        """Returns how many changes, fsyncs and writes there were."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        return [int(word) for word in self._process.stdout.readline().split()]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def __enter__(self) -> FuseDisk:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def cannot_mount() -> str | None:
    """Why there can be no FUSE filesystem on this machine."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that may be opened"
    if os.getuid():
        return "mounting without root is not supported here"
    try:
        import fuse  # noqa: F401
    except (ImportError, OSError) as error:
        return f"{error}: `pip install fusepy`, `apt-get install libfuse2`"
    return None
