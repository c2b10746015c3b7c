"""What lies in a folder, to the byte and the nanosecond."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

Tree = dict[str, tuple[int, int, int, str]]


def tree(folder: Path) -> Tree:
    """Relative path -> mode, inode, mtime in nanoseconds, and the hash of the bytes; folders too."""
    found: Tree = {}
    for root, folders, files in os.walk(folder):
        for name in ["", *folders, *files]:
            path = Path(root, name)
            stat = path.lstat()
            data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path.relative_to(folder))] = stat.st_mode, stat.st_ino, stat.st_mtime_ns, data
    return found
