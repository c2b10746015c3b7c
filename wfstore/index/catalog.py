"""Finds the SQL files and reads their headers. It runs nothing and knows no database.

A file holds one statement under a header of comment lines, ``-- key: value``: name (the file's own), summary, grain
(what one row is about), and for a report ``-- param: name TYPE = default: sentence`` and
``-- column: name TYPE: sentence``, one line each, in order. A parameter that takes some values alone names them behind
its type, ``VARCHAR(path|all)``; one that ends in ``.KEY`` stands for all that begin like it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

_HEADER = re.compile(r"^-- (\w+): (.*)$")
_PARAM = re.compile(r"^(\w+) (\w+)(?:\(([^)]+)\))? = (\S+): (.+)$")
_COLUMN = re.compile(r"^(\w+) (\S+): (.+)$")


@dataclass(frozen=True, slots=True)
class Param:
    """What a report may be told. `type`: DuckDB's name of it; `default`: as written, NULL for "not said"; `values`: the
    only ones it takes, where not all are taken."""

    name: str
    type: str
    default: str
    text: str
    values: tuple[str, ...] = ()

    def takes(self, value: str) -> bool:
        """Whether it is one of `values`."""
        kinds = [one.removesuffix("KEY") for one in self.values if one.endswith(".KEY")]
        return value in self.values or any(value.startswith(kind) and value != kind for kind in kinds)


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """What a report answers with. `type`: DuckDB's name of it."""

    name: str
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """One file of `queries/`. `sql` is its statement without the header."""

    name: str
    summary: str
    grain: str
    sql: str
    params: tuple[Param, ...] = ()
    columns: tuple[ReportColumn, ...] = ()


def root() -> Path:
    """The folder of the SQL files: inside an installed wheel, else beside the package in its repository."""
    package = Path(str(files("wfstore")))
    shipped = package / "_queries"
    return shipped if shipped.is_dir() else package.parent / "queries"


def parse(text: str, stem: str) -> Query:
    """Read one file. Raises ValueError where the header breaks the rules of this module's docstring."""
    fields: dict[str, str] = {}
    params: list[Param] = []
    columns: list[ReportColumn] = []
    lines = text.splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    for line in lines[:end]:
        found = _HEADER.match(line)
        if found is None:
            raise ValueError(f"{stem}.sql: not a header line: {line!r}")
        key, value = found.groups()
        if key == "param":
            said, kind, values, default, about = _parts(_PARAM, value, stem)
            params.append(Param(said, kind, default, about, tuple(values.split("|")) if values else ()))
        elif key == "column":
            columns.append(ReportColumn(*_parts(_COLUMN, value, stem)))
        else:
            fields[key] = value
    if set(fields) != {"name", "summary", "grain"} or fields["name"] != stem:
        raise ValueError(f"{stem}.sql: the header needs name ({stem}), summary and grain, and has {fields}")
    sql = "\n".join(lines[end:]).strip()
    return Query(fields["name"], fields["summary"], fields["grain"], sql, tuple(params), tuple(columns))


def _parts(pattern: re.Pattern[str], value: str, stem: str) -> tuple[str, ...]:
    found = pattern.match(value)
    if found is None:
        raise ValueError(f"{stem}.sql: cannot read {value!r}")
    return found.groups()


@cache
def folder(name: str) -> dict[str, Query]:
    """The queries of one folder (tables, folds, views, reports, store) by name, in alphabetical order."""
    paths = sorted((root() / name).glob("*.sql"))
    return {path.stem: parse(path.read_text(encoding="utf-8"), path.stem) for path in paths}
