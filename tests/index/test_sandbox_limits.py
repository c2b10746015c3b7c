"""What the operating system refuses a sandbox's process, whatever its SQL or a flaw in DuckDB makes it try."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import wfstore
from tests.store.conftest import fill

PROGRAM = """
import json, os, signal, socket, sys
from wfstore.index import database
from wfstore.index.sandbox import child, limits

folder, listening = sys.argv[1], int(sys.argv[2])
history = os.path.join(folder, "store", "history")
child._warm()
package = os.path.dirname(os.path.dirname(os.path.abspath(child.__file__)))
locked = limits.apply([history, sys.prefix, sys.base_prefix, os.getcwd(), *child._SYSTEM])
os.chdir(history)
said = {}

def trying(name, call):
    try:
        call()
        said[name] = "done"
    except (OSError, RuntimeError) as error:
        said[name] = type(error).__name__
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"

names = [name for name in os.listdir(history) if name.endswith(".parquet")]
file = next(name for name in names if name.startswith("workflows"))
connection = database.whole(replacements=False)
child.lock(connection, names)
trying("read history", lambda: connection.sql(f"FROM read_parquet('{file}')").fetchall())
trying("copy over it", lambda: connection.execute(f"COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)"))
trying("truncate", lambda: os.truncate(file, 0))
trying("open to write", lambda: open(file, "r+b"))
trying("remove", lambda: os.unlink(file))
trying("make", lambda: open("made", "w"))
trying("write elsewhere", lambda: open(os.path.join(folder, "made"), "w").write("x"))
trying("make a folder", lambda: os.mkdir("made"))
trying("read the log", lambda: open(os.path.join(folder, "store", "store.json")).read())
trying("read a secret", lambda: open(os.path.join(folder, "secret.txt")).read())
trying("list elsewhere", lambda: os.listdir(folder))
trying("connect", lambda: socket.create_connection(("127.0.0.1", listening), 1))
trying("signal", lambda: os.kill(os.getppid(), 0))
print(json.dumps([locked, said]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    fill(store)
    wfstore.open(store).compact(grace="0s")
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path


def test_nothing_is_written_and_nothing_else_is_read(folder: Path) -> None:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder), str(listening.getsockname()[1])],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    locked, said = json.loads(done.stdout)
    if not locked:
        pytest.skip("this kernel has no Landlock: what DuckDB's settings and the gate refuse is tested elsewhere")
    assert said.pop("read history") == "done"
    assert {name for name, outcome in said.items() if outcome == "done"} <= {"signal"}, said
    assert said["signal"] == "PermissionError" or sys.platform != "linux"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
