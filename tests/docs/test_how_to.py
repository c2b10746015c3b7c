"""The how-to pages do what they say: their blocks run as printed, in order, in a folder and a store of their own.

A block whose first line is a comment with a file's name is that file; one marked `fails` ends with an error.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_docs_tutorial import blocks, environment

FILE = re.compile(r"# (\w+\.py)\n")

#: page -> what its blocks print, in this order.
SAID = {
    "retry-and-time-out.md": ("data\n", "AttemptTimeoutError\n", "ConnectionError", "attempt.retry_scheduled"),
    "wait-for-events-and-timers.md": (
        "hello world\n",
        "order 7 approved by Ada\n",
        "['quick']\n",
        "event_checkpointed",
        "timer",
    ),
    "virtual-actors.md": ("10\n113\nAda: 113\n", "Account", "wages", '"balance": 113', "113\n"),
    "watch-and-manage.md": (
        "20 epochs\n",
        "epoch 20",
        "SUCCESSFUL",
        "100% store\n",
        "of 1\n",
        "refused: no manager runs\n",
        "True",
    ),
    "fix-and-resume.md": ("NameError: name 'value' is not defined", "SUCCESSFUL", "function_hash", "rerun of"),
}


@pytest.mark.ray
@pytest.mark.parametrize("page", sorted(SAID))
def test_a_page_runs_as_printed(page: str, tmp_path: Path) -> None:
    env = environment(tmp_path)
    place = tmp_path / "here"
    place.mkdir()
    env["WFSTORE_STORAGE"] = str(tmp_path / "store")
    said = ""
    for kind, fails, text in blocks(f"how-to/{page}"):
        if found := FILE.match(text):
            (place / found[1]).write_text(text)
            continue
        command = ["sh", "-ec", text] if kind == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=120)
        assert (done.returncode != 0) == fails, done.stderr
        said += done.stdout + (done.stderr if fails else "")
    at = 0
    for words in SAID[page]:
        at = said.find(words, at)
        assert at >= 0, f"{words!r} is not in what the page prints (any more):\n{said}"
