"""A store and a way to call the command in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.cli.stores import made
from wfstore.cli.app import run


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that no test changes."""
    return made(tmp_path_factory.mktemp("cli") / "store")


@pytest.fixture
def wfstore(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `wfstore ...` in this process."""

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run(list(arguments))
        return Answer(code, *capfd.readouterr())

    return call
