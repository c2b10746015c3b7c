"""The oracle is ray 2.47.1: each program of `programs/` runs on both libraries, and the reports must agree.

$WFSTORE_PEER_PYTHON names an interpreter of a virtual environment of its own with ray==2.47.1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import ROOT

PEER = os.environ.get("WFSTORE_PEER_PYTHON")
PROGRAMS = Path(__file__).parent / "programs"
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.py") if path.stem != "prelude")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(PEER is None, reason="WFSTORE_PEER_PYTHON names no interpreter with ray==2.47.1"),
]

#: Where the two differ on purpose: program, key of its report, and what the compatibility page says about it.
DIFFERENT: dict[tuple[str, str], tuple[str, Any, Any]] = {
    ("catch", "output of a caught one"): (
        "E7: a caught error is kept",
        {"error": ["ValueError"], "text": "Cannot load output from workflow 'caught'"},
        {"value": [None, "ValueError"]},
    ),
    ("errors", "unknown task"): (
        "G3: the text is the same, whether the workflow had ended before it was asked for or not",
        {"error": ["ValueError"], "text": "Cannot load output from task id 'non_exist' in workflow 'w'"},
        {"error": ["ValueError"], "text": "haven't yet produced output of task 'non_exist'"},
    ),
    ("options", "unknown key"): (
        "O1: there are more keys",
        {"error": ["ValueError"], "text": "Invalid option keywords {'bad'} for workflow tasks. Valid ones are {"},
        {"error": ["ValueError"], "text": "Invalid option keywords {'bad'} for workflow tasks. Valid ones are {"},
    ),
    ("options", "class node inside"): (
        "R6: the node is named, not printed whole",
        {"error": ["TypeError"], "text": ""},
        {"error": ["TypeError"], "text": "Unsupported DAG node: "},
    ),
}


def run(python: str, engine: str, program: str, folder: Path) -> dict[str, Any]:
    """The report of one program on one library."""
    folder.mkdir()
    path = str(PROGRAMS) if engine == "ray" else f"{PROGRAMS}{os.pathsep}{ROOT}"
    env = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "VIRTUAL_ENV")}
    ended = subprocess.run(
        [python, str(PROGRAMS / "prelude.py"), program, str(folder)],
        env={**env, "PYTHONPATH": path, "CATALOGUE_ENGINE": engine},
        capture_output=True,
        text=True,
        timeout=240,
    )
    reports = [line for line in ended.stdout.splitlines() if line.startswith("REPORT ")]
    assert len(reports) == 1, f"{program} on {engine} ended with {ended.returncode}:\n{ended.stderr[-4000:]}"
    report: dict[str, Any] = json.loads(reports[0].removeprefix("REPORT "))
    return report


def same(theirs: Any, ours: Any) -> bool:
    """Equal; of an error, what catches theirs catches ours, and one text stands in the other; of a list of classes or
    keys, ours may have more."""
    if isinstance(theirs, dict) and "error" in theirs:
        return isinstance(ours, dict) and set(theirs["error"]) <= set(ours.get("error", ())) and _texts(theirs, ours)
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and theirs.keys() == ours.keys() and all(same(theirs[k], ours[k]) for k in theirs)
    if isinstance(theirs, list):
        if isinstance(ours, list) and len(theirs) == len(ours) and all(map(same, theirs, ours)):
            return True
        words = all(isinstance(item, str) and item for item in theirs)
        return isinstance(ours, list) and bool(theirs) and words and all(item in ours for item in theirs)
    return bool(theirs == ours)


def _texts(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    return ours["text"] in theirs["text"] or theirs["text"] in ours["text"]


@pytest.mark.parametrize("program", NAMES)
def test_peer(program: str, tmp_path: Path) -> None:
    assert PEER is not None
    theirs = run(PEER, "ray", program, tmp_path / "ray")
    ours = run(sys.executable, "wfstore", program, tmp_path / "wfstore")
    assert theirs.keys() == ours.keys()
    wrong = {}
    for key in theirs:
        expected = DIFFERENT.get((program, key))
        if expected is not None:
            _, their_way, our_way = expected
            if not (same(their_way, theirs[key]) and same(our_way, ours[key])):
                wrong[key] = {"peer": theirs[key], "ours": ours[key], "listed": expected}
        elif not same(theirs[key], ours[key]):
            wrong[key] = {"peer": theirs[key], "ours": ours[key]}
    assert not wrong, json.dumps(wrong, indent=1)
