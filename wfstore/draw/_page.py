"""One workflow as a piece of HTML that needs nothing around it: facts, DAG, timeline. What a notebook shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from wfstore._text import clock, duration, number
from wfstore.draw._dag import dag
from wfstore.draw._legend import legend
from wfstore.draw._style import STYLE
from wfstore.draw._text import shown
from wfstore.draw._timeline import timeline
from wfstore.model.statuses import WORKFLOW_ACTIVE

#: With more tasks than this, the DAG is drawn in groups; the timeline has so many rows.
_NODES, _ROWS = 60, 100
_ERROR = 500
_STYLE = """
.wf-history{color-scheme:light dark;color:#1b1f24;background:#fff;font:14px/1.45 system-ui,sans-serif;padding:4px 12px}
.wf-history h3{font-size:16px;margin:8px 0;overflow-wrap:anywhere}
.wf-history h4{font-size:14px;margin:14px 0 4px}
.wf-history p{margin:2px 0;color:#57606a}
.wf-history p.wf-error{color:#cf222e;overflow-wrap:anywhere}
.wf-history .wf-scroll{overflow:auto;max-height:640px;border:1px solid #d5dae0;border-radius:6px}
.wf-history svg{max-width:none;display:block}
@media (prefers-color-scheme:dark){
.wf-history{color:#e6e9ed;background:#14171b}
.wf-history p{color:#9aa4af}
.wf-history p.wf-error{color:#f2676b}
.wf-history .wf-scroll{border-color:#363d46}
}
""".strip()


def page(
    workflow: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    attempts: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    critical: Sequence[str] = (),
) -> str:
    """One <div> with its style inside. workflow: a row of `workflows`; tasks, attempts: rows of those views;
    now: until when what is under way is drawn."""
    workflow_id, status = str(workflow["workflow_id"]), str(workflow["status"])
    # A notebook has many of them on one page.
    prefix = f"wf-{sha256(workflow_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}-"
    drawn = dag(tasks, critical=critical, most=_NODES, prefix=prefix)
    until = now if status in WORKFLOW_ACTIVE else None
    rows = timeline(attempts, now=until, critical=critical, rows=_ROWS, prefix=prefix)
    statuses = Counter(str(row.get("status")) for row in tasks)
    created = any(row.get("creator") is not None for row in tasks)
    lines = legend(dict(statuses.most_common()), critical=bool(critical), created=created)
    spent = legend({}, spent=True, critical=bool(critical)) if rows.total_rows else ""
    hidden = rows.total_rows - rows.shown
    parts = [
        f"<style>{STYLE}\n{_STYLE}</style>",
        f"<h3>{shown(workflow_id)}</h3>",
        *(f"<p>{shown(line)}</p>" for line in _facts(workflow, status)),
        _error(workflow),
        f"<h4>DAG</h4>{lines}" if tasks else "<h4>DAG</h4>",
        f'<div class="wf-scroll" tabindex="0">{drawn.svg}</div>',
        f'<h4>Timeline</h4>{spent}<div class="wf-scroll" tabindex="0">{rows.svg}</div>',
        f"<p>and {number(hidden)} more tasks in .attempts</p>" if hidden > 0 else "",
    ]
    return f'<div class="wf-history">{"".join(parts)}</div>'


def _facts(row: Mapping[str, Any], status: str) -> list[str]:
    count = {name: int(row.get(name) or 0) for name in ("runs", "tasks", "tasks_done", "tasks_failed", "retries")}
    runs = f" in {number(count['runs'])} runs" if count["runs"] > 1 else ""
    took = f"took {duration(row['duration_s'])}{runs}" if row.get("duration_s") is not None else ""
    submitted = row.get("submitted_at")
    first = [
        status,
        str(row.get("name") or ""),
        f"submitted {clock(submitted)} UTC" if isinstance(submitted, datetime) else "",
        took,
    ]
    done = f"{number(count['tasks_done'])} of {number(count['tasks'])} tasks done"
    tasks = f"{done}, {number(count['tasks_failed'])} failed, {number(count['retries'])} retries"
    return [" · ".join(fact for fact in first if fact), tasks]


def _error(row: Mapping[str, Any]) -> str:
    if not row.get("error_type"):
        return ""
    text = f"{row.get('failed_task_id') or ''}: {row['error_type']}: {row.get('error_message') or ''}".removeprefix(
        ": "
    )
    return f'<p class="wf-error">{shown(text[:_ERROR] + "…" * (len(text) > _ERROR))}</p>'
