"""The SQL page, the reports and `POST /api/sql`, over a store on disk."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import wfstore
from tests.dashboard.fakes import ACTION, BEARER, TOKEN
from tests.index.worlds import World, dag, fan, spec
from wfstore.dashboard import queries
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.errors import QueryError
from wfstore.index import catalog
from wfstore.index.sandbox import Sandbox
from wfstore.log import open_writer
from wfstore.schema.views import VIEWS

HOSTILE = "<script>alert(1)</script>\"'/é"
LIVE: dict[str, list[dict[str, Any]]] = {"live_workflows": [], "live_tasks": []}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> wfstore.Store:
    path = tmp_path_factory.mktemp("store")
    world = World()
    world.submit("good", fan(2), {"name": "shop", "team": "data"})
    world.finish()
    world.submit(HOSTILE, dag(spec("a")))
    world.fail("a", error_message="<img src=x onerror=alert(1)>")
    writer = open_writer(str(path))
    writer.append(world.simulation.log)
    writer.close()
    return wfstore.open(path)


@pytest.fixture(scope="module")
def app(store: wfstore.Store) -> Iterator[Any]:
    made = create_app(SimpleNamespace(store=store), Settings(TOKEN, port=8266))  # type: ignore[arg-type]
    if not any(getattr(route, "path", "") == "/api/sql" for route in made.routes):
        made.router.routes[:0] = queries.routes
    made.state.sandbox = Sandbox(store.storage, timeout_s=2.0, most_rows=5_000, patience_s=0.05, processes=1)
    yield made
    queries.close(made)


@pytest.fixture
def client(app: Any) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8266", raise_server_exceptions=False, headers=BEARER)


def asked(client: TestClient, query: str, **more: Any) -> Any:
    return client.post("/api/sql", json={"query": query, **more}, headers=ACTION)


def test_the_api_answers_in_columns_and_rows(client: TestClient) -> None:
    answer = asked(client, "SELECT workflow_id, tasks, submitted_at, metadata FROM workflows ORDER BY submitted_seq")
    said = answer.json()
    assert (answer.status_code, said["columns"]) == (200, ["workflow_id", "tasks", "submitted_at", "metadata"])
    assert said["types"] == ["VARCHAR", "BIGINT", "TIMESTAMP", "JSON"]
    assert [row[0] for row in said["rows"]] == ["good", HOSTILE]
    assert said["rows"][0][2].endswith("Z") and said["rows"][0][3]["team"] == "data"
    assert (said["truncated"], said["total_rows"]) == (False, 2) and 0 <= said["elapsed_s"] < 2


def test_what_is_left_out_is_said(client: TestClient) -> None:
    said = asked(client, "FROM range(20)", limit=3).json()
    assert (len(said["rows"]), said["truncated"], said["total_rows"]) == (3, True, 20)
    assert len(asked(client, "FROM range(20000)").json()["rows"]) == 5_000


def test_columns_of_one_name_and_values_of_every_kind(client: TestClient) -> None:
    query = (
        "SELECT 1 AS a, 2 AS a, 'infinity'::TIMESTAMP AS t, 'nan'::DOUBLE AS d, uuid()::VARCHAR IS NOT NULL AS u, "
        "INTERVAL 1 DAY AS i, [1, NULL] AS l, {'k': 'v'} AS s, 'x'::BLOB AS b, NULL AS n, 1.5::DECIMAL(9, 2) AS e, "
        "'2020-01-01 00:00:00.123456789'::TIMESTAMP_NS AS ns, MAP {'a': 1} AS m, TIME '10:00' AS h, "
        "DATE '2020-02-03' AS y"
    )
    (row,) = asked(client, query).json()["rows"]
    assert row[:2] == [1, 2] and row[3] is None and row[6:8] == [[1, None], {"k": "v"}] and row[14] == "2020-02-03"
    for how in ("csv", "parquet", "json"):
        assert client.get(f"/sql?q={quote(query)}&format={how}").status_code == 200, how
    assert client.get(f"/sql?q={quote(query)}").status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", "not JSON"), (b"[]", "query"), (b'{"query": 3}', "query"), (b'{"query": "SELECT 1", "x": 1}', "'x'"),
     (b'{"query": "SELECT 1", "limit": -1}', "limit"), (b'{"query": "SELEC 1"}', "syntax"),
     (b'{"query": "DROP VIEW tasks"}', "DROP"), (b'{"query": "FROM read_text(\'/etc/passwd\')"}', "read_text")],
)  # fmt: skip
def test_bad_input_gets_400_and_one_clear_error(client: TestClient, body: bytes, words: str) -> None:
    answer = client.post("/api/sql", content=body, headers=ACTION)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_the_api_needs_the_action_header(client: TestClient) -> None:
    assert client.post("/api/sql", json={"query": "SELECT 1"}).status_code == 403


def test_files(client: TestClient) -> None:
    query = quote("SELECT workflow_id, submitted_at, [1, 2] AS l FROM workflows ORDER BY submitted_seq")
    answer = client.get(f"/sql?q={query}&format=csv")
    lines = answer.text.splitlines()
    assert (
        lines[0] == "workflow_id,submitted_at,l" and lines[1].startswith("good,20") and lines[1].endswith('Z,"[1,2]"')
    )
    assert answer.headers["content-disposition"] == 'attachment; filename="query.csv"'
    table = pq.read_table(io.BytesIO(client.get(f"/sql?q={query}&format=parquet").content))
    assert table.column("workflow_id").to_pylist() == ["good", HOSTILE]
    assert client.get(f"/sql?q={query}&format=json").json()["columns"] == ["workflow_id", "submitted_at", "l"]
    assert client.get(f"/sql?q={query}&format=xlsx").status_code == 400
    posted = client.post("/api/sql?format=csv", json={"query": "SELECT 1 AS a"}, headers=ACTION)
    assert posted.text == "a\n1\n"


def test_a_file_that_does_not_hold_all_says_so(client: TestClient) -> None:
    answer = client.get("/sql?q=FROM+range(6000)&format=csv")
    assert answer.headers["x-wfstore-truncated"] == "1" and answer.headers["x-wfstore-total-rows"] == "6000"
    assert "query-first-5000-rows.csv" in answer.headers["content-disposition"]


def test_the_sql_page_shows_every_view_and_its_columns(client: TestClient) -> None:
    page = client.get("/sql").text
    for name, columns in VIEWS.items():
        assert f"<code>{name}</code>" in page and all(f"<code>{column.name}</code>" in page for column in columns)
    assert 'method="get" action="/sql"' in page and "<script>" not in page and " style=" not in page


def test_every_example_runs(client: TestClient) -> None:
    assert queries.examples()
    for example in queries.examples():
        page = client.get(f"/sql?q={quote(example.sql)}")
        assert page.status_code == 200 and "answer-title" in page.text, example.sql


def test_the_page_escapes_what_users_wrote(client: TestClient) -> None:
    page = client.get(
        "/sql?q=" + quote("SELECT workflow_id, error_message, '\n</textarea><b>' AS \"<i>\" FROM workflows")
    ).text
    assert "<script>alert" not in page and "<img src" not in page and "</textarea><b>" not in page and "<i>" not in page
    assert f'href="/workflows/{quote(HOSTILE, safe="")}"' in page


def test_the_page_says_what_is_wrong_and_keeps_the_query(client: TestClient) -> None:
    page = client.get("/sql?q=FROM+nope")
    assert page.status_code == 400 and "nope does not exist" in page.text and "FROM nope</textarea>" in page.text


def test_long_tables_are_cut_and_the_page_says_so(client: TestClient) -> None:
    page = client.get("/sql?q=FROM+range(1500)").text
    assert page.count("<tr>") == 1 + queries.ROWS_A_PAGE and "the first 1,000 of 1,500 rows" in page


def test_one_query_too_many_gets_429(client: TestClient) -> None:
    slow = threading.Thread(target=asked, args=(client, "SELECT count(*) FROM range(1000000000000)"))
    slow.start()
    try:
        statuses = set()
        while slow.is_alive() and 429 not in statuses:
            answer = asked(client, "SELECT 1")
            statuses.add(answer.status_code)
        assert 429 in statuses and answer.headers["retry-after"] == "1"
        assert client.get("/sql?q=SELECT+1").status_code == 429
    finally:
        slow.join()


def test_live_views_are_those_of_the_store(client: TestClient, app: Any) -> None:
    with Sandbox(app.state.observability.store.storage, live_source=_live) as sandbox:
        answer = sandbox.query("SELECT workflow_id, tasks, as_of_seq FROM live_workflows")
        assert answer.table.to_pylist() == [{"workflow_id": "now", "tasks": 3, "as_of_seq": 9}]


def _live() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [{"workflow_id": "now", "tasks": 3, "as_of_seq": 9, "metadata": {"a": 1}}], []


def test_the_sandbox_is_made_when_it_is_needed(store: wfstore.Store) -> None:
    made = SimpleNamespace(state=SimpleNamespace(observability=SimpleNamespace(store=store)))
    assert queries.ask(made, "SELECT count(*) FROM live_tasks").table.to_pylist() == [{"count_star()": 0}]  # type: ignore[arg-type]
    queries.close(made)  # type: ignore[arg-type]
    queries.close(made)  # type: ignore[arg-type]
    assert made.state.sandbox is None


# -- reports ----------------------------------------------------------------------------------------------------------


def test_all_reports_are_listed(client: TestClient) -> None:
    page = client.get("/reports").text
    assert all(f'href="/reports/{name}"' in page for name in catalog.folder("reports"))


@pytest.mark.parametrize("name", sorted(catalog.folder("reports")))
def test_a_report_shows_its_parameters_and_rows(client: TestClient, name: str) -> None:
    report = catalog.folder("reports")[name]
    needed = {param.name: "good" for param in report.params if param.name in ("id", "workflow_id")}
    page = client.get(f"/reports/{name}", params=needed)
    assert page.status_code == 200 and "answer-title" in page.text
    assert all(f'name="{param.name}"' in page.text for param in report.params)
    assert client.get(f"/reports/{name}", params={**needed, "format": "csv"}).status_code == 200


def test_a_report_takes_its_parameters_from_the_query(client: TestClient, store: wfstore.Store) -> None:
    answer = client.get("/reports/slowest_tasks?limit=1&workflow=shop&since=&format=json").json()
    assert len(answer["rows"]) == 1 and answer["columns"] == store.report("slowest_tasks", limit=1).columns
    page = client.get("/reports/slowest_tasks?limit=1&workflow=shop").text
    assert 'value="shop"' in page and "limit=1&amp;workflow=shop&amp;format=csv" in page.replace(
        "workflow=shop&amp;limit=1", "limit=1&amp;workflow=shop"
    )


def test_a_wrong_parameter_is_named(client: TestClient) -> None:
    page = client.get("/reports/slowest_tasks", params={"limit": "<b>"})
    assert page.status_code == 400 and "limit takes BIGINT" in page.text and "<b>" not in page.text


def test_a_report_that_is_none(client: TestClient) -> None:
    assert client.get("/reports/nope").status_code == 404


def test_what_the_api_takes_is_described(app: Any, client: TestClient) -> None:
    said = client.get("/api/openapi.json").json()["paths"]["/api/sql"]["post"]
    assert "429" in said["responses"] and json.dumps(said).count("truncated") >= 1


def test_errors_of_the_sandbox_are_query_errors() -> None:
    from wfstore.index.sandbox import QueryTimeoutError, SandboxBusyError

    assert issubclass(QueryTimeoutError, QueryError) and issubclass(SandboxBusyError, QueryError)


def test_assets_are_there(client: TestClient) -> None:
    for name in ("queries.css", "queries.mjs"):
        assert f"/static/{name}?v=" in client.get("/sql").text
        assert (Path(queries.__file__).parent / "static" / name).exists()
