"""Which kinds of history files a sandbox's queries read."""

from __future__ import annotations

from wfstore.schema.history import EVENTS, SUPERSEDED, VIEW_KINDS

#: The others hold users' values, and what was deleted.
READABLE = frozenset((*VIEW_KINDS, EVENTS, SUPERSEDED))
