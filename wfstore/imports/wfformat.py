"""Executions in WfFormat files into a store: each file becomes one finished workflow. Values and code it has none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from wfstore.errors import InvalidCommandError, StorageError
from wfstore.imports.ray_workflow import Progress
from wfstore.imports.recorded import BODY, tell
from wfstore.imports.report import Imported, ImportReport, Problem
from wfstore.imports.writing import Appender, Existing
from wfstore.log import now_us, resolve_storage
from wfstore.model.statuses import SUCCESSFUL
from wfstore.payloads import PayloadStore
from wfstore.schema.rows import Rows, pack
from wfstore.traces import Trace, read


def import_wfformat(
    files: Sequence[str | os.PathLike[str]],
    storage: str | os.PathLike[str] | None = None,
    *,
    workflow_id: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Import WfFormat 1.5 executions; a workflow's id is the name of its file without ``.json``.

    storage: created when it is absent; workflow_id: the id instead, for one file only
    dry_run: read everything, write nothing; progress: called with (files done, files there are)

    Raises ValueError for a `workflow_id` for several files, StorageError: a cluster works on the store, it cannot be
    written. A file that is broken is in the report, by file and place, and stops nothing; nor does an id that exists.
    """
    if workflow_id is not None and len(files) != 1:
        raise InvalidCommandError("one id is for one file")
    paths = [Path(file) for file in files]
    target = resolve_storage(storage)
    report = ImportReport(str(paths[0]) if len(paths) == 1 else f"{len(paths)} files", target, dry_run)
    with ExitStack() as stack:
        importing = _Importing(stack, report, target)
        for done, path in enumerate(paths):
            if progress is not None:
                progress(done, len(paths))
            importing.take(path, path.name.removesuffix(".json") if workflow_id is None else workflow_id)
    if progress is not None:
        progress(len(paths), len(paths))
    return report


class _Importing:
    """One import under way. The store is not touched before there is something to write."""

    def __init__(self, stack: ExitStack, report: ImportReport, target: str) -> None:
        self._stack = stack
        self._report = report
        self._target = target
        self._existing = Existing(target)
        self._appender: Appender | None = None

    def take(self, path: Path, workflow_id: str) -> None:
        report = self._report
        try:
            trace = None if workflow_id in self._existing.ids else read(path)
            rows = None if trace is None else self._rows(trace, workflow_id)
        except StorageError:
            raise
        except OSError as error:
            report.broken.append(Problem(workflow_id, None, f"{path}: {error.strerror or error}"))
            return
        except (ValueError, TypeError) as error:
            reason = str(error)
            report.broken.append(Problem(workflow_id, None, reason if str(path) in reason else f"{path}: {reason}"))
            return
        if trace is not None and rows is not None and self._append(trace, workflow_id, rows):
            self._existing.ids.add(workflow_id)
            report.imported.append(Imported(workflow_id, SUCCESSFUL, len(trace.tasks)))
        else:
            report.existing.append(workflow_id)

    def _append(self, trace: Trace, workflow_id: str, rows: Rows) -> bool:
        """False: the store has got this id meanwhile."""
        if self._report.dry_run:
            return True
        if self._appender is None:
            self._appender = self._stack.enter_context(Appender(self._target))
            self._existing.refresh()  # nobody else writes from here on
            PayloadStore(self._target).put_file(BODY)
            if workflow_id in self._existing.ids:
                return False
            rows = self._rows(trace, workflow_id)  # it may have been deleted meanwhile, and its runs number on
        self._appender.append(rows)
        return True

    def _rows(self, trace: Trace, workflow_id: str) -> Rows:
        return pack(tell(trace, workflow_id, self._existing.runs.get(workflow_id, 0), now_us()))
