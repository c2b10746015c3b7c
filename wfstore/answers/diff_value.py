"""`Diff`: the answer of `wfstore.diff`, as frames, as text and as HTML."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from wfstore import _text as text
from wfstore.answers.diff_sides import Side

if TYPE_CHECKING:
    from rich.table import Table

#: `print(diff)` stays a page; the frames have every row.
SHOWN = 40
_VERSIONS = ("python", "ray", "wfstore")
#: Over what `Diff.cells` gives.
HEADERS = ("task", "changes", "adds", "time", "ratio", "wait", "size", "ratio", "attempts", "status")
_SUMMARY = {"what": pl.String, "a": pl.String, "b": pl.String, "ratio": pl.Float64, "same": pl.Boolean}


@dataclass(frozen=True)
class Diff:
    """What is not alike in `a` and `b`, each a `Side`: a workflow, or one run of it.

    tasks: one row for each pair of tasks, and for each without one, worst first: task_key and position; changes: a list
    of added, gone, code, options, status, error, attempts, time, wait and size; adds_s: what it adds to the longest
    path, seconds; change_s: by how much its span differs; of both (_a, _b): task_id, status, attempts, duration_s,
    wait_s, span_s (from when it was ready to its end, with attempts that failed), output_bytes, code_hash, options,
    error_type, error_message, slack_s; and ratios b / a of the numbers.
    """

    a: Side
    b: Side
    tasks: pl.DataFrame

    @cached_property
    def added(self) -> pl.DataFrame:
        """The rows of `tasks` that only b has."""
        return self.tasks.filter(pl.col("task_id_a").is_null())

    @cached_property
    def gone(self) -> pl.DataFrame:
        """The rows of `tasks` that only a has."""
        return self.tasks.filter(pl.col("task_id_b").is_null())

    @cached_property
    def changed(self) -> pl.DataFrame:
        """The rows of `tasks` that both have, and that are not alike."""
        both = pl.col("task_id_a").is_not_null() & pl.col("task_id_b").is_not_null()
        return self.tasks.filter(both & (pl.col("changes").list.len() > 0))

    @cached_property
    def differing(self) -> pl.DataFrame:
        """The rows of `tasks` that are added, gone or changed."""
        return self.tasks.filter(pl.col("changes").list.len() > 0)

    @cached_property
    def summary(self) -> pl.DataFrame:
        """what, a and b as text, ratio b / a of numbers, same: status, elapsed_s, tasks, tasks_done, attempts,
        total_output_bytes, dag_hash, versions, git_commit, git_dirty, and each key of the metadata that differs."""
        return pl.DataFrame(list(self._compared()), schema=_SUMMARY, orient="row")

    @cached_property
    def headline(self) -> str:
        """One line: what took how long, how many tasks, outputs, and what else differs."""
        rows = {row["what"]: row for row in self.summary.iter_rows(named=True)}
        parts = [
            f"{rows['status']['a']} -> {rows['status']['b']}"
            if not rows["status"]["same"]
            else str(rows["status"]["b"]),
            *([f"time {spans}"] if (spans := _spans(self.a.elapsed_s, self.b.elapsed_s)) else []),
            f"tasks {self.a.tasks.height:,} -> {self.b.tasks.height:,} ({self.added.height:,} added, "
            f"{self.gone.height:,} gone, {self.changed.height:,} changed)",
            f"outputs {text.size(_total(self.a, 'output_bytes'))} -> {text.size(_total(self.b, 'output_bytes'))}",
        ]
        code = self.changed.filter(pl.col("changes").list.contains("code"))["task_key"].n_unique()
        parts += [f"code of {code:,} task key{'s' * (code != 1)}"] if code else []
        named = (*_VERSIONS, "git_commit", "git_dirty", *(name for name in rows if name.startswith("metadata.")))
        parts += [
            f"{name} {_short(rows[name]['a'])} -> {_short(rows[name]['b'])}" for name in named if _news(rows, name)
        ]
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """a, b, headline, summary, added, gone and changed, rows as dicts."""
        frames = {name: getattr(self, name).to_dicts() for name in ("summary", "added", "gone", "changed")}
        return {"a": self.a.name, "b": self.b.name, "headline": self.headline, **frames}

    def __repr__(self) -> str:
        counts = f"{self.added.height} added, {self.gone.height} gone, {self.changed.height} changed"
        return f"<Diff of {self.a.name!r} and {self.b.name!r}: {counts}>"

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        console = Console(file=out, width=140, no_color=True, highlight=False, markup=False)
        console.print(text.safe(f"{self.a.name} -> {self.b.name}"))
        console.print(text.safe(self.headline))
        if self.differing.height:
            console.print(self._table())
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def _repr_html_(self) -> str:
        from wfstore.answers.diff_html import html

        return html(self, SHOWN)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        hidden = self.differing.height - SHOWN
        table = Table(box=None, pad_edge=False, caption=f"and {hidden} more in .tasks" if hidden > 0 else None)
        for title in HEADERS:
            table.add_column(title, justify="left" if title in ("task", "changes", "status") else "right")
        for cells in self.cells(SHOWN):
            table.add_row(*(Text(cell) for cell in cells))
        return table

    def cells(self, most: int) -> list[list[str]]:
        """The first rows that differ as people read them: task, changes, what it adds, time and its ratio, wait, size
        and its ratio, attempts, status."""
        return [_cells(row) for row in self.differing.head(most).iter_rows(named=True)]

    def _compared(self) -> Iterator[tuple[str, str | None, str | None, float | None, bool]]:
        a, b = self.a, self.b
        yield ("status", a.status, b.status, None, a.status == b.status)
        numbers = {
            "elapsed_s": (a.elapsed_s, b.elapsed_s),
            "tasks": (a.tasks.height, b.tasks.height),
            "tasks_done": (a.done, b.done),
            "attempts": (_total(a, "attempts"), _total(b, "attempts")),
            "total_output_bytes": (_total(a, "output_bytes"), _total(b, "output_bytes")),
        }
        for what, (one, other) in numbers.items():
            yield (what, _said(one), _said(other), other / one if one and other else None, one == other)
        texts = {name: (a.workflow[name], b.workflow[name]) for name in ("dag_hash", "git_commit", "git_dirty")}
        versions = [_opened(one.workflow["versions"]) for one in (a, b)]
        texts |= {name: (versions[0].get(name), versions[1].get(name)) for name in _VERSIONS}
        metadata = [_opened(one.workflow["metadata"]) for one in (a, b)]
        for key in dict.fromkeys([*metadata[0], *metadata[1]]):
            if metadata[0].get(key) != metadata[1].get(key):
                texts[f"metadata.{key}"] = (metadata[0].get(key), metadata[1].get(key))
        for what, (first, second) in texts.items():
            yield (what, _said(first), _said(second), None, first == second)


def _cells(row: Mapping[str, Any]) -> list[str]:
    name = row["task_id_b"] if row["task_id_b"] is not None else row["task_id_a"]
    ends = [row["status_a"], row["status_b"]]
    attempts = [row["attempts_a"], row["attempts_b"]]
    return [
        text.safe(name),
        ", ".join(row["changes"]),
        _signed(row["adds_s"]),
        _spans(row["duration_s_a"], row["duration_s_b"], times=False),
        _times(row["duration_ratio"]),
        _spans(row["wait_s_a"], row["wait_s_b"], times=False),
        _pair(text.size(row["output_bytes_a"]), text.size(row["output_bytes_b"])),
        _times(row["output_ratio"]),
        _pair(*(text.number(count) for count in attempts)),
        _pair(*(str(end or "") for end in ends)),
    ]


def _pair(one: str, other: str) -> str:
    return one if one == other else f"{one or '-'} -> {other or '-'}"


def _spans(one: float | None, other: float | None, *, times: bool = True) -> str:
    said = _pair(text.duration(one), text.duration(other))
    return f"{said} ({other / one:.2f}x)" if times and one and other else said


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def _signed(seconds: float | None) -> str:
    if not seconds:
        return ""
    return f"{'+' if seconds > 0 else '-'}{text.duration(abs(seconds))}"


def _short(value: str | None) -> str:
    """A commit is known by its first digits."""
    said = "-" if value is None else text.safe(value)
    return said[:12] if len(said) >= 40 else said


def _said(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _opened(value: Any) -> dict[str, Any]:
    opened = json.loads(value) if isinstance(value, str) else value
    return opened if isinstance(opened, dict) else {}


def _news(rows: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return name in rows and not rows[name]["same"]


def _total(side: Side, column: str) -> int:
    return int(side.tasks[column].sum())
