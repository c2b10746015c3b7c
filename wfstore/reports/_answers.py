"""The parts of a page that compare and foresee: what became worse, when what runs will end, what is not alike."""

from __future__ import annotations

import shlex
from datetime import timedelta

import polars as pl

from wfstore import _text as text
from wfstore._comparing import before
from wfstore._estimates import Estimates
from wfstore.answers import regressions as answer
from wfstore.answers.diff import HEADERS
from wfstore.model.statuses import RUNNING
from wfstore.reports._asked import Asked, Fit, Section
from wfstore.reports._pictures import slowest
from wfstore.reports._tables import said

#: Where the page says no beginning, what was submitted since then is compared with what was before.
_RECENT = timedelta(days=7)
#: With fewer workflows on a side nothing is said.
_LEAST = 10
#: Of so many that run, the latest, an end is worked out; all together it may take so long.
_ESTIMATED, _PATIENCE_S = 20, 20.0


def worse(asked: Asked, fit: Fit) -> Section:
    """What takes longer, is larger or fails more often than in the four weeks before the page's beginning."""
    since = asked.since if asked.since is not None and asked.since < asked.end else asked.end - _RECENT
    key = "regressions"
    if key not in asked.answers:
        asked.answers[key] = asked.store.regressions(
            since, until=asked.end, workflow=asked.workflow, least=_LEAST, verdict=answer.ANY
        )
    found = asked.answers[key]
    until = [] if asked.until is None else ["--until", asked.until.isoformat()]
    name = [] if asked.workflow is None else ["--workflow", asked.workflow]
    command = shlex.join(["wfstore", "regressions", "--since", since.isoformat(), *until, *name])
    rows = [answer.cells(row) for row in found.filter(verdict=answer.WORSE).iter_rows(named=True)]
    note = (
        f"Workflows submitted since {text.clock(since)} UTC beside those of the {answer.BASELINE.days} days before, "
        f"by a test of ranks; worst first. {answer.counted(found, _LEAST)}."
    )
    return Section("What became worse", note, [said(answer.HEADERS, rows, command, fit.rows, fit.width)])


def under_way(asked: Asked, fit: Fit) -> list[Section]:
    """When the workflows that run will have ended; nothing where none does."""
    key = "eta"
    if key not in asked.answers:
        asked.answers[key] = _expected(asked)
    rows = asked.answers[key].rows()
    note = f"As it stood at {text.clock(asked.now)} UTC: when what runs will have ended, from past runs of its name."
    table = said(asked.answers[key].columns, rows, "wfstore eta ID", fit.rows, fit.width)
    return [Section("Under way", note, [table])] if rows else []


def _expected(asked: Asked) -> pl.DataFrame:
    """Texts for people, a row for each workflow that runs."""
    running = asked.store.workflows(
        status=RUNNING, name=asked.workflow, since=asked.since, until=asked.end, limit=_ESTIMATED
    )
    made = Estimates(asked.store.history).of(running["workflow_id"], _PATIENCE_S)
    rows = []
    for row in running.iter_rows(named=True):
        one = made.get(row["workflow_id"])
        ends, why = ["", ""], "it took too long to work out" if one is None else one.reason
        if one is not None and one.p50 is not None and one.p90 is not None:
            ends, why = [text.clock(one.p50.at), text.clock(one.p90.at)], f"{one.p50.runs} past runs"
        done = f"{text.number(row['tasks_done'])} of {text.number(row['tasks'])}"
        rows.append([row["workflow_id"], row["name"], done, *ends, why])
    headers = ("workflow", "name", "tasks done", "half of the draws by (UTC)", "nine of ten by (UTC)", "computed from")
    return pl.DataFrame(rows, schema=dict.fromkeys(headers, pl.String), orient="row")


def slowest_one(asked: Asked, fit: Fit) -> list[Section]:
    """The slowest workflow drawn, and what is not alike in it and in the one of its name before it."""
    filters = {"since": asked.since, "until": asked.end, "name": asked.workflow}
    found = slowest(asked.store, asked.now, fit.picture, fit.rows, **filters)
    if found is None:
        return []
    drawn = Section("Slowest workflow", found.note, [], pictures=found.pictures)
    earlier = before(asked.store, found.workflow_id)
    if earlier is None:
        return [drawn]
    unlike = asked.store.diff(earlier, found.workflow_id)
    command = shlex.join(["wfstore", "diff", earlier, found.workflow_id])
    table = said(HEADERS, unlike.cells(unlike.differing.height), command, fit.rows, fit.width)
    note = text.safe(f"{earlier} -> {found.workflow_id}: {unlike.headline}")
    return [drawn, Section("Slowest workflow beside the one of its name before it", note[: fit.width * 2], [table])]
