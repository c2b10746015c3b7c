"""Which code a task ran, and which commit it was submitted from: no Ray needed."""

from __future__ import annotations

import subprocess
import types
from pathlib import Path

import pytest

from wfstore.engine.dag.functions import code_hash
from wfstore.engine.provenance import WorkingTree, versions, working_tree

PLAIN = "def f(x):\n    return x + 1\n"


def defined(source: str, tmp_path: Path, name: str = "f") -> types.FunctionType:
    """The function of a module with this source, which is a file, as it is of a user's."""
    number = len(list(tmp_path.iterdir()))
    path = tmp_path / f"module_{number}.py"
    path.write_text(source)
    scope: dict[str, object] = {"__name__": path.stem}
    exec(compile(source, str(path), "exec"), scope)
    found = scope[name]
    assert isinstance(found, types.FunctionType)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "# said\ndef f(x):\n    # more\n    return (x +\n            1)\n",
        'def f(x):\n    "What it does."\n    return x + 1\n',
        "import functools\n\n\n@functools.wraps\ndef f(x):\n    return x + 1\n".replace(
            "@functools.wraps", "@(lambda g: g)"
        ),
    ],
)
def test_comments_layout_docstrings_and_decorators_do_not_count(source: str, tmp_path: Path) -> None:
    assert code_hash(defined(source, tmp_path)) == code_hash(defined(PLAIN, tmp_path))


@pytest.mark.parametrize(
    "source",
    ["def f(x):\n    return x + 2\n", "def f(x, y=1):\n    return x + 1\n", "def f(x):\n    return lambda: x + 1\n"],
)
def test_what_it_does_counts(source: str, tmp_path: Path) -> None:
    assert code_hash(defined(source, tmp_path)) != code_hash(defined(PLAIN, tmp_path))


def test_without_source_its_byte_code_counts() -> None:
    def made(source: str) -> str | None:
        scope: dict[str, types.FunctionType] = {}
        exec(source, scope)
        return code_hash(scope["f"])

    assert made(PLAIN) == made("\n\n" + PLAIN)
    assert made(PLAIN) not in (None, made("def f(x):\n    return x + 2\n"))
    assert code_hash(lambda x: x) != code_hash(lambda x: -x)


def test_what_is_no_function_of_ours_has_none() -> None:
    assert code_hash(len) is None


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_and_whether_all_is_in_it(tmp_path: Path) -> None:
    assert working_tree(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert working_tree(tmp_path) is None, "nothing was committed yet"
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "new").mkdir()
    assert WorkingTree(tmp_path / "new").now() == {"commit": commit, "dirty": False}
    (tmp_path / "a.py").write_text("2\n")
    assert working_tree(tmp_path) == {"commit": commit, "dirty": True}


def test_without_git_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert WorkingTree(tmp_path).now() is None


def test_versions_are_of_what_runs() -> None:
    assert set(versions()) == {"python", "ray", "wfstore"}
