"""A storage of the removed ray.workflow into a store: reads every workflow, tells it as events and appends them.

Finished workflows are not opened. The pickles of unfinished ones are tried, so that the report can name those that
would fail when resumed; that runs what they name, as every unpickling does.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from wfstore.errors import StorageError
from wfstore.imports.history import Told, tell
from wfstore.imports.keeping import Keeper
from wfstore.imports.report import Imported, ImportReport, Problem
from wfstore.imports.trying import Trial
from wfstore.imports.writing import Appender, Existing
from wfstore.log import now_us, resolve_storage
from wfstore.model.statuses import FAILED, RESUMABLE
from wfstore.payloads import PayloadStore
from wfstore.schema.rows import Rows, pack
from wfstore.traces.rayworkflow import Found, OldStore, OldWorkflow

_READERS = 16
Progress = Callable[[int, int], None]


def import_ray_workflow(
    source: str | os.PathLike[str],
    storage: str | os.PathLike[str] | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Import every workflow of an old store that the new one does not have yet.

    source: path or URI given to ``ray.init(storage=)``; storage: of the new store, created when it is absent
    dry_run: read everything, write nothing; progress: called with (workflows done, workflows there are)

    Raises TraceError (a ValueError): no old store there; StorageError: a cluster works on the new one, it cannot be
    written. A single workflow that is broken is in the report and stops nothing.
    """
    old = OldStore(source)
    target = resolve_storage(storage)
    report = ImportReport(old.source, target, dry_run)
    found = old.find()
    existing = Existing(target)
    with ExitStack() as stack:
        appender = None
        if not dry_run and any(item.accepted and item.workflow_id not in existing.ids for item in found):
            appender = stack.enter_context(Appender(target))
            existing.refresh()  # nobody else writes from here on
        importing = _Importing(old, report, None if appender is None else PayloadStore(target), existing)
        wanted = [item for item in found if importing.wants(item)]
        for done, (item, read) in enumerate(_read_ahead(old, wanted), len(found) - len(wanted)):
            if progress is not None:
                progress(done, len(found))
            rows = importing.take(item, read)
            if rows is not None and appender is not None:
                appender.append(rows)
    if progress is not None:
        progress(len(found), len(found))
    return report


class _Importing:
    """One import under way."""

    def __init__(self, old: OldStore, report: ImportReport, payloads: PayloadStore | None, existing: Existing) -> None:
        self._old = old
        self._report = report
        self._keeper = Keeper(payloads, old.data)
        self._trial = Trial(self._keeper)
        self._existing = existing

    def wants(self, item: Found) -> bool:
        if not item.accepted:
            self._note(item.workflow_id, "ray.workflow never accepted it: there is no status")
        elif item.workflow_id in self._existing.ids:
            self._report.existing.append(item.workflow_id)
        else:
            return True
        return False

    def take(self, item: Found, read: Callable[[], OldWorkflow]) -> Rows | None:
        """The rows of one workflow; None when it is broken."""
        report = self._report
        try:
            old = read()
            runs = self._existing.runs.get(item.workflow_id, 0)
            told = tell(old, self._keeper, runs, report.source, now_us())
            rows = pack(told.events)
        except StorageError:
            raise
        except (ValueError, TypeError, LookupError, OSError, RecursionError) as error:
            report.broken.append(Problem(item.workflow_id, None, f"{error}" or type(error).__name__))
            return None
        report.imported.append(Imported(item.workflow_id, told.status, told.tasks))
        for note in old.notes:
            self._note(item.workflow_id, note)
        if told.status in (FAILED, RESUMABLE):
            self._try(item.workflow_id, told)
        return rows

    def _try(self, workflow_id: str, told: Told) -> None:
        problems = self._trial.problems(workflow_id, told)
        self._report.not_resumable += [Problem(workflow_id, task_id, reason) for task_id, reason in problems]

    def _note(self, workflow_id: str, reason: str) -> None:
        self._report.notes.append(Problem(workflow_id, None, reason))


def _read_ahead(old: OldStore, found: list[Found]) -> Iterator[tuple[Found, Callable[[], OldWorkflow]]]:
    """Each workflow with a call that gives it. A remote storage is asked for the next few meanwhile."""
    if not old.remote:
        for item in found:
            yield item, lambda item=item: old.read(item)  # type: ignore[misc]
        return
    with ThreadPoolExecutor(_READERS, thread_name_prefix="wfstore-import") as readers:
        ahead: deque[tuple[Found, Future[OldWorkflow]]] = deque()
        for item in found:
            ahead.append((item, readers.submit(old.read, item)))
            if len(ahead) > 2 * _READERS:
                first, reading = ahead.popleft()
                yield first, reading.result
        for first, reading in ahead:
            yield first, reading.result
