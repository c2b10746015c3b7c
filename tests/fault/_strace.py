"""strace, attached to a forked child before it begins: what it called, and faults at the n-th call of a kind."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.fault._zygote import Child

#: What changes something on a disk, or makes it durable. openat: only where it makes a file.
CALLS = ("pwrite64", "write", "fdatasync", "fsync", "openat", "rename", "link", "unlink", "mkdir", "rmdir", "ftruncate")
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


class Call(NamedTuple):
    """The `number`-th call of its name by its thread; `text`: its arguments and result as strace shows them."""

    thread: str
    name: str
    number: int
    text: str

    @property
    def injected(self) -> bool:
        return "(INJECTED" in self.text


def cannot_trace() -> str | None:
    """Why there are no system call faults on this machine."""
    if shutil.which("strace") is None:
        return "no strace: `apt-get install strace`"
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return f"strace cannot trace here: {tried.stderr.strip()}" if tried.returncode else None


def run_traced(child: Child, log: Path, fault: str | None = None) -> list[str]:
    """Let the child run under strace, which writes to `log`. fault: as in `inject=`. Returns what the child said."""
    command = ["strace", "-f", "-y", "-p", str(child.pid), "-o", str(log), "-e", f"trace={','.join((*CALLS, 'close'))}"]
    tracer = subprocess.Popen(
        [*command, *(["-e", f"inject={fault}"] if fault else [])], stderr=subprocess.PIPE, text=True
    )
    try:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace did not attach: {said}")
        child.begin()
        return child.ended()
    finally:
        tracer.communicate(timeout=60)


def calls(log: Path, store: Path) -> list[Call]:
    """The calls on files of the store, numbered by thread and name among all calls of that name."""
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            thread, name, text = match.groups()
            counts[thread, name] += 1
            if str(store) in text and (name != "openat" or "O_CREAT" in text):
                found.append(Call(thread, name, counts[thread, name], text))
    return found
