"""The comparison with other engines: our side answers rightly, and says what is missing on the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed (extra: test)")

import wfstore
from benchmarks import peers
from benchmarks.peer_side import NAMES, TOP

WORKFLOWS = 160
DBOS, RAY = (os.environ.get(name, "") for name in ("WFSTORE_DBOS_PYTHON", "WFSTORE_PEER_PYTHON"))


def test_our_side(tmp_path: Path) -> None:
    storage = str(tmp_path / "store")
    assert peers.own_write(storage, WORKFLOWS)["tasks"] == 3 * WORKFLOWS
    store = wfstore.open(storage)
    assert set(store.tasks()["name"]) == {name for names in NAMES for name in names}
    assert store.workflows()["status"].to_list() == ["SUCCESSFUL"] * WORKFLOWS
    answers = [
        store.sql(f"{question} ORDER BY p95_s DESC LIMIT {TOP}").fetchall() for question in peers.QUESTIONS.values()
    ]
    assert answers[0] == answers[1] == answers[2] and len(answers[0]) == TOP
    assert len(peers.own_ask(storage, 2, "tasks")["warm_ms"]) == 2


def test_it_says_how_to_make_a_peer(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="pip install dbos"):
        peers.main(["--dbos", str(tmp_path / "python")])
    with pytest.raises(SystemExit, match=r"ray==2\.47\.1"):
        peers.main(["--dbos", "", "--ray-workflow", str(tmp_path / "python")])


@pytest.mark.peer
@pytest.mark.skipif(not DBOS and not RAY, reason="no Python named by WFSTORE_DBOS_PYTHON or WFSTORE_PEER_PYTHON")
def test_beside_peers(capsys: pytest.CaptureFixture[str]) -> None:
    peers.main(["--dbos", DBOS, "--ray-workflow", RAY, "--quick", "--runs", "2"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    engines = {row["engine"]: row["tasks"] for row in rows if "engine" in row}
    assert set(engines.values()) == {240}
    assert ("dbos on sqlite" in engines) == bool(DBOS) and ("ray.workflow's files" in engines) == bool(RAY)
    assert sum("figure" in row for row in rows) == bool(DBOS) + bool(RAY)
