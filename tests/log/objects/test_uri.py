"""What may be called an object storage, the one form it takes, and that its secrets are not shown."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from wfstore.errors import DamageError, StorageError
from wfstore.log import check_storage, open_reader, resolve_storage
from wfstore.objects import bucket_of
from wfstore.objects.uri import hidden_of, place_of

SECRETS = {"access_key_id": "AKIDAKID", "secret_access_key": "psst/+psst"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("S3://bucket//a/b/", "s3://bucket/a/b"),
        ("s3a://bucket/a", "s3://bucket/a"),
        ("gcs://bucket/a", "gs://bucket/a"),
        ("az://container/a", "az://container/a"),
        ("abfss://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("memory://name/a", "memory://name/a"),
        ("s3://b/a?region=eu-west-1&endpoint_override=h:9000&scheme=http", None),
        ("s3://b/a?aws_region=eu-west-1&endpoint=http://h:9000", None),
        ("s3://b/a?region=eu-west-1&endpoint_url=http%3A%2F%2Fh%3A9000&allow_bucket_creation=true", None),
    ],
)
def test_the_canonical_form(given: str, shown: str | None) -> None:
    resolved = resolve_storage(given)
    assert resolved == (shown or "s3://b/a?endpoint=http%3A%2F%2Fh%3A9000&region=eu-west-1")
    assert resolve_storage(resolved) == resolved


@pytest.mark.parametrize(
    "given",
    [
        "s3://b/a?access_key=AKIDAKID&secret_key=psst%2F%2Bpsst&region=r",
        "s3://AKIDAKID:psst%2F%2Bpsst@b/a?region=r",
        "s3://b/a?region=r&aws_access_key_id=AKIDAKID&secret_access_key=psst%2F%2Bpsst",
    ],
)
def test_secrets_are_kept_beside_the_uri(given: str) -> None:
    resolved = resolve_storage(given)
    assert str(resolved) == f"{resolved}" == "s3://b/a?region=r"
    assert hidden_of(resolved) == SECRETS
    assert place_of(resolved).options == {"region": "r", **SECRETS}
    for text in (repr(resolved), repr(bucket_of(resolved)), str(place_of(resolved).prefix)):
        assert "psst" not in text and "AKID" not in text


def test_options_that_nobody_knows_are_taken_for_secrets() -> None:
    resolved = resolve_storage("s3://b/a?invented=hush")
    assert "hush" not in resolved
    with pytest.raises(StorageError, match="invented") as caught:
        bucket_of(resolved)
    assert "hush" not in str(caught.value)


def test_a_pickle_carries_the_secrets_to_another_process() -> None:
    resolved = resolve_storage("s3://b/elsewhere?access_key=AKIDAKID&secret_key=psst%2F%2Bpsst")
    program = (
        "import pickle, sys; from wfstore.objects.uri import hidden_of\n"
        "uri = pickle.load(sys.stdin.buffer); print(uri, hidden_of(uri))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(resolved), capture_output=True, check=True, cwd=root
    )
    assert done.stdout.decode().strip() == f"s3://b/elsewhere {SECRETS}"


@pytest.mark.parametrize("error", [StorageError, DamageError])
def test_a_pickled_error_carries_no_secret(error: type[StorageError]) -> None:
    """A task's error goes into the log as a pickle."""
    resolved = resolve_storage("s3://b/a?access_key=AKIDAKID&secret_key=psst%2F%2Bpsst")
    made = error(resolved, "log/x", 0, "bad") if error is DamageError else error(resolved, "bad")  # type: ignore[call-arg]
    data = pickle.dumps(made)
    assert b"psst" not in data and b"AKID" not in data
    assert pickle.loads(data).storage == resolved


@pytest.mark.parametrize("given", ["s3://", "s3:///a", "s3://b/a#c", "s3://b/../c", "hdfs://x/y"])
def test_what_is_no_storage(given: str) -> None:
    with pytest.raises(StorageError):
        resolve_storage(given)


def test_without_obstore_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    storage = resolve_storage("s3://nowhere/x")
    for use in (open_reader, check_storage):
        with pytest.raises(StorageError, match=r"pip install 'wfstore\[s3\]'"):
            use(storage)


def test_the_environment_says_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment")
    monkeypatch.setattr("wfstore.objects.connect._RETRIES", 0)
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1/from-environment"):
        open_reader(resolve_storage("s3://from-environment/x"))
