"""An undocumented public name, error or decision is a red build."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import wfstore
from wfstore import errors

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs/reference/python-api.md").read_text()
WORDS = set(re.findall(r"\w+", API))


def test_every_public_name_of_the_package() -> None:
    assert {name for name in wfstore.__all__ if name not in WORDS} == set()


def test_every_public_name_of_the_engine() -> None:
    from wfstore import workflow

    assert {name for name in workflow.__all__ if name not in WORDS} == set()
    assert {name for name in vars(workflow) if not name.startswith("_")} - set(workflow.__all__) == set()


def test_every_name_of_its_submodules_and_of_the_older_face() -> None:
    from wfstore.legacy import workflow as legacy
    from wfstore.workflow import common, event_listener, exceptions, virtual_actor_class, workflow_context

    for module in (common, event_listener, exceptions, virtual_actor_class, workflow_context, legacy):
        assert {name for name in module.__all__ if name not in WORDS} == set(), module.__name__


def test_every_option_of_a_task_and_argument_of_the_engine() -> None:
    from wfstore import workflow

    callables = [getattr(workflow, name) for name in workflow.__all__ if inspect.isfunction(getattr(workflow, name))]
    said = {"kwargs", "args", "dag", "workflow_id", "status_filter", "function"}
    for function in [*callables, workflow.options]:
        names = {name for name in inspect.signature(function).parameters if name not in said | {"unknown"}}
        assert {name for name in names if name not in WORDS} == set(), function.__name__


def test_every_error() -> None:
    bases = {"WfstoreError", "WorkflowError", "StorageError"}
    for name, member in inspect.getmembers(errors, inspect.isclass):
        if issubclass(member, errors.WfstoreError) and name not in bases:
            assert name in WORDS, name


@pytest.mark.parametrize("name", ["open", "history", "sql", "Store", "History"])
def test_the_read_side_has_docstrings(name: str) -> None:
    assert inspect.getdoc(getattr(wfstore, name))


def test_every_store_method_is_listed() -> None:
    for cls in (wfstore.Store, wfstore.History):
        public = {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}
        assert {name for name in public if name not in WORDS} == set(), cls


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} -> {target}"


def test_decisions_are_numbered_once() -> None:
    numbers = [page.name[:4] for page in (ROOT / "docs/decisions").glob("*.md")]
    assert sorted(numbers) == [f"{i:04d}" for i in range(1, len(numbers) + 1)]


def test_top_level_is_the_house() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what is tracked cannot be told")
    top = {path.split("/")[0] for path in listed.stdout.splitlines()}
    house = {"pyproject.toml", "wfstore", "queries", "tests", "benchmarks", "docs", "README.md", "LICENSE", "uv.lock"}
    assert {name for name in top if not name.startswith(".")} <= house
