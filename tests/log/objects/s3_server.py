"""An S3 server (moto) in a process of its own, so that it does not wait for the tests' own threads."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import boto3

KEY, SECRET = "AKIAWFSTORETEST", "a-secret-that-nobody-may-see"

_PROGRAM = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Endpoint of a server with the bucket "bucket"; it ends with the block, or with this process."""
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        endpoint = process.stdout.readline().strip()
        assert endpoint, "moto did not start"
        make_bucket(endpoint)
        try:
            yield endpoint
        finally:
            process.stdin.close()
            process.terminate()


def make_bucket(endpoint: str, key: str = KEY, secret: str = SECRET) -> None:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )
    client.create_bucket(Bucket="bucket")
