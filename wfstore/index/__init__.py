"""The DuckDB side: the log's rows in memory, the views over them, and what may be asked. It only reads."""

from wfstore.index.database import Connection, Relation
from wfstore.index.history import FRAMES, HistoryDatabase, events_frame, shared, to_polars
from wfstore.index.tail import EventSource, Index, LiveSource, Params, Scan
from wfstore.index.wholelog import WholeLog

__all__ = [
    "FRAMES",
    "Connection",
    "EventSource",
    "HistoryDatabase",
    "Index",
    "LiveSource",
    "Params",
    "Relation",
    "Scan",
    "WholeLog",
    "events_frame",
    "shared",
    "to_polars",
]
