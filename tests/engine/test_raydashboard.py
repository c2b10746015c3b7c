"""`ray-dashboard install|uninstall`: one file in Ray's package and out again; and a real dashboard that answers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from wfstore.cli import app
from wfstore.engine import raydashboard
from wfstore.engine.raydashboard import RayDashboardError

ROOT = Path(__file__).parents[2]
MODULES = "dashboard/modules"


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below it; of files the hash of their bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The parts of Ray's package that this is about, copied."""
    root = Path(ray.__file__).parent
    copy = tmp_path / "ray"
    for name in ("dashboard/subprocesses/module.py", f"{MODULES}/__init__.py", f"{MODULES}/version.py"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((root / name).read_bytes())
    return copy


def test_install_and_uninstall_leave_the_package_as_it_was(package: Path) -> None:
    before = contents(package)
    assert not raydashboard.place(package).written
    found = raydashboard.install(package)
    assert found.written and set(contents(package)) - set(before) == {
        f"{MODULES}/{raydashboard.FOLDER}",
        f"{MODULES}/{raydashboard.FOLDER}/__init__.py",
    }
    raydashboard.install(package)  # again: it is replaced
    (found.folder / "__pycache__").mkdir()
    (found.folder / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"x")
    assert not raydashboard.uninstall(package).written
    assert contents(package) == before
    raydashboard.uninstall(package)
    assert contents(package) == before


def test_what_somebody_else_wrote_stays(package: Path) -> None:
    folder = package / MODULES / raydashboard.FOLDER
    folder.mkdir()
    (folder / "__init__.py").write_text("theirs = 1\n")
    before = contents(package)
    for step in (raydashboard.install, raydashboard.uninstall):
        with pytest.raises(RayDashboardError, match="wfstore did not write it"):
            step(package)
    assert contents(package) == before


def test_a_file_of_somebody_in_our_folder_stays(package: Path) -> None:
    found = raydashboard.install(package)
    (found.folder / "notes.txt").write_text("mine")
    with pytest.raises(RayDashboardError, match="did not write it"):
        raydashboard.uninstall(package)
    assert (found.folder / "notes.txt").exists()


def test_a_ray_without_such_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RayDashboardError, match="no dashboard that takes modules"):
        raydashboard.install(tmp_path)


def test_the_module_never_fails_to_import(package: Path) -> None:
    """Without what Ray's dashboard needs it does nothing; Ray would give up its dashboard for an error."""
    path = raydashboard.install(package).path
    program = f"""
import builtins, importlib.util
found = builtins.__import__
def without(name, *args, **kwargs):
    if name.startswith("wfstore"):
        raise RuntimeError("broken")
    return found(name, *args, **kwargs)
builtins.__import__ = without
spec = importlib.util.spec_from_file_location("module", {str(path)!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "left out of the dashboard" in done.stderr


def test_the_command_says_what_it_does(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(raydashboard, "_package", lambda: package)
    monkeypatch.setattr(raydashboard, "missing", lambda: ["aiohttp"])
    before = contents(package)
    path = package / MODULES / raydashboard.FOLDER / "__init__.py"
    assert app.run(["ray-dashboard", "install", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"would write {path}") and "lacks aiohttp" in said.err
    assert app.run(["ray-dashboard", "uninstall"]) == 0 and contents(package) == before
    assert capsys.readouterr().out.startswith("nothing to remove")
    assert app.run(["ray-dashboard", "install"]) == 0 and path.exists()
    assert f"wrote {path}" in capsys.readouterr().out
    assert app.run(["ray-dashboard", "uninstall", "--dry-run"]) == 0 and path.exists()
    assert app.run(["ray-dashboard", "uninstall"]) == 0 and contents(package) == before
    assert app.run(["ray-dashboard", "nope"]) == 2
    path.parent.mkdir()
    capsys.readouterr()
    assert app.run(["ray-dashboard", "install"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


# -- a real one -------------------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys, time, urllib.error, urllib.request
import ray
from pathlib import Path
from wfstore import workflow
from wfstore.engine import raydashboard

raydashboard.install()
context = ray.init(include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=0, num_cpus=2)
url = context.dashboard_url

def ask(workflow_id, token=True):
    headers = {}
    found = Path.home() / ".ray" / "auth_token"
    if token and found.exists():
        headers["Authorization"] = "Bearer " + found.read_text().strip()
    try:
        request = urllib.request.Request(f"http://{url}/api/wfstore/{workflow_id}", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        body = error.read().decode()
        return error.code, json.loads(body) if body.startswith("{") else body

@ray.remote
def first():
    return 1

@ray.remote
def wait(x, path):
    while not Path(path).exists():
        time.sleep(0.05)
    return x

def node(function, name):
    return function.options(**workflow.options(task_id=name))

said = {"without": ask("none")}
workflow.init(storage=sys.argv[1])
gate = sys.argv[1] + ".gate"
workflow.run_async(node(wait, "wait").bind(node(first, "first").bind(), gate), workflow_id="shop/1")
while workflow.get_metadata("shop/1", "first").get("stats", {}).get("end_time") is None:
    time.sleep(0.05)
said["running"] = ask("shop%2F1")
Path(gate).touch()
workflow.get_output("shop/1")
until = time.monotonic() + 10  # one snapshot serves everybody for a moment
while (done := ask("shop%2F1"))[1]["workflow"]["status"] == "RUNNING" and time.monotonic() < until:
    time.sleep(0.05)
said["done"] = done
said["unknown"] = ask("nope")
ray.shutdown()
print("SAID", json.dumps(said))
"""


@pytest.fixture
def real_ray(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A copy of Ray's package, made of links where it can be, and the environment in which Python imports it."""
    other = os.environ.get("WFSTORE_TEST_RAY_DEFAULT")
    source = Path(other, "ray") if other else Path(ray.__file__).parent
    if not other and importlib.util.find_spec("aiohttp_cors") is None:
        pytest.skip(
            "what Ray's dashboard needs is not installed: pip install 'ray[default]', or --target FOLDER and set "
            "WFSTORE_TEST_RAY_DEFAULT=FOLDER"
        )
    copy = tmp_path / "packages" / "ray"
    copy.parent.mkdir()
    if subprocess.run(["cp", "-al", str(source), str(copy)], capture_output=True, check=False).returncode:
        subprocess.run(["rm", "-rf", str(copy)], check=True)
        subprocess.run(["cp", "-a", str(source), str(copy)], check=True)
    folders = [str(copy.parent), str(ROOT), *([other] if other else [])]
    home = tmp_path / "home"
    home.mkdir()
    drop = ("RAY_ADDRESS", "RAY_AUTH_MODE", "PYTHONPATH")
    rest = {key: value for key, value in os.environ.items() if key not in drop}
    return copy, {**rest, "PYTHONPATH": os.pathsep.join(folders), "HOME": str(home)}


@pytest.mark.ray
@pytest.mark.slow
def test_ray_s_own_dashboard_answers(real_ray: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    package, environment = real_ray
    before = {name: digest for name, digest in contents(package).items() if "__pycache__" not in name}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert "SAID" in done.stdout, done.stdout + done.stderr
    said = json.loads(done.stdout.partition("SAID ")[2].splitlines()[0])
    status, none = said["without"]
    assert status == 503 and none["error"]["type"] == "ManagerLostError"
    status, running = said["running"]
    assert (status, running["origin"], running["workflow"]["status"]) == (200, "live", "RUNNING")
    assert running["as_of_seq"] > 0 and running["workflow_id"] == "shop/1"
    statuses = {task_id: task["status"] for task_id, task in running["tasks"].items()}
    assert statuses["first"] == "SUCCESSFUL" and statuses["wait"] in ("PENDING", "RUNNING")
    status, ended = said["done"]
    assert status == 200 and ended["workflow"]["status"] == "SUCCESSFUL" and ended["origin"] in ("live", "store")
    assert said["unknown"][0] == 404
    raydashboard.uninstall(package)
    assert {name: digest for name, digest in contents(package).items() if "__pycache__" not in name} == before
