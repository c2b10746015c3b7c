"""The tour of a history prints what it says it prints; so do the pages about cost and the unusual, on its store.

A block of Python or of commands that is followed by one of text prints exactly that.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.test_docs_tutorial import ROOT
from wfstore.cli.app import run

BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$(?:\n+^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
GUIDE, PAGES = "analyse.md", ("what-it-cost.md", "find-what-a-workflow-waits-for.md", "spot-the-unusual.md")


def blocks(page: str) -> list[tuple[str, str, str | None]]:
    """(language, text, what it prints) of every block of a how-to."""
    text = (ROOT / "docs/how-to" / page).read_text()
    return [(kind, code, said or None) for kind, code, said in BLOCK.findall(text)]


def printed(kind: str, code: str, session: dict[str, object], capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    if kind == "python":
        exec(compile(code, GUIDE, "exec"), session)
    else:
        for line in code.replace("\\\n", " ").splitlines():
            if not line or line.startswith("#"):
                continue
            name, *arguments = shlex.split(line, comments=True)
            assert (name, run(arguments)) == ("wfstore", 0), line
    return "\n".join(line.rstrip() for line in capfd.readouterr().out.splitlines()) + "\n"


def check(page: str, capfd: pytest.CaptureFixture[str]) -> int:
    """Run a page; how many of its outputs were compared."""
    session: dict[str, object] = {}
    compared = 0
    for kind, code, said in blocks(page):
        found = printed(kind, code, session, capfd)
        if said is not None:
            assert found == said, code
            compared += 1
    return compared


def test_the_tour_and_the_pages_print_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WFSTORE_STORAGE", str(tmp_path / "store"))
    assert check(GUIDE, capfd) >= 12
    for page in PAGES:
        assert check(page, capfd) >= 2, page
