"""The SQL files: found wherever the package is installed, one statement each, their headers true."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.index.worlds import World, fan
from wfstore.index import catalog, database, reference, reports

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("tables", "folds", "views", "facts", "cold", "rewrite", "fill", "store", "verify", "reports", "examples",
           "dashboard", "eta", "asof")  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_has_a_header_and_one_statement(name: str) -> None:
    connection = database.create(replacements=False)
    queries = catalog.folder(name)
    assert queries
    for query in queries.values():
        assert query.summary.endswith(".")
        if query.name not in database._MACROS:  # a macro's body is an expression
            assert len(connection.extract_statements(query.sql)) == 1, query.name


def test_every_folder_of_queries_is_known() -> None:
    assert {path.name for path in (REPOSITORY / "queries").iterdir()} == set(FOLDERS)


def test_the_files_are_found_in_an_editable_install_and_ship_in_a_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert catalog.root() == REPOSITORY / "queries"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"queries": "wfstore/_queries"}
    (tmp_path / "_queries").mkdir()
    monkeypatch.setattr(catalog, "files", lambda package: tmp_path)
    assert catalog.root() == tmp_path / "_queries"


@pytest.mark.parametrize(
    "text",
    ["SELECT 1", "-- name: x\nSELECT 1", "-- name: y\n-- summary: S.\n-- grain: g\nSELECT 1", "-- prose\nSELECT 1",
     "-- name: x\n-- summary: S.\n-- grain: g\n-- param: limit BIGINT\nSELECT 1"],
)  # fmt: skip
def test_a_broken_header_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.sql"):
        catalog.parse(text, "x")


@pytest.mark.parametrize("name", sorted(catalog.folder("reports")))
def test_a_report_answers_in_the_columns_it_declares(name: str) -> None:
    world = World()
    world.submit("w", fan(2))
    world.end("list")
    world.fail("map")
    query = catalog.folder("reports")[name]
    answer = world.index.run(query, reports.bind(query, {}))
    assert [(c, str(t)) for c, t in zip(answer.columns, answer.types, strict=True)] == [
        (column.name, column.type) for column in query.columns
    ]
    assert answer.fetchall() or name in ("stuck", "new_errors", "unusual_outputs", "regressions")  # nothing is


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_the_reference_pages_are_what_is_declared(page: str) -> None:
    written = (REPOSITORY / "docs" / "reference" / page).read_text(encoding="utf-8")
    assert written == reference.PAGES[page](), "run: python -m wfstore.index.reference docs/reference"
