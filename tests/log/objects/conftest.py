"""Stores in memory, each test its own, and a real S3 protocol server in this process for what needs HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import quote

import boto3
import pytest
from moto.server import ThreadedMotoServer

from wfstore.log import resolve_storage

KEY, SECRET = "AKIAWFSTORETEST", "a-secret-that-nobody-may-see"


@pytest.fixture
def memory() -> str:
    """An empty storage in this process's memory."""
    return resolve_storage(f"memory://{uuid.uuid4().hex}/some/prefix")


@pytest.fixture(scope="package")
def moto() -> Iterator[str]:
    """Endpoint of an S3 server with the bucket "bucket"."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="bucket")
    yield endpoint
    server.stop()


@pytest.fixture
def s3(moto: str) -> str:
    """An empty storage on the S3 server."""
    return s3_uri(moto)


def s3_uri(endpoint: str, bucket: str = "bucket") -> str:
    """A URI as pyarrow.fs.FileSystem.from_uri takes it, resolved."""
    query = f"endpoint_override={quote(endpoint, safe='')}&region=us-east-1&access_key={KEY}&secret_key={SECRET}"
    return resolve_storage(f"s3://{bucket}/test/{uuid.uuid4().hex}?{query}")
