"""S3 servers, and worlds of the engine's tests whose stores lie on them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import ray

from tests.engine.conftest import ROOT
from tests.engine.world import World, start_ray
from tests.log.objects.proxy import Proxy
from tests.log.objects.s3_server import KEY, SECRET, running
from tests.s3.ceph import CephMissingError, ceph_running

_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "PYTHONPATH")
StoreOn = Callable[[], str]


@pytest.fixture(scope="package")
def environment() -> Iterator[None]:
    """Credentials as a user sets them, before Ray is started: workers inherit them."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(zip(_VARIABLES, (KEY, SECRET, "us-east-1", str(ROOT)), strict=True))
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="package", params=["moto", "ceph"])
def server(
    request: pytest.FixtureRequest, environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Endpoint of an S3 server with the bucket "bucket" and our credentials."""
    if request.param == "moto":
        with running() as endpoint:
            yield endpoint
        return
    try:
        with ceph_running(tmp_path_factory.mktemp("ceph"), KEY, SECRET) as endpoint:
            yield endpoint
    except CephMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def cluster(environment: None) -> Iterator[None]:
    start_ray()
    yield
    ray.shutdown()


@pytest.fixture(scope="package")
def proxy(server: str) -> Iterator[Proxy]:
    """Counts the requests of every process."""
    made = Proxy(server)
    yield made
    made.close()


@pytest.fixture
def storage(proxy: Proxy) -> str:
    """URI of a store that is not there yet."""
    return f"s3://bucket/{uuid.uuid4().hex}?endpoint={quote(proxy.url, safe='')}"


@pytest.fixture
def world(cluster: None, storage: str, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, storage=storage)
    yield made
    made.stop()
