"""Child programs of these campaigns: writers of a log that are killed, and the protections that can be switched off."""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import signal
import stat
import time
from collections.abc import Callable
from typing import Any

from tests.fault._workload import commit
from tests.fault._zygote import Channel
from wfstore.errors import WfstoreError
from wfstore.log import claim, open_writer, writer
from wfstore.log.trim import trim

NO_FDATASYNC = "fdatasync"
NO_DIRECTORY_SYNC = "fsync of the folder"
EARLY = "the acknowledgement after the write"
RETRY = "never again after a failed fdatasync"
ONE_WRITE = "the loop around write"
NO_SEAL_SYNC = "fdatasync of what a claim seals"
NO_FORGET = "reading past the page cache"
SWEEP_EARLY = "removal only after the manifest"


def switch_off(protection: str | None) -> None:
    """In this process, for ever."""
    if protection == NO_FDATASYNC:
        os.fdatasync = os.fsync = lambda fd: None
    elif protection == NO_DIRECTORY_SYNC:
        sync = os.fsync
        os.fsync = lambda fd: None if stat.S_ISDIR(os.fstat(fd).st_mode) else sync(fd)  # type: ignore[arg-type]
    elif protection == RETRY:
        os.fdatasync = _again(os.fdatasync)
    elif protection == ONE_WRITE:
        for module in (claim, writer):
            module.write_at = os.pwrite  # type: ignore[attr-defined]
    elif protection == SWEEP_EARLY:
        module = importlib.import_module("wfstore.index.compaction.compact")
        publish = module.publish_manifest
        module.publish_manifest = lambda blobs, manifest: _swept(blobs, manifest) and publish(blobs, manifest)


def _again(sync: Callable[[int], None]) -> Callable[[int], None]:
    def twice(fd: int) -> None:
        try:
            sync(fd)
        except OSError:
            sync(fd)

    return twice


def _swept(blobs: Any, manifest: Any) -> bool:
    trim(blobs._storage, manifest.next_seq)
    return True


def append_for_ever(channel: Channel, store: str, case: int, turn: int, off: str | None) -> None:
    """Append the commits of a turn, with rotations and takeovers of one's own; says a line for each that is durable."""
    switch_off(off)
    chance = random.Random(f"{case}.{turn}")
    segment_bytes = chance.choice((2_000, 20_000, 1 << 24))
    reopen_every = chance.choice((3, 10, 1_000_000))
    number = 0

    def opened() -> Any:
        return open_writer(store, segment_bytes=segment_bytes)

    log = opened()
    while True:
        events = commit(case, turn, number)
        if off == EARLY:
            channel.say("a")
        log.append(events)
        if off != EARLY:
            channel.say("a")
        number += 1
        if number % reopen_every == 0:
            leave(log, chance)
            log = opened()


def leave(log: Any, chance: random.Random) -> None:
    """Close it, or go away as if killed, and give only the descriptor back."""
    if chance.random() < 0.5:
        log.close()
    else:
        os.close(log._segment.fd)


def append_until_refused(
    channel: Channel,
    store: str,
    case: int,
    segment_bytes: int,
    largest_file: int | None,
    off: str | None,
    pause: tuple[int, str] | None = None,
) -> None:
    """Append until an error; says `a` for each acknowledged commit, `error TYPE TEXT`, and `lied` for one after it.

    pause: after so many commits, wait until there is a file of that name.
    """
    switch_off(off)
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    number, log = 0, None
    try:
        log = open_writer(store, segment_bytes=segment_bytes)
        while True:
            log.append(commit(case, 0, number))
            channel.say("a")
            number += 1
            while pause is not None and number == pause[0] and not os.path.exists(pause[1]):
                time.sleep(0.001)
    except WfstoreError as error:
        channel.say(f"error {json.dumps([type(error).__name__, str(error)])}")
    try:
        if log is not None:
            log.append(commit(case, 9, 0))
            channel.say("lied")
    except WfstoreError:
        pass
