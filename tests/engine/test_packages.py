"""A submitter's code packages: kept with its workflows, put back on a cluster that does not have them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.engine.conftest import ROOT
from wfstore.engine import packages
from wfstore.errors import PayloadMissingError
from wfstore.payloads import PayloadStore

ZIP = "gcs://_ray_pkg_0123.zip"
OTHER = "gcs://_ray_pkg_4567.zip"


class FakeGcs:
    """The GCS's key-value store, and what was pinned."""

    def __init__(self, **held: bytes) -> None:
        self.held: dict[str, bytes] = held
        self.pins: list[str] = []
        self.calls = 0

    def _internal_kv_get(self, uri: str) -> bytes | None:
        self.calls += 1
        return self.held.get(uri)

    def _internal_kv_exists(self, uri: str) -> bool:
        self.calls += 1
        return uri in self.held

    def _internal_kv_put(self, uri: str, data: bytes) -> None:
        self.calls += 1
        self.held[uri] = data

    def _pin_runtime_env_uri(self, uri: str, *, expiration_s: int) -> None:
        assert expiration_s * 1000 < 2**31
        self.calls += 1
        self.pins.append(uri)


class FakeContext:
    def get_session_name(self) -> str:
        return "session_1"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> FakeGcs:
    fake = FakeGcs()
    monkeypatch.setattr(packages, "internal_kv", fake)
    monkeypatch.setattr(ray, "get_runtime_context", FakeContext)
    forget(monkeypatch)
    return fake


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_pinned", {})
    monkeypatch.setattr(packages, "_warned", set())


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(str(tmp_path / "store"))


def keep(store: PayloadStore) -> Any:
    return lambda data: store.put_file(data).hash


def test_what_was_kept_is_put_back(gcs: FakeGcs, store: PayloadStore) -> None:
    env = {"working_dir": ZIP, "py_modules": [OTHER, "s3://bucket/x.zip", ZIP], "env_vars": {"A": "gcs://b"}}
    gcs.held = {ZIP: b"one", OTHER: b"two"}
    kept = packages.preserve(env, keep(store))
    assert list(kept) == [ZIP, OTHER]
    gcs.held = {OTHER: b"two"}
    packages.restore(env, kept, store.get)
    assert gcs.held == {ZIP: b"one", OTHER: b"two"}
    assert gcs.pins == [ZIP, OTHER]
    assert packages.without_lost(env) == env


@pytest.mark.parametrize("env", [{}, {"working_dir": "s3://b/x.zip", "py_modules": []}, {"pip": ["gcs://a"]}])
def test_without_packages_nobody_is_asked(gcs: FakeGcs, store: PayloadStore, env: dict[str, Any]) -> None:
    assert packages.preserve(env, keep(store)) == {}
    packages.restore(env, {}, store.get)
    assert packages.without_lost(env) == env
    assert gcs.calls == 0


def test_each_package_is_read_once_for_a_store(gcs: FakeGcs, tmp_path: Path) -> None:
    class Keeper:
        def __init__(self, folder: str) -> None:
            self.store = PayloadStore(str(tmp_path / folder))

        def put(self, data: bytes) -> str:
            return self.store.put_file(data).hash

    gcs.held = {ZIP: b"one"}
    one, other = Keeper("one"), Keeper("other")
    first = packages.preserve({"working_dir": ZIP}, one.put)
    assert packages.preserve({"working_dir": ZIP}, one.put) == first
    assert gcs.calls == 1
    assert packages.preserve({"working_dir": ZIP}, other.put) == first
    assert other.store.get(first[ZIP]) == b"one"


def test_a_second_restore_asks_nobody(gcs: FakeGcs, store: PayloadStore) -> None:
    kept = {ZIP: store.put_file(b"one").hash}
    packages.restore({"working_dir": ZIP}, kept, store.get)
    calls = gcs.calls
    packages.restore({"working_dir": ZIP}, kept, store.get)
    assert gcs.calls == calls


def test_a_large_package_is_not_kept_and_said_once(
    gcs: FakeGcs, store: PayloadStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packages, "LARGEST_BYTES", 3)
    gcs.held = {ZIP: b"four", OTHER: b"two"}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert list(packages.preserve({"py_modules": [ZIP, OTHER]}, keep(store))) == [OTHER]
    assert [record.getMessage().split()[1] for record in caplog.records] == [ZIP]


def test_a_lost_package_is_left_out(gcs: FakeGcs, store: PayloadStore, caplog: pytest.LogCaptureFixture) -> None:
    env = {"working_dir": ZIP, "py_modules": [OTHER], "env_vars": {"A": "b"}}

    def lost(name: str) -> bytes:
        raise PayloadMissingError(store.storage, name)

    with caplog.at_level(logging.WARNING):
        packages.restore(env, {ZIP: "0" * 64}, lost)
        packages.restore(env, {ZIP: "0" * 64}, lost)
    assert [record.getMessage().split()[1] for record in caplog.records] == [ZIP, OTHER]
    assert packages.without_lost(env) == {"env_vars": {"A": "b"}}
    gcs.held = {OTHER: b"two"}
    assert packages.without_lost(env) == {"py_modules": [OTHER], "env_vars": {"A": "b"}}
    gcs.held = {ZIP: b"one", OTHER: b"two"}
    packages.restore(env, {}, lost)
    assert packages.without_lost(env) == env


# -- on Ray -----------------------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys
import ray
from wfstore.engine import packages
from wfstore.payloads import PayloadStore

address, folder, storage = sys.argv[1:]
options = {"num_cpus": 1, "include_dashboard": False} if address == "local" else {}
ray.init(address=address, log_to_driver=False, runtime_env={"working_dir": folder}, **options)
env = dict(ray.get_runtime_context().runtime_env)
store = PayloadStore(storage)
kept = packages.preserve(env, lambda data: store.put_file(data).hash) if storage else {}
print(json.dumps([env, kept]))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with a module that nobody else has."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "only_here_wfstore.py").write_text(f"VALUE = {time.time_ns()}\n")
    return folder


def drive(address: str, folder: Path, storage: str, **env: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A driver with `folder` as its working_dir, which preserves it and ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, address, str(folder), storage],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: tuple[dict[str, Any], dict[str, str]] = tuple(json.loads(done.stdout.splitlines()[-1]))
    return found


def _import_it() -> int:
    import only_here_wfstore  # type: ignore[import-not-found]

    value: int = only_here_wfstore.VALUE
    return value


@pytest.mark.ray
def test_a_module_of_a_cluster_that_is_gone_is_imported_on_another(
    cluster: None, code: Path, store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    env, kept = drive("local", code, store.storage)
    assert kept
    task = ray.remote(max_retries=0)(_import_it)
    assert "working_dir" not in packages.without_lost(env)
    with pytest.raises(ModuleNotFoundError, match="only_here_wfstore"):
        ray.get(task.options(runtime_env=packages.without_lost(env)).remote())
    packages.restore(env, kept, store.get)
    assert packages.without_lost(env) == env
    assert f"VALUE = {ray.get(task.options(runtime_env=env).remote())}\n" == next(code.iterdir()).read_text()


@pytest.mark.ray
@pytest.mark.parametrize("restored", [True, False])
def test_a_restored_package_outlives_a_job_that_names_it(
    cluster: None, code: Path, store: PayloadStore, monkeypatch: pytest.MonkeyPatch, restored: bool
) -> None:
    """Without it Ray deletes the package with the last job that names it: workflows outlive their drivers."""
    forget(monkeypatch)
    address = ray.get_runtime_context().gcs_address
    unpinned = {"RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S": "0"}
    env, kept = drive(address, code, store.storage, **unpinned)
    if restored:
        packages.restore(env, kept, store.get)
        drive(address, code, "", **unpinned)
    deadline = time.monotonic() + 5
    while (there := packages.internal_kv._internal_kv_exists(env["working_dir"])) and time.monotonic() < deadline:
        if restored and time.monotonic() > deadline - 3.5:
            break
        time.sleep(0.05)
    assert there == restored
