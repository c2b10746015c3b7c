"""How answers are printed: JSON for machines, tables for people. It knows nothing of workflows."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from wfstore import _text as text
from wfstore.cli.fitting import GAP, Column, fit

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Wide enough never to cut a line that goes to a file or another command.
_PIPE_WIDTH = 100_000


def plain(value: Any) -> Any:
    """`value` as JSON knows it: times as ISO 8601 in UTC, spans as seconds, bytes as base64, NaN as null."""
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return text.iso(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return plain(float(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def opened(row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    """`row` with these columns, JSON texts, turned into the values that they are."""
    return {
        key: json.loads(value) if key in columns and isinstance(value, str) else value for key, value in row.items()
    }


def document(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(plain(value), indent=2) + "\n")


def json_line(value: Any) -> str:
    return json.dumps(plain(value), separators=(",", ":"))


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; in a pipe without colours and never cut."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout."""
    sys.stdout.writelines(lines(columns, rows))


def lines(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table: the header above, two blanks between columns. Where a terminal is too narrow, cells are shortened, and
    a line below names the columns that found no room."""
    table, missing = grid(columns, rows)
    return drawn(table) + (_no_room(missing) if missing else [])


def grid(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> tuple[Table, list[str]]:
    """The table of `lines` for rich to draw, and the headers of the columns that found no room."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    cells = [[text.safe(cell) for cell in row] for row in rows]
    widest = [max((cell_len(row[position]) for row in cells), default=0) for position in range(len(columns))]
    widths = fit(columns, widest, console().width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for position, width in widths.items():
        column = columns[position]
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(Text(text.safe(column.header)), justify=justify, no_wrap=True, width=width)
    for row in cells:
        table.add_row(*(Text(row[position], style=_STYLES.get(row[position], "")) for position in widths))
    return table, [column.header for position, column in enumerate(columns) if position not in widths]


def _no_room(missing: Sequence[str]) -> list[str]:
    from rich.text import Text

    return drawn(Text(f"(no room for: {text.safe(', '.join(missing))})", style="dim"))


_STYLES = {
    "SUCCESSFUL": "green",
    "FAILED": "red",
    "CAUGHT": "yellow",
    "RETRYING": "yellow",
    "RESUMABLE": "yellow",
    "RUNNING": "cyan",
}


def drawn(renderable: Any) -> list[str]:
    """The lines of something rich can draw, as wide as stdout allows, without blanks at their ends."""
    screen = console()
    with screen.capture() as capture:
        screen.print(renderable)
    return [line.rstrip() + "\n" for line in capture.get().splitlines()]


def write(renderable: Any) -> None:
    """Something rich can draw, on stdout."""
    sys.stdout.writelines(drawn(renderable))


def heading(title: str) -> None:
    """A blank line and a title above what follows."""
    from rich.text import Text

    sys.stdout.write("\n")
    write(Text(text.safe(title), style="bold"))


def pairs(facts: Mapping[str, str]) -> None:
    """Names and values, one below the other; values are folded, never cut."""
    write(pair_grid(facts))


def pair_grid(facts: Mapping[str, str]) -> Table:
    """What `pairs` prints, for rich to draw."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(Text(name, style="bold"), Text(text.safe(value), style=_STYLES.get(value, "")))
    return grid


#: A column of the SQL views that holds seconds or bytes, whatever was computed of it: duration_s, queue_s_p95.
_SECONDS = re.compile(r"_s((?:_p\d+|_[a-z]+)?)$")
_SHARE = re.compile(r"^wasted$|(?:^|_)share$")
_BYTES = re.compile(r"(?:^|_)bytes((?:_p\d+|_[a-z]+)?)$")
_NUMBERS = frozenset(("run", "attempt", "attempts", "seq", "tasks_run", "tasks_reused", "worker_pid"))


def header(name: str) -> str:
    """The header over a column of the SQL views: its name, with the zone where times are below it."""
    if name.endswith("_at") or name in ("ts", "ts_source"):
        return f"{name.removesuffix('_at').replace('_', ' ')} (UTC)"
    return (_BYTES.sub(r" size\1", _SECONDS.sub(r"\1", name)).strip()).replace("_", " ")


def fact(name: str, value: Any) -> str:
    """A value of a column of the SQL views, for people: with its unit, in one line."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return text.clock(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if _SECONDS.search(name):
            return text.duration(value)
        if _BYTES.search(name):
            return text.size(int(value))
        if _SHARE.search(name):
            return f"{text.decimal(round(value * 100, 1))} %"
        return text.number(value) if isinstance(value, int) and name not in _PLAIN else text.decimal(value)
    if isinstance(value, list):
        shown = ", ".join(map(str, value[:3]))
        return shown + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    return text.first_line(value)


def is_number(name: str) -> bool:
    """Do the cells of this column stand on the right?"""
    return bool(_SECONDS.search(name) or _BYTES.search(name)) or name in _NUMBERS


#: Numbers that name something and count nothing.
_PLAIN = frozenset(("worker_pid", "seq", "run", "attempt"))
