"""`wfstore cost`: what prices it takes, and what it says of those it cannot take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.stories import shop, store_of
from wfstore.cli.app import run


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_of(shop(), tmp_path_factory.mktemp("cost") / "store").storage


def test_a_file_of_prices_and_prices_are_the_same(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "prices.toml"
    listed.write_text("cpu = 0.5\n")
    answers = []
    for given in (("--price", "cpu=0.5"), ("--price", str(listed)), ("--prices", str(listed))):
        assert run(["cost", *given, "--storage", storage]) == 0
        answers.append(capsys.readouterr())
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].err == "" and "in all" in answers[0].out


@pytest.mark.parametrize("option", ["--price", "--prices"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"no prices", "neither JSON nor TOML"),
        (b"\xff\x00\xfe", "neither JSON nor TOML"),
        (b"", "neither JSON nor TOML"),
        (b"[1]", "has to be an object of prices by resource, not list"),
        (b"{}", "has no prices"),
        (b'{"cpu": "0.04 EUR"}', "cpu is '0.04 EUR'; a price per hour has to be a number"),
    ],
)
def test_a_file_that_is_no_price_list_is_named(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, content: bytes | None, words: str
) -> None:
    listed = tmp_path / "prices.json"
    if content is not None:
        listed.write_bytes(content)
    assert run(["cost", option, str(listed), "--storage", storage]) == 1
    said = capsys.readouterr().err
    assert str(listed) in said and words in said and said.count("\n") == 1


@pytest.mark.parametrize(("price", "words"), [("cpu", "'cpu' is not RESOURCE=PRICE"), ("cpu=1/day", "'1/day' is not")])
def test_prices_that_are_none(storage: str, capsys: pytest.CaptureFixture[str], price: str, words: str) -> None:
    assert run(["cost", "--price", price, "--storage", storage]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_a_price_of_something_that_nothing_asked_for(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "--price", "gpu=2,gallons=3", "--json", "--storage", storage]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("Nothing asked for gallons: the names are cpu, gpu, memory")
    assert said.out.startswith("[")
