"""The guide for those who come from ray.workflow: it names every old call, promises none that is missing, and runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wfstore.legacy.workflow
import wfstore.workflow
from tests.engine.conftest import ROOT

GUIDE = (ROOT / "docs/how-to/migrate-from-ray-workflow.md").read_text()

#: What `ray.workflow` 2.47.1 exported.
NEWER = re.findall(
    r"\w+",
    """
    init run run_async resume resume_async resume_all cancel list_all delete get_output get_output_async get_status
    get_metadata sleep wait_for_event options continuation EventListener WorkflowError WorkflowExecutionError
    WorkflowCancellationError WorkflowStatus RUNNING PENDING SUCCESSFUL FAILED RESUMABLE CANCELED NONE
""",
)

#: What `ray.workflow` 1.12.1 exported.
OLDER = re.findall(
    r"\w+",
    """
    step virtual_actor resume get_output get_actor WorkflowExecutionError resume_all cancel get_status get_metadata
    list_all init wait_for_event sleep EventListener delete wait create continuation
""",
)

GONE = {"create"}


def test_every_old_name_is_in_the_guide() -> None:
    words = set(re.findall(r"\w+", GUIDE))
    assert {name for name in (*NEWER, *OLDER) if name not in words} == set()


def test_every_old_name_is_here() -> None:
    assert {name for name in (*NEWER, *OLDER) if not hasattr(wfstore.workflow, name)} <= GONE
    assert {name for name in OLDER if not hasattr(wfstore.legacy.workflow, name)} <= GONE


@pytest.mark.ray
def test_both_generations_in_one_program(tmp_path: Path) -> None:
    """The guide's program, as a script of its own."""
    section = GUIDE.partition("## Both generations in one program")[2]
    program = section.partition("```python\n")[2].partition("```")[0]
    script = tmp_path / "both.py"
    script.write_text(program.replace("/data/workflows", str(tmp_path / "store")))
    env = {name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, listed, outputs = done.stdout.strip().splitlines()
    assert "('new', <WorkflowStatus.SUCCESSFUL" in listed and "('old', <WorkflowStatus.SUCCESSFUL" in listed
    assert outputs == "2 4"
