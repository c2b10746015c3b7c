"""Type hints survive ``.bind()``: mypy knows what a workflow returns, and what a task may be called with."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

PROGRAM = """
from wfstore import workflow

@workflow.task
def double(value: int) -> int:
    return 2 * value

@workflow.task(max_retries=1)
def text(value: int) -> str:
    return str(value)

reveal_type(double(1))
reveal_type(workflow.run(double.bind(1)))
reveal_type(workflow.run(double.options(name="d").bind(double.bind(1))))
reveal_type(workflow.run(workflow.sleep(1.0)))
"""


def test_mypy_sees_through_bind(tmp_path: Path, cache: pytest.Cache) -> None:
    """What mypy knows of other packages it keeps from one run of the tests to the next."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    told, complaints, _ = api.run(["--cache-dir", str(cache.mkdir("mypy")), "--follow-imports=silent", str(program)])
    assert complaints == ""
    revealed = [line.partition("Revealed type is ")[2] for line in told.splitlines() if "Revealed type" in line]
    assert [text.strip('"').removeprefix("builtins.") for text in revealed] == ["int", "int", "int", "None"]
