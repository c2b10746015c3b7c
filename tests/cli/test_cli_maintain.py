"""`verify` and `stats`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.cli.conftest import Command


def segments(store: Path) -> list[Path]:
    return sorted((store / "log").glob("*.wfl"))


def test_a_sound_store(wfstore: Command, store: str) -> None:
    answer = wfstore("verify", "--storage", store)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("ok")
    assert json.loads(wfstore("verify", "--storage", store, "--json").out)["ok"] is True


def test_a_torn_tail_is_a_problem_until_it_is_repaired(wfstore: Command, store: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    with segments(copy)[-1].open("ab") as stream:
        stream.write(b"\xf5WFE half a frame")

    found = wfstore("verify", "--storage", str(copy))
    assert found.code == 1
    assert segments(copy)[-1].name in found.out
    assert "--repair" in found.err
    assert found.err.count("\n") == 1

    assert wfstore("verify", "--repair", "--storage", str(copy)).code == 0
    assert wfstore("verify", "--storage", str(copy)).code == 0
    assert list((copy / "log").glob("*.broken"))


def test_damage_is_named_and_no_repair_hides_it(wfstore: Command, store: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    segment = segments(copy)[-1]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)

    found = wfstore("verify", "--repair", "--storage", str(copy), "--json")
    assert found.code == 1
    document = json.loads(found.out)
    assert document["ok"] is False
    assert segment.name in document["problems"][0]["message"] + document["problems"][0]["path"]


def test_stats(wfstore: Command, store: str) -> None:
    document = json.loads(wfstore("stats", "--storage", store, "--json").out)
    assert document["workflows"] == 4
    assert "workflows" in wfstore("stats", "--storage", store).out
