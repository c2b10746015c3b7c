"""Recorded workflows of other systems, as plain data. Reads files; writes nothing and runs nothing."""

from wfstore.traces.errors import TraceError
from wfstore.traces.wfformat import Trace, TraceTask, read

__all__ = ["Trace", "TraceError", "TraceTask", "read"]
