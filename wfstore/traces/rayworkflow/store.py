"""A whole old store: which workflows there are, in the order in which they were submitted."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from wfstore.traces.errors import TraceError
from wfstore.traces.rayworkflow.files import Blob, Files, open_files
from wfstore.traces.rayworkflow.workflow import FOLDERS, META, OldWorkflow, read_workflow

_ROOT = "workflows"
_STATUS_INDEX = "__status__"
#: Ids that ray.workflow made by itself end with the time of submission, in seconds.
_OWN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.(\d{9,10}\.\d{9})")


class Found(NamedTuple):
    """A workflow's folder. submitted_us: microseconds UTC, as near as the store tells it; accepted: it has a status."""

    workflow_id: str
    folder: str
    submitted_us: int | None
    accepted: bool


class OldStore:
    """An old store, read. source: its absolute path or URI; remote: several threads at once pay."""

    def __init__(self, source: str | os.PathLike[str]) -> None:
        """The folder given to ``ray.init(storage=)``, or the `workflows` folder in it. Raises TraceError: no such
        folder, or nothing of ray.workflow's in it."""
        self._files: Files = open_files(source)
        self.source = self._files.source
        self.remote = self._files.remote
        self._folder = self._locate()

    def find(self) -> list[Found]:
        """All workflows, first submitted first. An id with slashes in it lies in nested folders. Raises OSError."""
        found: list[Found] = []
        names = (name for name in self._files.children(self._folder)[1] if name != _STATUS_INDEX)
        waiting = [(f"{self._folder}/{name}".lstrip("/"), name) for name in names]
        while waiting:
            folder, workflow_id = waiting.pop()
            files, folders = self._files.children(folder)
            accepted = META in files
            begun = accepted or not set(folders).isdisjoint(FOLDERS)
            if begun:
                found.append(Found(workflow_id, folder, self._submitted(workflow_id, files), accepted))
            inside = (name for name in folders if not (begun and name in FOLDERS))
            waiting += [(f"{folder}/{name}", f"{workflow_id}/{name}") for name in inside]
        return sorted(found, key=lambda item: (item.submitted_us or 0, item.workflow_id))

    def read(self, found: Found) -> OldWorkflow:
        """Raises TraceError (a ValueError) naming the damaged file; OSError."""
        return read_workflow(self._files, found.folder, found.workflow_id, found.submitted_us)

    def data(self, path: str) -> bytes:
        """The content of a `Blob` by its path. Raises OSError."""
        return self._files.read(path)

    def _locate(self) -> str:
        files, folders = self._files.children("")
        if not files and not folders:
            raise TraceError(self.source, "", "there is no such folder, or nothing in it")
        if _ROOT in folders:
            return _ROOT
        if _STATUS_INDEX in folders:
            return ""
        advice = f"give the folder that ray.init(storage=) named; it holds one called {_ROOT!r}"
        raise TraceError(self.source, "", f"this is no storage of ray.workflow: {advice}")

    def _submitted(self, workflow_id: str, files: Mapping[str, Blob]) -> int | None:
        own = _OWN_ID.fullmatch(workflow_id)
        if own:
            return round(float(own.group(1)) * 1e6)
        given = files.get("user_run_metadata.json") or files.get(META)
        started = files.get("pre_run_metadata.json")
        if started is not None:
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
                return round(float(json.loads(self._files.read(started.path))["start_time"]) * 1e6)
        return None if given is None else given.modified_us
