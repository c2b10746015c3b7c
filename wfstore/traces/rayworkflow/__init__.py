"""Reads a storage folder written by the removed ``ray.workflow`` (Ray 2.x) into plain immutable values.

A folder or URI in, `OldWorkflow` values out. It imports no Ray, opens no pickle and writes nothing; what the pickles
say without being run is in `peek`, how they are opened where they have to be is in `pickles`.
"""

from wfstore.traces.rayworkflow.files import Blob
from wfstore.traces.rayworkflow.store import Found, OldStore
from wfstore.traces.rayworkflow.workflow import OldTask, OldWorkflow

__all__ = ["Blob", "Found", "OldStore", "OldTask", "OldWorkflow"]
