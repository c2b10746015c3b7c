"""Compaction: sealed log into history files, small parts into larger ones, and what was deleted out of all of them.

Nothing is ever changed in place: new files are written, a manifest that names them is published, and what it no longer
names goes away after a time of grace. A crash leaves files that nobody knows, which a later run removes.
"""

from wfstore.index.compaction.compact import GRACE_S, Compacted, compact, drop_payloads

__all__ = ["GRACE_S", "Compacted", "compact", "drop_payloads"]
