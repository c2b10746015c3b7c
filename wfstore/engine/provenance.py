"""What a submitter's process is made of: versions, and the commit of its working tree where git knows one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import ray

from wfstore._version import __version__

#: An answer is good for so long; then the next submission has it looked for anew, and does not wait.
_GOOD_FOR_S = 10.0
#: A working tree whose state takes longer, as on a slow network drive, is not known.
_TIMEOUT_S = 3.0
_STATUS = ("status", "--porcelain=v2", "--branch", "--untracked-files=no")
_COMMIT = "# branch.oid "
_NONE_YET = "(initial)"


@cache
def versions() -> dict[str, str]:
    """Of python, ray and wfstore."""
    return {"python": platform.python_version(), "ray": ray.__version__, "wfstore": __version__}


class WorkingTree:
    """The git working tree that this process's program lies in; files that git does not know do not count."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: that of the program, else the current one."""
        self._folder = folder or _home()
        self._found: dict[str, Any] | None = None
        self._looked_at = -_GOOD_FOR_S
        self._looking: threading.Thread | None = None
        self._lock = threading.Lock()

    def look(self) -> threading.Thread | None:
        """Have it looked for in the background, unless it was just now."""
        with self._lock:
            if self._looking is None and time.monotonic() - self._looked_at >= _GOOD_FOR_S:
                self._looking = threading.Thread(target=self._look, name="wfstore-git", daemon=True)
                self._looking.start()
            return self._looking

    def now(self) -> dict[str, Any] | None:
        """{commit, dirty} as they were within the last seconds; None outside of a working tree, or without git. Waits
        for the first answer only."""
        looking = self.look()
        if looking is not None and self._looked_at < 0:
            looking.join(_TIMEOUT_S)
        return self._found

    def _look(self) -> None:
        found = working_tree(self._folder)
        with self._lock:
            self._found, self._looked_at, self._looking = found, time.monotonic(), None


def working_tree(folder: Path) -> dict[str, Any] | None:
    """{commit: 40 (or 64) hexadecimal digits, dirty: whether a file that git knows differs from it}."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), *_STATUS],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git, no working tree, one of somebody else's, or too slow
        return None
    lines = said.stdout.decode("utf-8", "replace").splitlines()
    commit = next((line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)), _NONE_YET)
    if commit == _NONE_YET:
        return None
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def _home() -> Path:
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    folder = Path(program).resolve().parent if program else Path.cwd()
    return folder if folder.is_dir() else Path.cwd()
