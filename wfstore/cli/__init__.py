"""The `wfstore` command. It parses, asks the library, and prints; it decides nothing about workflows."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 refused or not found, 2 wrong usage, 130 interrupted.

    A refusal is one line on stderr. What is left uncaught is a bug, and shows its traceback.
    """
    try:
        from wfstore.cli.app import INTERRUPTED, run
    except KeyboardInterrupt:  # importing takes a moment, too
        sys.stderr.write("wfstore: interrupted\n")
        sys.exit(130)
    code = run(sys.argv[1:] if argv is None else list(argv))
    if code == INTERRUPTED:
        # The same Ctrl-C may come once more, as watchfiles listens for it beside Python, and would end Python's end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
