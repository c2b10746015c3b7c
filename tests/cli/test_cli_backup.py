"""`backup` and `restore`, and what `verify` says to people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_there_and_back(wfstore: Command, store: str, tmp_path: Path) -> None:
    kept, back = str(tmp_path / "kept"), str(tmp_path / "back")
    answer = wfstore("backup", kept, "--storage", store)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("backed up up to event ") and "is right" in answer.out
    document = json.loads(wfstore("backup", kept, "--storage", store, "--json").out)
    assert (document["copied_files"], document["verified"], document["destination"]) == (0, True, kept)
    assert "not read again" in wfstore("restore", kept, back, "--no-verify").out
    listed = wfstore("ls", "--storage", store, "--json").out
    assert wfstore("ls", "--storage", kept, "--json").out == listed == wfstore("ls", "--storage", back, "--json").out
    assert wfstore("verify", "--storage", back).code == 0


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_what_is_refused_is_one_line(wfstore: Command, store: str, tmp_path: Path, verb: str) -> None:
    (tmp_path / "file").touch()
    source = ["--storage", store] if verb == "backup" else [store]
    order = [verb, str(tmp_path), *source] if verb == "backup" else [verb, *source, str(tmp_path)]
    answer = wfstore(*order)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1 and "not empty" in answer.err
    assert wfstore(verb).code == 2


def test_lost_values_are_named_and_the_rest_is_kept(wfstore: Command, store: str, tmp_path: Path) -> None:
    copy, kept = tmp_path / "copy", str(tmp_path / "kept")
    shutil.copytree(store, copy)
    lost = next((copy / "payloads").glob("*/*"))
    lost.unlink()
    answer = wfstore("backup", kept, "--storage", str(copy))
    assert answer.code == 1 and "--lost-values" in answer.err
    answer = wfstore("backup", kept, "--storage", str(copy), "--lost-values")
    assert answer.code == 1 and f"lost: payloads/{lost.parent.name}/{lost.name}" in answer.out
    assert answer.err == "wfstore: 1 value lost at the source, and not in the backup\n"
    assert wfstore("ls", "--storage", kept).code == 0


def test_a_problem_says_what_it_concerns_and_what_to_do(wfstore: Command, store: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    lost = next((copy / "payloads").glob("*/*"))
    lost.unlink()
    answer = wfstore("verify", "--storage", str(copy))
    what, concerns, advice = answer.out.splitlines()
    assert str(lost) in what and "workflow '" in concerns and "since event " in concerns and "backup" in advice
    document = json.loads(wfstore("verify", "--storage", str(copy), "--json").out)
    (problem,) = document["problems"]
    assert (problem["kind"], problem["path"], document["replayed"]) == ("payload", str(lost), True)
    assert problem["since"].endswith("Z") and problem["since_seq"] > 0
    assert json.loads(wfstore("verify", "--storage", store, "--json", "--quick").out)["replayed"] is False
