"""The application over a store in memory, asked without a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.dashboard.fakes import TOKEN, FakeObservability
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings


@pytest.fixture
def observability() -> FakeObservability:
    return FakeObservability()


@pytest.fixture
def client(observability: FakeObservability) -> Iterator[TestClient]:
    """Without any credentials of its own."""
    app = create_app(observability, Settings(TOKEN, port=8266))  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8266", raise_server_exceptions=False) as made:
        yield made
