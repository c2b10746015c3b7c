"""A `Diff` with both DAGs beside each other: as a notebook shows it, and the drawings for the dashboard's page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from html import escape

import polars as pl

from wfstore import _text as text
from wfstore import draw
from wfstore.answers.diff_sides import Side
from wfstore.answers.diff_value import HEADERS, Diff

#: From so many tasks on, a DAG beside another one is drawn in groups.
MOST_NODES = 300
#: In a notebook, where whatever was shown once stays in its file.
_NOTEBOOK_NODES = 60
#: What makes a task heavy in the drawings: sizes and waits differ nearly always.
_MARKED = ("added", "gone", "code", "options", "status", "error", "attempts", "time")
_STYLE = """
.wf-diff{color-scheme:light dark;color:#1b1f24;background:#fff;font:14px/1.45 system-ui,sans-serif;padding:4px 12px}
.wf-diff h3{font-size:16px;margin:8px 0;overflow-wrap:anywhere}
.wf-diff h4{font-size:14px;margin:14px 0 4px;overflow-wrap:anywhere}
.wf-diff p{margin:2px 0;color:#57606a;overflow-wrap:anywhere}
.wf-diff .wf-scroll{overflow:auto;max-height:640px;border:1px solid #d5dae0;border-radius:6px}
.wf-diff .wf-beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:12px}
.wf-diff .wf-beside>div{min-width:0}
.wf-diff svg{max-width:none;display:block}
@media (prefers-color-scheme:dark){
.wf-diff{color:#e6e9ed;background:#14171b}
.wf-diff p{color:#9aa4af}
.wf-diff .wf-scroll{border-color:#363d46}
}
""".strip()


def dags(
    found: Diff,
    *,
    link: Callable[[str, str], str] | None = None,
    most: int = MOST_NODES,
    prefixes: tuple[str, str] = ("a-", "b-"),
) -> tuple[draw.Dag, draw.Dag]:
    """Both, what is not alike drawn heavier. link: (workflow id, task id) -> URL; most, prefixes: as in `draw.dag`."""
    unlike = found.differing.filter(pl.col("changes").list.set_intersection(list(_MARKED)).list.len() > 0)
    first, second = (
        _dag(one, unlike[f"task_id_{which}"], link, most, prefix)
        for one, which, prefix in zip((found.a, found.b), "ab", prefixes, strict=True)
    )
    return first, second


def _dag(side: Side, marked: pl.Series, link: Callable[[str, str], str] | None, most: int, prefix: str) -> draw.Dag:
    linked = None if link is None else partial(link, str(side.workflow["workflow_id"]))
    heavy = frozenset(marked.drop_nulls())
    return draw.dag(side.rows.to_dicts(), critical=heavy, link=linked, most=most, prefix=prefix)


def html(found: Diff, rows: int) -> str:
    """One <div> with its style inside: what differs in a line, the first `rows` tasks that do, and both DAGs."""
    title = text.safe(f"{found.a.name} -> {found.b.name}")
    # A notebook has many of them on one page.
    mark = f"wf-{sha256(title.encode()).hexdigest()[:8]}"
    drawn = dags(found, most=_NOTEBOOK_NODES, prefixes=(f"{mark}-a-", f"{mark}-b-"))
    beside = "".join(
        f'<div><h4>{escape(text.safe(side.name))}</h4><div class="wf-scroll" tabindex="0">{dag.svg}</div></div>'
        for side, dag in zip((found.a, found.b), drawn, strict=True)
    )
    hidden = found.differing.height - rows
    parts = [
        f"<style>{draw.STYLE}\n{_STYLE}</style>",
        f"<h3>{escape(title)}</h3><p>{escape(text.safe(found.headline))}</p>",
        _table(found, rows),
        f"<p>and {hidden:,} more in .tasks</p>" if hidden > 0 else "",
        "<h4>DAGs</h4><p>Heavy: added, gone or changed, apart from sizes and waits.</p>",
        f'<div class="wf-beside">{beside}</div>',
    ]
    return f'<div class="wf-diff">{"".join(parts)}</div>'


def _table(found: Diff, rows: int) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in found.cells(rows))
    if not body:
        return ""
    head = "".join(f"<th>{title}</th>" for title in HEADERS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
