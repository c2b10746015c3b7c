"""What a sandbox's process may do at all, set by itself before it hears of any query and never given back.

Resource limits work on any POSIX system. Where Linux has Landlock (since 5.13, and not switched off), the kernel also
refuses files outside a few folders, every write, and TCP. What a system lacks is left out: the database is locked.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
import sys
from collections.abc import Iterable

_OPEN_FILES = 1024
_NICE = 10
#: System calls 444-446 have these numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIRECTORY = (1 << bit for bit in range(4))
#: ABI -> the rights on files known since: all but those are refused.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
#: ABI -> binding and connecting TCP; signals to others and abstract sockets of others.
_NET_SINCE, _SCOPE_SINCE = 4, 6


def apply(readable: Iterable[str]) -> bool:
    """Limit this process: no file of a byte's length, no core, the lowest priority there is use for, and where there is
    Landlock only reading below `readable`. Returns whether there is. To be called while there is but one thread."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.nice(_NICE)
    return sys.platform == "linux" and _landlock(readable)


def limit_memory(more_bytes: int, beyond_bytes: int) -> None:
    """Let the address space grow to `beyond_bytes` (what it was at some time) plus `more_bytes`, where that counts."""
    if beyond_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = beyond_bytes + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


def address_space() -> int:
    """Bytes that this process has mapped; 0 where that is not known or not limited."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _landlock(readable: Iterable[str]) -> bool:
    system = ctypes.CDLL(None, use_errno=True)
    abi = system.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if abi < 1:
        return False
    rights = max(count for since, count in _FILE_RIGHTS.items() if since <= abi)
    net = 3 if abi >= _NET_SINCE else 0
    scope = 3 if abi >= _SCOPE_SINCE else 0
    attributes = struct.pack("=QQQ", (1 << rights) - 1, net, scope)
    size = 24 if abi >= _SCOPE_SINCE else 16 if abi >= _NET_SINCE else 8
    rules = system.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for path in readable:
            _allow(system, rules, path)
        if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(system.syscall(_RESTRICT_SELF, rules, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(rules)


def _allow(system: ctypes.CDLL, rules: int, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", _READ_FILE | (_READ_DIRECTORY if os.path.isdir(path) else 0), folder)
            system.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, ctypes.c_uint32(0))
        finally:
            os.close(folder)
