"""Campaigns of takeovers: managers in processes of their own take a store from one another, paused, live or killed,
while readers look on.

Nothing acknowledged may be lost, nothing may be there twice, no reader may see what is not the log in the end, and who
was replaced ends with an error that says so. One batch is one store; a case is one takeover.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

from tests.fault._takeovers_arena import Arena, NeverCameError, Takeover
from tests.fault._takeovers_processes import FENCE, FENCE_GONE, PUT_IF_ABSENT, SECOND_LOOK
from tests.fault._takeovers_verdict import Verdict
from tests.fault.campaign import Tally, batch_campaign


def run_on(
    storage: str, cases: range, folder: Path, tally: Tally, off: str | None, *, compacting: bool = False
) -> None:
    """The takeovers of these cases, one after the other, on the store at `storage`, which is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    arena = Arena(storage, folder, off, compacting)
    case = cases.start
    try:
        for case in cases:
            takeover = Takeover.drawn(case, arena.objects, compacting)
            arena.take_over(takeover, case)
            tally.count(takeover.kind)
        readers = arena.finish()
    except NeverCameError as error:
        tally.fail(case, str(error), cases=cases.stop - case)
        return
    finally:
        arena.end()
    verdict = Verdict(arena, readers)
    for name, count in verdict.counts.items():
        tally.count(name, count)
    found = {max(case, cases.start): what for case, what in verdict.findings}
    for case, what in found.items():
        tally.fail(case, what)
    if not found:
        shutil.rmtree(folder)


@batch_campaign("takeovers", ci=300, release=5_000, batch=50, controls={FENCE: 30, SECOND_LOOK: 60})
def takeovers(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Takeovers with paused, live or killed old managers on a local disk, readers included."""
    run_on(str(folder / "store"), cases, folder, tally, off)


@batch_campaign("takeovers-compacted", ci=24, release=1_000, batch=24, controls={FENCE_GONE: 24})
def takeovers_compacted(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """The same while the log moves into history files: who was replaced finds neither its segment nor the claim."""
    run_on(str(folder / "store"), cases, folder, tally, off, compacting=True)


@batch_campaign("takeovers-moto", ci=30, release=5_000, batch=30, controls={PUT_IF_ABSENT: 15}, marks=("s3",))
def takeovers_moto(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """The same on an object store that speaks S3 over HTTP (moto)."""
    from tests.log.objects.conftest import s3_uri
    from tests.log.objects.s3_server import running

    # It lists by looking at everything it holds, so each batch has a new one.
    with running() as endpoint:
        run_on(s3_uri(endpoint), cases, folder, tally, off)


def _no_ceph() -> str | None:
    from tests.s3.ceph import missing

    return missing()


@batch_campaign(
    "takeovers-ceph", ci=40, release=5_000, batch=40, controls={PUT_IF_ABSENT: 15}, marks=("s3",), needs=_no_ceph
)
def takeovers_ceph(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """The same on Ceph's S3 gateway."""
    from tests.log.objects.conftest import s3_uri

    run_on(s3_uri(_ceph()), cases, folder, tally, off)


@functools.cache
def _ceph() -> str:
    """Endpoint of a gateway for this process: it takes half a minute to start."""
    from tests.log.objects.s3_server import KEY, SECRET
    from tests.s3.ceph import CephMissingError, ceph_running

    until_exit = contextlib.ExitStack()
    atexit.register(until_exit.close)
    for left in (2, 1, 0):
        folder = Path(tempfile.mkdtemp(prefix="wfstore-ceph-"))
        until_exit.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            return until_exit.enter_context(ceph_running(folder, KEY, SECRET))
        except CephMissingError:
            # On a busy machine a daemon may give up on the others.
            if not left:
                raise
    raise AssertionError
