"""What people would try who mean harm, against one sandbox: none of it reads, writes or reaches what it should not.

Each statement also runs behind the gate, against the locked database itself: what the gate stops must not get through
the wall either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import wfstore
from tests.store.conftest import fill
from wfstore.errors import QueryError
from wfstore.index import database
from wfstore.index.sandbox import Sandbox, child

SECRET = "the-secret-of-the-server"
#: Stands for a file with the secret in it, the store's folder, its history folder, and one of its checked files.
STATEMENTS = """
FROM read_text('{secret}')
FROM read_blob('{secret}')
FROM read_csv('{secret}')
FROM read_csv_auto('{secret}', header=false)
FROM read_csv(['{secret}'], columns={{'a': 'VARCHAR'}})
FROM read_json('{secret}')
FROM read_json_auto('{secret}')
FROM read_json_objects('{secret}')
FROM read_ndjson('{secret}')
FROM read_ndjson_objects('{secret}')
FROM sniff_csv('{secret}')
FROM '{secret}'
FROM "{secret}"
SELECT * FROM '{secret}' AS t
DESCRIBE '{secret}'
SUMMARIZE '{secret}'
TABLE '{secret}'
SELECT (SELECT content FROM read_text('{secret}'))
SELECT EXISTS (FROM read_text('{secret}'))
WITH t AS (FROM read_text('{secret}')) FROM t
WITH t AS MATERIALIZED (FROM read_blob('{secret}')) SELECT octet_length(content) FROM t
SELECT list_transform([1], LAMBDA x: (SELECT content FROM read_text('{secret}')))
SELECT * FROM workflows, LATERAL (SELECT content FROM read_text('{secret}'))
SELECT workflow_id FROM workflows WHERE workflow_id IN (SELECT content FROM read_text('{secret}'))
SELECT 1 ORDER BY (SELECT content FROM read_text('{secret}'))
SELECT count(*) FILTER ((SELECT content FROM read_text('{secret}')) IS NOT NULL) FROM workflows
FROM workflows UNION ALL BY NAME FROM read_text('{secret}')
PIVOT (FROM read_text('{secret}')) ON filename IN ('x')
FROM (UNPIVOT (FROM read_text('{secret}')) ON content)
VALUES ((SELECT content FROM read_text('{secret}')))
FROM system.main.read_text('{secret}')
FROM query('FROM read_text(''{secret}'')')
FROM query_table('{secret}')
FROM query_table(['{secret}'])
FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{secret}'')'))
SELECT * FROM glob('{folder}/*')
SELECT * FROM glob('/etc/*')
FROM glob('**')
FROM read_text('/proc/self/environ')
FROM read_text('/proc/self/cmdline')
FROM read_text('/proc/self/fd/0')
FROM read_blob('/dev/stdin')
FROM read_blob('/proc/self/mem')
FROM read_text('/etc/passwd')
FROM read_text('../{name}')
FROM read_text('file://{secret}')
FROM read_text('{history}/../{name}')
FROM read_text('{store}/store.json')
FROM read_text('{store}/lease.json')
FROM read_blob('{store}/log/*')
FROM glob('{store}/payloads/*')
FROM read_parquet('{history}/*.parquet')
FROM read_parquet('{pack}')
FROM parquet_metadata('{pack}')
FROM parquet_schema('{pack}')
FROM parquet_file_metadata('{pack}')
FROM parquet_kv_metadata('{pack}')
FROM parquet_scan('{pack}')
FROM '{pack}'
FROM read_duckdb('{secret}')
FROM read_csv('https://127.0.0.1:1/x.csv')
FROM read_parquet('s3://bucket/x.parquet')
FROM 'http://127.0.0.1:1/x.json'
FROM read_parquet('gcs://bucket/x.parquet')
FROM read_text('hf://datasets/x')
COPY workflows TO '{target}'
COPY (SELECT 1) TO '{target}' (FORMAT parquet)
COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)
COPY (SELECT 1) TO PROGRAM 'touch {target}'
COPY workflows FROM '{secret}'
EXPORT DATABASE '{target}'
IMPORT DATABASE '{store}'
ATTACH '{target}' AS other
ATTACH ':memory:' AS other
ATTACH 'postgres://127.0.0.1:1/x' AS other
DETACH memory
USE system
INSTALL httpfs
LOAD httpfs
FORCE INSTALL spatial
LOAD '{secret}'
UPDATE EXTENSIONS
SET enable_external_access = true
SET GLOBAL lock_configuration = false
RESET enable_external_access
SET allowed_paths = ['/']
SET allowed_directories = ['/']
SET memory_limit = '100GB'
SET max_execution_time = 0
SET temp_directory = '{folder}'
SET python_enable_replacements = true
SET log_query_path = '{target}'
SET profiling_output = '{target}'
SET VARIABLE x = (SELECT content FROM read_text('{secret}'))
PRAGMA database_list
PRAGMA enable_profiling
PRAGMA import_database('{store}')
PRAGMA add_parquet_key('k', '0123456789112345')
CALL enable_logging(storage = 'file', storage_path = '{target}')
FROM enable_logging(storage = 'file', storage_path = '{target}')
FROM enable_profiling(save_location = '{target}')
CALL pragma_version()
CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET 'y')
CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')
FROM duckdb_secrets()
FROM which_secret('s3://x', 's3')
FROM duckdb_settings()
SELECT current_setting('allowed_paths')
SELECT current_setting('secret_directory')
FROM pg_settings
FROM pg_catalog.pg_settings
SELECT getenv('PATH')
SELECT getenv('SECRET_OF_TEST')
CREATE TABLE t AS SELECT 1
CREATE OR REPLACE VIEW workflows AS SELECT 1
CREATE TEMP VIEW v AS FROM read_text('{secret}')
CREATE MACRO m() AS TABLE FROM read_text('{secret}')
CREATE FUNCTION f() AS 1
DROP VIEW tasks
DROP SCHEMA main CASCADE
ALTER VIEW tasks RENAME TO t
DELETE FROM wfstore.tail
INSERT INTO wfstore.tail (seq) VALUES (1)
UPDATE wfstore.tail SET seq = 0
TRUNCATE wfstore.tail
MERGE INTO wfstore.tail USING (SELECT 1 AS seq) AS n ON false WHEN NOT MATCHED THEN INSERT (seq) VALUES (1)
WITH x AS (INSERT INTO wfstore.tail (seq) VALUES (1) RETURNING seq) FROM x
WITH x AS (DELETE FROM wfstore.tail RETURNING seq) FROM x
SELECT 1; DROP VIEW tasks
SELECT 1; SELECT 2
; DROP VIEW tasks
PREPARE p AS DROP VIEW tasks
EXECUTE p
DEALLOCATE p
EXPLAIN ANALYZE SELECT 1
EXPLAIN SELECT 1
BEGIN
COMMIT
ROLLBACK
CHECKPOINT
FROM checkpoint()
FROM force_checkpoint()
VACUUM
ANALYZE
COMMENT ON VIEW tasks IS 'x'
FROM truncate_duckdb_logs()
FROM disable_logging()
FROM duckdb_temporary_files()
FROM pandas_scan(1)
FROM python_map_function(1)
FROM arrow_scan(1, 1, 1)
FROM arrow_scan(94285::POINTER, 1::POINTER, 1::POINTER)
FROM seq_scan('workflows')
FROM create_external_resource('x')
FROM register_external_resource('x')
FROM python_variable
FROM os
FROM secret_table
SELECT nextval('s')
SELECT write_log('x')
""".strip().splitlines()
python_variable = pa.table({"a": [SECRET]})


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return laid_out(tmp_path_factory.mktemp("server"))


def laid_out(folder: Path) -> dict[str, str]:
    """A store with history files, and a secret beside it: what the statements name."""
    store = folder / "store"
    store.mkdir()
    fill(store)
    wfstore.open(store).compact(grace="0s")
    secret = folder / "secret.txt"
    secret.write_text(SECRET)
    history = store / "history"
    (pack, *_), (file, *_) = sorted(history.glob("packs*")), sorted(history.glob("workflows*"))
    found = {"secret": secret, "folder": folder, "store": store, "history": history, "pack": pack, "file": file}
    return {**{key: str(path) for key, path in found.items()}, "name": secret.name, "target": str(folder / "made")}


def everything(places: dict[str, str]) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(places["folder"]).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def sandbox(places: dict[str, str]) -> Iterator[Sandbox]:
    os.environ["SECRET_OF_TEST"] = SECRET
    before = everything(places)
    with Sandbox(places["store"], processes=1, timeout_s=5.0) as made:
        yield made
    del os.environ["SECRET_OF_TEST"]
    assert everything(places) == before
    assert not os.path.exists(places["target"])


@pytest.fixture(scope="module")
def locked(places: dict[str, str]) -> duckdb.DuckDBPyConnection:
    """The same lock over the same files, with no gate before it."""
    connection = database.whole(replacements=False)
    names = [str(path) for path in Path(places["history"]).glob("*.parquet") if not path.name.startswith("packs")]
    child.lock(connection, names)
    return connection


def test_there_are_enough() -> None:
    assert len(STATEMENTS) == len(set(STATEMENTS)) >= 93


@pytest.mark.parametrize("statement", STATEMENTS)
def test_it_is_refused(sandbox: Sandbox, places: dict[str, str], statement: str) -> None:
    query = statement.format(**places)
    said, refused = told(sandbox, query)
    assert refused, said
    said = said.replace(query, "")
    assert SECRET not in said
    # The server's own paths are not told where the query did not name them.
    assert places["folder"] not in said or places["folder"] in query
    assert sandbox.query("SELECT count(*) AS n FROM workflows").table.to_pylist() == [{"n": 9}]


def told(sandbox: Sandbox, query: str) -> tuple[str, bool]:
    """What the sandbox says, and whether that is a refusal."""
    try:
        return str(sandbox.query(query).table.to_pylist()), False
    except QueryError as error:
        return str(error), True


#: Refused by the gate alone: in a database of one's own they do no harm to anything outside it. But for COPY to a file
#: that may be read, which DuckDB takes as one that may be written: see test_sandbox_limits.py.
INSIDE = re.compile(
    r"^(SET (VARIABLE|memory_limit|max_execution_time)|PRAGMA (database_list|add_parquet|enable_prof)|CALL pragma"
    r"|CREATE|DROP|ALTER|DELETE|INSERT|UPDATE w|TRUNCATE|MERGE|WITH x|SELECT 1;|; DROP|PREPARE|DEALLOCATE|EXPLAIN"
    r"|BEGIN|COMMIT|ROLLBACK|CHECK|VACUUM|ANALYZE|COMMENT|USE|ATTACH ':memory:'|COPY \(SELECT 1\) TO '{file}'"
    r"|FROM (duckdb_(secrets|settings|temp)|which_secret|pg_|checkpoint|force_checkpoint|truncate)"
    r"|SELECT (current_setting|write_log|count))"
)


@pytest.mark.parametrize("statement", [s for s in STATEMENTS if not INSIDE.match(s)])
def test_the_locked_database_refuses_it_too(
    locked: duckdb.DuckDBPyConnection, places: dict[str, str], statement: str
) -> None:
    before = everything(places)
    with pytest.raises((duckdb.Error, RuntimeError)):
        locked.cursor().execute(statement.format(**places)).fetchall()
    assert everything(places) == before and not os.path.exists(places["target"])


@pytest.mark.parametrize(
    "query",
    ["SHOW TABLES", "DESCRIBE workflows", "SUMMARIZE tasks", "FROM duckdb_columns()", "FROM duckdb_views()",
     "FROM information_schema.views", "FROM pg_catalog.pg_views", "FROM duckdb_databases", "SHOW DATABASES",
     "SELECT * FROM duckdb_functions()"],
)  # fmt: skip
def test_what_is_shown_of_the_database_names_no_place_on_the_server(
    sandbox: Sandbox, places: dict[str, str], query: str
) -> None:
    said, _ = told(sandbox, query)
    assert places["folder"] not in said and SECRET not in said


@pytest.mark.parametrize(
    "query",
    ["PIVOT tasks ON status IN ('SUCCESSFUL') USING count(*)", "FROM range(3)", "SELECT unnest([1, 2])",
     "FROM json_each('{\"a\": 1}')", "VALUES (1)", "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r "
     "WHERE a < 5) FROM r", "SELECT workflows.status FROM workflows", "FROM tasks SEMI JOIN runs USING (workflow_id)",
     "SELECT metadata ->> 'team' FROM main.workflows", "FROM wfstore.tail", "SELECT COLUMNS('.*_at') FROM tasks",
     "SELECT name, row_number() OVER (PARTITION BY status) AS r FROM tasks QUALIFY r = 1", "SELECT 1;"],
)  # fmt: skip
def test_what_people_ask_is_answered(sandbox: Sandbox, query: str) -> None:
    sandbox.query(query)


def test_nested_and_long_statements(sandbox: Sandbox) -> None:
    for query in ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "SELECT " + "1 + " * 30_000 + "1", "x" * 300_000,
                  "SELECT " + "[" * 900 + "]" * 900, "FROM (" * 3_000 + "FROM range(1)" + ")" * 3_000):  # fmt: skip
        said, _ = told(sandbox, query)
        assert said
    assert sandbox.query("SELECT 1 AS a").table.to_pylist() == [{"a": 1}]
