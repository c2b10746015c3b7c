"""`wfstore report --html`: the page into a file, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, wfstore
from tests.reports.pages import Page
from tests.reports.stories import shop, store_of

pytest.importorskip("vl_convert", reason="the extra `report` is not installed")
pytest.importorskip("jinja2", reason="the extra `report` is not installed")

__all__ = ["wfstore"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_of(shop(), tmp_path_factory.mktemp("command") / "shop").storage


def test_a_page_is_written(wfstore: Command, storage: str, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    answer = wfstore("report", "--html", str(target), "--storage", storage)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert "mill" in " ".join(Page(target.read_text("utf-8")).words)
    assert wfstore("report", "--html", str(target), "--storage", storage, "--since", "7d").code == 0
    assert "mill" not in " ".join(Page(target.read_text("utf-8")).words).replace(storage, "")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_parameters_of_the_page(wfstore: Command, storage: str, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    given = ("--param", "workflow=shop", "--param", "until=2023-11-15")
    assert wfstore("report", "--html", str(target), "--storage", storage, *given).code == 0
    assert "Workflows named shop." in target.read_text("utf-8")


def test_since_is_a_parameter_of_a_report_too(wfstore: Command, storage: str) -> None:
    whole = wfstore("report", "failures", "--storage", storage, "--json").out
    assert whole == wfstore("report", "failures", "--storage", storage, "--json", "--since", "2023-01-01").out
    assert wfstore("report", "failures", "--storage", storage, "--json", "--since", "1d").out == "[]\n"


@pytest.mark.parametrize(
    "more", [["failures"], ["--json"], ["--format", "csv"], ["-o", "x"], ["--param", "bucket=1d"], ["--param", "x"]]
)
def test_wrong_usage_writes_nothing(wfstore: Command, storage: str, tmp_path: Path, more: list[str]) -> None:
    target = tmp_path / "page.html"
    assert wfstore("report", "--html", str(target), "--storage", storage, *more).code == 2
    assert not target.exists()


def test_a_refusal_leaves_the_old_page(
    wfstore: Command, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    assert wfstore("report", "--html", str(target), "--storage", storage, "--since", "soon").code == 1
    assert wfstore("report", "--html", str(target), "--storage", str(tmp_path / "none")).code == 1
    assert "page.html" in wfstore("report", "--html", str(tmp_path / "no" / "page.html"), "--storage", storage).err
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    answer = wfstore("report", "--html", str(target), "--storage", storage)
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "pip install 'wfstore[report]'" in answer.err
    assert target.read_text() == "old"
