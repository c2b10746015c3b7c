"""Rows of a report as cells of a page: as people read them, and as the report has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wfstore import _text as text
from wfstore.cli import output

if TYPE_CHECKING:
    import polars as pl

#: How long a text in a cell is at most, in characters.
WIDTH = 300


class Cell(NamedTuple):
    """`text`: as people read it; `value`: as the report has it, where that differs; `number`: stands on the right."""

    text: str
    value: str | None
    number: bool


class Table(NamedTuple):
    """`total`: how many rows the report has; `command`: what prints all of them."""

    columns: list[Cell]
    rows: list[list[Cell]]
    total: int
    command: str


def table(frame: pl.DataFrame, command: str, most: int | None = None, width: int = WIDTH) -> Table:
    """The first `most` rows of a report (None: all of them), texts cut at `width` characters."""
    shown = frame if most is None else frame.head(most)
    columns = [Cell(output.header(name), name, kind.is_numeric()) for name, kind in frame.schema.items()]
    rows = [
        [cell(name, value, width) for name, value in zip(frame.columns, row, strict=True)] for row in shown.iter_rows()
    ]
    return Table(columns, rows, frame.height, command)


def said(headers: Sequence[str], rows: Sequence[Sequence[str]], command: str, most: int, width: int = WIDTH) -> Table:
    """The first `most` rows of texts for people, cut at `width` characters; `command` prints them all."""
    columns = [Cell(header, header, False) for header in headers]
    shown = [[Cell(_cut(text.safe(value), width), None, False) for value in row] for row in rows[:most]]
    return Table(columns, shown, len(rows), text.safe(command))


def cell(name: str, value: Any, width: int = WIDTH) -> Cell:
    """A value of the column `name`."""
    number = isinstance(value, int | float)
    short = _cut(output.fact(name, value), width)
    return Cell(short, repr(value) if number and repr(value) != short else None, number)


def _cut(said: str, width: int) -> str:
    return said if len(said) <= width else f"{said[: width - 1]}…"
