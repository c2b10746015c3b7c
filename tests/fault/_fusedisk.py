"""Mounts a _disk.Disk through FUSE: `python -m tests.fault._fusedisk FOLDER`. Orders come by standard input, one a
line, each answered by a line: `lose SEED` (SEED `-`: all that is pending), `off N` (no changes from the N-th on:
whoever asks for one is killed, until `on` or `lose`), `fail N` (the N-th fsync fails), `short N` (the N-th write
takes a part), `refuse N` (the next N writes fail), `sync`, `reset`, `calls`."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from typing import Any

import fuse

from tests.fault._disk import Disk, File, Folder, refused


class _Mounted(fuse.Operations):  # type: ignore[misc]
    use_ns = True

    def __init__(self) -> None:
        self.disk = Disk()
        self._open: dict[int, File] = {}
        self._handle = 0
        self._lock = threading.Lock()

    def __call__(self, operation: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                return super().__call__(operation, *arguments)
            except OSError as error:
                raise fuse.FuseOSError(error.errno) from error

    def order(self, line: str) -> str:
        """What an order of the test does."""
        name, _, value = line.strip().partition(" ")
        with self._lock:
            if name == "lose":
                self.disk.power_loss(None if value == "-" else random.Random(value))
            elif name == "off":
                self.disk.power_off_at = self.disk.calls + int(value)
            elif name == "on":
                self.disk.power_off_at = 0
            elif name == "fail":
                self.disk.fail_sync_at = self.disk.syncs + int(value)
            elif name == "short":
                self.disk.short_at = self.disk.writes + int(value)
            elif name == "refuse":
                self.disk.refusing = int(value)
            elif name == "sync":
                self.disk.root.sync_all()
            elif name == "reset":
                self.disk = Disk()
            return f"{self.disk.calls} {self.disk.syncs} {self.disk.writes}"

    def _change(self, written: File | None = None) -> None:
        if not self.disk.changing(written):
            with contextlib.suppress(ProcessLookupError):
                os.kill(fuse.fuse_get_context()[2], signal.SIGKILL)
            raise refused(errno.EIO)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._open[fh] if fh else self.disk.find(path)
        found = {"st_mode": node.mode, "st_mtime": int(node.mtime * 1e9), "st_uid": os.getuid(), "st_gid": os.getgid()}
        if isinstance(node, File):
            return found | {"st_size": len(node.data), "st_nlink": node.links}
        return found | {"st_nlink": 2}

    def readdir(self, path: str, fh: int) -> list[str]:
        folder = self.disk.find(path)
        return [".", "..", *(folder.names if isinstance(folder, Folder) else ())]

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 20, "f_bfree": 1 << 19, "f_bavail": 1 << 19}

    def _opened(self, file: File) -> int:
        self._handle += 1
        self._open[self._handle] = file
        return self._handle

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._change()
        folder, name = self.disk.folder(path)
        file = File(stat.S_IFREG | (mode & 0o7777))
        folder.change({name: file})
        return self._opened(file)

    def open(self, path: str, flags: int) -> int:
        file = self.disk.find(path)
        if not isinstance(file, File):
            raise refused(errno.EISDIR)
        return self._opened(file)

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._open[fh].data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._change(self._open[fh])
        taken = self.disk.taken(data)
        self._open[fh].write(offset, taken)
        return len(taken)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._change()
        node = self._open[fh] if fh else self.disk.find(path)
        if isinstance(node, File):
            node.truncate(length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._change()
        self.disk.sync(self._open[fh])
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._change()
        self.disk.sync(self.disk.find(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._change()
        folder, name = self.disk.folder(path)
        folder.change({name: Folder(stat.S_IFDIR | (mode & 0o7777))})
        return 0

    def unlink(self, path: str) -> int:
        self._change()
        folder, name = self.disk.folder(path)
        node = folder.names[name]
        if isinstance(node, File):
            node.links -= 1
        folder.change({name: None})
        return 0

    def rmdir(self, path: str) -> int:
        self._change()
        folder, name = self.disk.folder(path)
        node = folder.names[name]
        if isinstance(node, Folder) and node.names:
            raise refused(errno.ENOTEMPTY)
        folder.change({name: None})
        return 0

    def rename(self, old: str, new: str) -> int:
        self._change()
        source, name = self.disk.folder(old)
        target, new_name = self.disk.folder(new)
        node = source.names[name]
        if source is target:
            source.change({name: None, new_name: node})
        else:
            target.change({new_name: node})
            source.change({name: None})
        return 0

    def link(self, target: str, source: str) -> int:
        self._change()
        node = self.disk.find(source)
        folder, name = self.disk.folder(target)
        if name in folder.names:
            raise refused(errno.EEXIST)
        if isinstance(node, File):
            node.links += 1
        folder.change({name: node})
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        if times:
            self.disk.find(path).mtime = times[1] / 1e9
        return 0

    def chmod(self, path: str, mode: int) -> int:
        node = self.disk.find(path)
        node.mode = stat.S_IFMT(node.mode) | (mode & 0o7777)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0


def _obey(mounted: _Mounted, folder: str) -> None:
    for line in sys.stdin:
        print(mounted.order(line), flush=True)
    subprocess.run(["umount", "-l", folder], check=False)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _main(folder: str) -> None:
    mounted = _Mounted()
    threading.Thread(target=_obey, args=(mounted, folder), daemon=True).start()
    never = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    options = {"foreground": True, "nothreads": True, "direct_io": True, "hard_remove": True, "big_writes": True}
    fuse.FUSE(mounted, folder, **options, **never)


if __name__ == "__main__":
    _main(sys.argv[1])
