"""The manager's memory as rows: plain dictionaries in, Arrow in the columns of the live views out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from wfstore.schema.views import VIEWS

COLUMNS = {name: VIEWS[name] for name in ("live_workflows", "live_tasks")}

_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}


def to_arrow(view: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """`rows` in the columns of `view`; missing ones are null, others are left out, objects become JSON text."""
    columns = COLUMNS[view]
    schema = pa.schema([(column.name, _ARROW[column.type]) for column in columns])
    objects = [column.name for column in columns if column.type == "JSON"]
    return pa.Table.from_pylist([_texts(row, objects) for row in rows], schema=schema)


def _texts(row: Mapping[str, Any], objects: list[str]) -> dict[str, Any]:
    texts = {name: json.dumps(row[name]) for name in objects if row.get(name) is not None}
    return {**row, **{name: text for name, text in texts.items() if not isinstance(row[name], str)}}
