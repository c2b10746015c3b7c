"""A workflow goes on in another cluster, where nobody has the submitter's working_dir."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.drivers import end_everything, launch

pytestmark = pytest.mark.ray


def test_the_submitters_working_dir_comes_along(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "only_there.py").write_text("ADDED = 41\n")
    flag, storage = tmp_path / "flag", tmp_path / "store"

    submitting = launch("elsewhere", "submit", str(storage), str(flag), str(code))
    try:
        told, complaints = submitting.communicate(timeout=120)
    finally:
        end_everything(submitting)
    assert "failed" in told, complaints
    (code / "only_there.py").unlink()
    flag.touch()

    resuming = launch("elsewhere", "resume", str(storage))
    try:
        told, complaints = resuming.communicate(timeout=120)
    finally:
        end_everything(resuming)
    assert "result 42" in told, complaints
