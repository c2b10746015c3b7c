"""Stores in memory, each test its own, and an S3 server for what needs HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.log.objects.proxy import Proxy
from tests.log.objects.s3_server import KEY, SECRET, running
from wfstore.log import resolve_storage
from wfstore.objects import connect


@pytest.fixture
def memory() -> str:
    """An empty storage in this process's memory."""
    return resolve_storage(f"memory://{uuid.uuid4().hex}/some/prefix")


@pytest.fixture(scope="package")
def moto() -> Iterator[str]:
    """Endpoint of an S3 server with the bucket "bucket"."""
    with running() as endpoint:
        yield endpoint


@pytest.fixture
def s3(moto: str) -> str:
    """An empty storage on the S3 server."""
    return s3_uri(moto)


@pytest.fixture
def proxy(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy of the S3 server, without faults at first. What fails is soon known to."""
    monkeypatch.setattr(connect, "_RETRIES", 2)
    made = Proxy(moto)
    yield made
    made.close()


def s3_uri(endpoint: str, bucket: str = "bucket") -> str:
    """A URI as pyarrow.fs.FileSystem.from_uri takes it, resolved."""
    query = f"endpoint_override={quote(endpoint, safe='')}&region=us-east-1&access_key={KEY}&secret_key={SECRET}"
    return resolve_storage(f"s3://{bucket}/test/{uuid.uuid4().hex}?{query}")
