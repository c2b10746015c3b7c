"""Tables sorted by workflow id: what is in them is found, what is not is not, and a newer one replaces what it says."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from wfstore.log import id_table
from wfstore.log.id_table import IdTable, joined, layered


def table(**rows: int) -> pa.Table:
    schema = pa.schema({"workflow_id": pa.large_string(), "value": pa.int64()})
    return pa.table([list(rows), list(rows.values())], schema=schema)


def content(tables: tuple[IdTable, ...]) -> list[dict[str, int]]:
    return [dict(zip(*each.table.to_pydict().values(), strict=True)) for each in tables]


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 1000])
def test_finds_every_id_and_no_other(count: int) -> None:
    names = random.Random(count).sample([f"w{number}" for number in range(2 * count)] + ["", "Zürich", "🌍"], count)
    found = IdTable(joined([table(**{name: number for number, name in enumerate(names)})]))
    assert len(found) == count
    for number, name in enumerate(names):
        row = found.find(name)
        assert row is not None
        assert found.cell(row, "value") == number
    for name in ("v", "w", "x", "\udc80", *(f"{name}!" for name in names)):
        assert found.find(name) is None


def test_of_one_id_the_earliest_table_counts() -> None:
    found = IdTable(joined([table(b=2, a=1), table(c=9, b=9), table(a=8, d=4)]))
    assert content((found,)) == [{"a": 1, "b": 2, "c": 9, "d": 4}]


def test_small_tables_become_one_and_large_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_table, "_SMALL_ROWS", 3)
    large = IdTable(table(**{f"old{number}": 0 for number in range(5)}))
    layers = layered([table(new=1)], [large])
    assert [len(layer) for layer in layers] == [1, 5]
    assert layers[1] is large
    layers = layered([table(newer=1), table()], layers)
    assert [len(layer) for layer in layers] == [2, 5]
    assert layers[1] is large


def test_there_are_never_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_table, "_SMALL_ROWS", 0)
    layers: tuple[IdTable, ...] = ()
    for number in range(40):
        layers = layered([table(**{f"w{number % 7}": number, f"x{number}": number})], layers)
        assert len(layers) <= 8
    newest: dict[str, int] = {}
    for each in reversed(content(layers)):
        newest |= each
    assert newest == {f"x{number}": number for number in range(40)} | {f"w{number % 7}": number for number in range(40)}
