"""Local storage on several nodes: fine where every node mounts it, one clear error where not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import wfstore
from tests.engine.drivers import end_everything, launch
from wfstore.engine.probe import check_storage_visible
from wfstore.errors import StorageError


def store(folder: Path, store_id: str) -> str:
    folder.mkdir()
    (folder / "store.json").write_text(json.dumps({"store_id": store_id}))
    return str(folder)


def test_another_store_under_the_same_path_is_not_the_managers(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"NFS.*s3://"):
        check_storage_visible(store(tmp_path / "a", "theirs"), "mine", "node-1", "node-2")


def test_nothing_under_the_path_is_not_the_managers(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="node-2 does not see"):
        check_storage_visible(str(tmp_path / "nothing"), "mine", "node-1", "node-2")


def test_a_shared_folder_is(tmp_path: Path) -> None:
    check_storage_visible(store(tmp_path / "a", "mine"), "mine", "node-1", "node-2")


def test_a_folder_that_is_mounted_later_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "late"
    with pytest.raises(StorageError):
        check_storage_visible(str(path), "mine", "node-1", "node-2")
    check_storage_visible(store(path, "mine"), "mine", "node-1", "node-2")


@pytest.mark.ray
@pytest.mark.parametrize("mode", ["shared", "hidden"])
def test_two_nodes(tmp_path: Path, mode: str) -> None:
    process = launch("two_nodes", str(tmp_path / "store"), mode, env={"RAY_AUTH_MODE": "disabled"})
    try:
        out, err = process.communicate(timeout=120)
    finally:
        end_everything(process)
    assert out.splitlines()[-1:] == ["done"], err[-3000:]
    if mode == "hidden":
        refused = next(line for line in out.splitlines() if line.startswith("REFUSED"))
        assert "StorageError" in refused
        assert "NFS" in refused
        assert "s3://" in refused
        attempts = wfstore.open(tmp_path / "store").attempts("hidden")
        assert set(attempts["error_type"]) == {"StorageError"}
    else:
        nodes = wfstore.open(tmp_path / "store").attempts("large")["node_id"]
        assert nodes.n_unique() == 2
