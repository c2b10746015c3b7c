"""`wfstore dashboard` as a process: the link, the token, ports, signals, and what it leaves alone."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.stores import made
from wfstore.cli.app import run
from wfstore.log import read_lease

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=([A-Za-z0-9_-]{43})\n")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("command") / "store")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start(store: str, state: Path) -> Iterator[Start]:
    """Starts `wfstore dashboard` with its output in pipes."""
    running: list[subprocess.Popen[str]] = []

    def launch(*arguments: str) -> subprocess.Popen[str]:
        env = {**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)}
        env.pop("WFSTORE_DASHBOARD_TOKEN", None)
        command = [sys.executable, "-m", "wfstore", "dashboard", "--storage", store, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, env=env, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield launch
    for process in running:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The first line on stdout, as soon as it is there."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 120)
    assert ready, "nothing was printed"
    return process.stdout.readline()


def test_one_line_with_the_link_and_a_clean_end(start: Start, state: Path) -> None:
    process = start("--port", "0")
    found = LINE.fullmatch(line(process))
    assert found
    url = f"http://127.0.0.1:{found[1]}"
    assert httpx.get(f"{url}/api/workflows").status_code == 401
    browser = httpx.Client(base_url=url, follow_redirects=True)
    assert browser.get(f"/?token={found[2]}").url == httpx.URL(f"{url}/")
    told = browser.get("/api/workflows", params={"status": "FAILED"}).json()
    assert [row["workflow_id"] for row in told["workflows"]] == ["loud-[red]é"]
    bearer = {"Authorization": f"Bearer {found[2]}"}
    assert httpx.get(f"{url}/api/workflows/big/tasks", headers=bearer).json()["total"] == 102
    order = httpx.post(f"{url}/api/workflows/good/cancel", headers={**bearer, "X-Wfstore-Action": "1"})
    assert order.status_code == 409
    kept = state / "wfstore" / "dashboard-token"
    assert (kept.read_text().strip(), kept.stat().st_mode & 0o777) == (found[2], 0o600)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_the_token_outlives_the_server(start: Start) -> None:
    first = start("--port", "0")
    found = LINE.fullmatch(line(first))
    assert found
    first.kill()
    again = start("--port", found[1])
    assert line(again) == found[0], "pages that were open go on"


def test_a_token_of_ones_own_and_json(start: Start) -> None:
    process = start("--port", "0", "--token", "chosen-by-me", "--json")
    told = json.loads(line(process))
    assert (told["link"], told["token"]) == (f"{told['url']}/?token=chosen-by-me", "chosen-by-me")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.ray
def test_on_a_cluster_it_can_act_and_ends_with_it(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")  # one of its own, whatever else runs here
    storage = str(tmp_path / "new")
    process = start("--ray", "--port", "0", "--json", "--storage", storage)
    told = json.loads(line(process))
    headers = {"Authorization": f"Bearer {told['token']}", "X-Wfstore-Action": "1"}
    unknown = httpx.post(f"{told['url']}/api/workflows/nobody/cancel", headers=headers, timeout=30)
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "WorkflowNotFoundError"), unknown.text
    assert httpx.get(told["link"], follow_redirects=True, timeout=30).text.count("Act on these") == 1
    lease = read_lease(storage)
    assert lease is not None and process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(told["url"], timeout=5)


@pytest.fixture
def refusal(
    capfd: pytest.CaptureFixture[str], store: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs the command in this process; it must end by itself, with one line."""
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.delenv("WFSTORE_DASHBOARD_TOKEN", raising=False)

    def call(*arguments: str) -> str:
        code = run(["dashboard", "--storage", store, *arguments])
        out, err = capfd.readouterr()
        assert (code, out, err.count("\n")) == (1, "", 1), err
        return err

    return call


def test_a_port_in_use(refusal: Callable[..., str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use" in refusal("--port", str(port))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "--token"),
        (("--host", "no such host", "--token", "x"), "cannot listen on no such host"),
        (("--token", "a b"), "the token must be"),
        (("--storage", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
def test_refusals_are_one_line(refusal: Callable[..., str], arguments: tuple[str, ...], words: str) -> None:
    assert words in refusal("--port", "0", *arguments)


def test_without_the_extra(refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "starlette" in name else there(name))
    error = refusal("--port", "0")
    assert "the dashboard needs starlette, sse_starlette: pip install 'wfstore[dashboard]'" in error


LAZY = """
import sys
import wfstore
from wfstore import cli
from wfstore.cli import app
try:
    app.run(["ls", "--storage", sys.argv[1]])
finally:
    web = {"starlette", "uvicorn", "sse_starlette", "jinja2", "msgspec", "wfstore.dashboard", "ray"}
    print(sorted(web & sys.modules.keys()))
"""


def test_reading_loads_no_web(store: str) -> None:
    out = subprocess.run([sys.executable, "-c", LAZY, store], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.splitlines()[-1] == "[]"
