"""The tutorial runs as printed, and so do the backup's commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|bash)( fails)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[str, bool, str]]:
    """(language, whether it is said to fail, text) of every block of a page of docs/."""
    return [(kind, bool(fails), text) for kind, fails, text in BLOCK.findall((ROOT / "docs" / page).read_text())]


def environment(place: Path) -> dict[str, str]:
    """`python` and `wfstore` are those of this interpreter and this source tree."""
    tools = place / "tools"
    tools.mkdir()
    for name, arguments in {"python": "", "wfstore": "-m wfstore"}.items():
        script = tools / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        script.chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tools}:{os.environ['PATH']}"}


@pytest.mark.ray
def test_the_tutorial_runs_as_printed(tmp_path: Path) -> None:
    env = environment(tmp_path)
    said = ""
    (_, _, install), (_, _, pipeline), *rest = blocks("tutorial.md")
    assert "wfstore demo" in install
    (tmp_path / "pipeline.py").write_text(pipeline)
    for kind, fails, text in rest:
        if "export WFSTORE_STORAGE" in text:
            env["WFSTORE_STORAGE"] = "./store"
        text = text.replace("time.sleep(0.5)", "time.sleep(0.01)")  # a reader wants to watch; this test does not
        command = ["sh", "-ec", text] if kind == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
        assert (done.returncode != 0) == fails, done.stderr
        said += done.stdout + (done.stderr if fails else "")
    for words in (
        "nobody has approved the figures yet",
        "figures",
        "├─ ",
        "resume",
        "SUCCESSFUL",
        "4\n",
        "slow  figures",
        "shape: (7, 3)",
    ):
        assert words in said


def test_a_backup_is_made_as_printed(tmp_path: Path, store: str) -> None:
    text = next(text for kind, _, text in blocks("how-to/back-up-and-verify.md") if "wfstore backup /" in text)
    lines = [line for line in text.splitlines() if "s3://" not in line]
    text = "\n".join([*lines, "wfstore verify --storage /backup/workflows"])
    text = text.replace("/data/workflows", store).replace("/backup/workflows", str(tmp_path / "backup"))
    done = subprocess.run(["sh", "-ec", text], env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("ok") or "\nok" in done.stdout
