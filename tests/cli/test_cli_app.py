"""What all verbs share: exit codes, pipes, start-up, no Ray, and a reference page that knows them all."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.stores import LOUD_ID
from wfstore.cli import reference

ROOT = Path(__file__).parents[2]
READ = [
    ["ls"],
    ["show", "good"],
    ["history", "good"],
    ["tail"],
    ["sql", "SELECT count(*) FROM tasks"],
    ["report"],
    ["verify"],
    ["stats"],
]


def test_the_reference_page_is_what_the_commands_say() -> None:
    written = (ROOT / "docs/reference/cli.md").read_text()
    again = "python -m wfstore.cli.reference > docs/reference/cli.md"
    assert written == reference.page(), f"docs/reference/cli.md is stale; run: {again}"


def test_every_verb_has_help_and_storage_and_json(wfstore: Command) -> None:
    texts = dict(reference.help_texts())
    verbs = (
        "ls show history tail sql report path cost regressions diff eta dashboard demo import export resume rerun "
        "cancel delete verify stats compact retain backup restore ray-dashboard"
    )
    assert list(texts) == verbs.split()
    texts.pop("ray-dashboard")  # a group, and about Ray's own files
    for verb, help_text in texts.items():
        assert verb == "restore" or "--storage URI" in help_text, verb
        assert "--json" in help_text, verb
        assert wfstore(verb, "--help").code == 0


@pytest.mark.parametrize(
    "arguments", [[], ["nope"], ["ls", "--nope"], ["show"], ["ls", "--status", "X"], ["ls", "--since", "?"]]
)
def test_wrong_usage_is_2(wfstore: Command, arguments: list[str]) -> None:
    assert wfstore(*arguments).code == 2


def test_version(wfstore: Command) -> None:
    assert wfstore("--version").out.startswith("wfstore 0.")


@pytest.mark.parametrize("arguments", READ, ids=lambda arguments: arguments[0])
def test_a_store_that_is_not_there_is_one_line(wfstore: Command, tmp_path: Path, arguments: list[str]) -> None:
    answer = wfstore(*arguments, "--storage", str(tmp_path / "none"))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("wfstore: ")
    assert "none" in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("arguments", READ, ids=lambda arguments: arguments[0])
def test_reading_imports_no_ray_and_json_is_json(store: str, arguments: list[str]) -> None:
    code = (
        "import sys; from wfstore.cli.app import run; code = run(sys.argv[1:]); "
        "assert 'ray' not in sys.modules, 'ray was imported'; sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *arguments, "--storage", store, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    for document in done.stdout.splitlines() if arguments[0] == "tail" else [done.stdout]:
        json.loads(document)


def seconds(command: list[str]) -> float:
    """The best of five: what it costs, whatever else the machine does."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["ls"], ["show", "good"], ["sql", "SELECT count(*) FROM tasks"]])
def test_a_read_command_starts_quickly(store: str, arguments: list[str]) -> None:
    bare = seconds([sys.executable, "-c", "import duckdb, polars"])
    assert seconds([sys.executable, "-m", "wfstore", *arguments, "--storage", store]) - bare < 0.6


def test_a_reader_that_leaves_is_no_error(store: str) -> None:
    command = f"{sys.executable} -m wfstore tail -n 100000 --storage '{store}' | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_tables_fit_the_terminal_and_lose_nothing_in_a_pipe(store: str) -> None:
    command = [sys.executable, "-m", "wfstore", "ls", "--storage", store]
    piped = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    assert "ValueError: first line" in piped

    shown = on_terminal(command, columns=70)
    assert all(len(line) <= 70 for line in shown.splitlines())
    assert "good" in shown
    assert "SUCCESSFUL" in shown


def on_terminal(command: list[str], columns: int) -> str:
    """What the command writes to a terminal of that width, without colours."""
    above, below = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=below, stderr=below, stdin=below, env=environment, cwd=ROOT)
    os.close(below)
    written = b""
    try:
        while chunk := os.read(above, 65536):
            written += chunk
    except OSError:  # Linux says EIO at the end of a terminal
        pass
    os.close(above)
    assert process.wait(timeout=30) == 0
    return re.sub(r"\x1b\[\d*m", "", written.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume", "nope"], "nope"),
        (["cancel", "nope"], "nope"),
        (["delete", "nope"], "nope"),
        (["cancel", "good"], "good is SUCCESSFUL"),
        (["cancel", LOUD_ID], "is FAILED"),
    ],
)
def test_a_refusal_needs_no_cluster(wfstore: Command, store: str, arguments: list[str], words: str) -> None:
    answer = wfstore(*arguments, "--storage", store)
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.err
    assert answer.err.count("\n") == 1


def test_resuming_what_has_succeeded_answers_from_the_store(store: str) -> None:
    code = "import sys; from wfstore.cli.app import run; code = run(sys.argv[1:]); assert 'ray' not in sys.modules"
    command = [sys.executable, "-c", code, "resume", "good", "--storage", store, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout)["status"] == "SUCCESSFUL"
