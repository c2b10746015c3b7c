"""Verification of a whole store: its bytes, then whether log, history files, a replay and SQL say the same.

It only reads, unless it is asked to repair.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

from wfstore.errors import DamageError
from wfstore.index import Index
from wfstore.index.agreement import compare
from wfstore.index.catalog import folder
from wfstore.index.rows_agree import compare_rows
from wfstore.log import Problem, VerifyReport, open_reader
from wfstore.log import verify as verify_bytes
from wfstore.log.history import HistoryFiles
from wfstore.log.verify_report import DISAGREEMENT, PAYLOAD, TORN_TAIL, Progress

#: So many payloads that are not right are looked up in the events; each look reads all of them.
_MOST_LOOKED_UP = 50
#: With these the rows can be read all the same.
_BESIDE = (PAYLOAD, TORN_TAIL)


def verify(storage: str, *, repair: bool, replay: bool, progress: Progress) -> VerifyReport:
    """As `Store.verify`. Raises StorageNotFoundError, StorageVersionError, StorageError."""
    began = time.monotonic()
    report = verify_bytes(storage, repair=repair, progress=progress)
    if all(problem.kind in _BESIDE for problem in report.problems):
        index = Index(open_reader(storage), None, HistoryFiles(storage))
        try:
            report.problems[:] = list(_explained(index, report.problems))
            if replay:
                _compare(storage, index, report, progress)
        except DamageError as error:  # it came meanwhile, or only a reader has met it
            message = error.message.partition(f"at byte {error.offset}: ")[2]
            report.problems.append(Problem(error.path, error.offset, message))
    report.seconds = time.monotonic() - began
    return report


def _compare(storage: str, index: Index, report: VerifyReport, progress: Progress) -> None:
    rows = compare_rows(index, open_reader(storage), HistoryFiles(storage), progress)
    report.rows_in_both = rows.in_both
    for found in rows.problems:
        report.problems.append(Problem(storage, 0, found.message, kind=DISAGREEMENT, since_seq=found.seq))
    agreement = compare(index, progress)
    report.workflows, report.rows, report.replayed = agreement.workflows, agreement.rows, True
    for difference in agreement.differences:
        concerns = f"workflow {difference.workflow_id!r}"
        about = Problem(storage, 0, str(difference), kind=DISAGREEMENT, concerns=concerns, since_seq=difference.seq)
        report.problems.append(about)
    if agreement.more:
        message = f"{agreement.more} more rows differ between a replay and SQL"
        report.problems.append(Problem(storage, 0, message, kind=DISAGREEMENT))


def _explained(index: Index, problems: list[Problem]) -> Iterator[Problem]:
    """Payloads that are not right, with who needs them."""
    left = _MOST_LOOKED_UP
    for problem in problems:
        if problem.kind != PAYLOAD or not left:
            yield problem
            continue
        left -= 1
        name = os.path.basename(problem.path)
        uri = "/".join(problem.path.replace(os.sep, "/").split("/")[-3:])
        seq, ts, workflow_id, task_id, workflows = index.run(
            folder("verify")["needed_by"], {"uri": uri, "hash": name}
        ).fetchall()[0]
        if seq is None:
            yield problem
            continue
        concerns = f"workflow {workflow_id!r}" + (f", task {task_id!r}" if task_id else "")
        more = f", and {workflows - 1} more" if workflows > 1 else ""
        yield replace(problem, concerns=concerns + more, since_seq=seq, since_us=ts)
