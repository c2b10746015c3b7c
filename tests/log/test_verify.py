"""verify looks at payload files and at whose segments they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.log.events import FULL, plain
from wfstore.log import open_writer, verify
from wfstore.model.events import TASK_DEFINED, Event
from wfstore.model.payload import payload_uri


def put(store: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    path = store / payload_uri(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    path = tmp_path / "store"
    writer = open_writer(str(path))
    names = {name: put(path, name.encode()) for name in ("output", "body", "shared", "args")}
    attributes = json.dumps({"shared": [{"hash": names["shared"], "bytes": 6}, {"hash": "00" * 32, "data": "eA=="}]})
    defined = Event(type=TASK_DEFINED, ts=1, hash=names["body"], uri=payload_uri(names["args"]), attributes=attributes)
    writer.append([FULL._replace(uri=payload_uri(names["output"]), hash=names["output"]), defined, FULL, plain(1)])
    writer.close()
    return path, names


def test_all_there(store: tuple[Path, dict[str, str]]) -> None:
    report = verify(str(store[0]))
    assert report.ok
    assert (report.payloads, report.events, report.frames, report.segments) == (4, 4, 2, 1)
    assert report.bytes == (store[0] / "log" / "seg-00000001-000001.wfl").stat().st_size


@pytest.mark.parametrize("name", ["output", "body", "shared", "args"])
def test_a_payload_that_is_missing_or_differs(store: tuple[Path, dict[str, str]], name: str) -> None:
    path, names = store
    file = path / payload_uri(names[name])
    file.write_bytes(b"other")
    for _ in range(2):
        (problem,) = verify(str(path), repair=True).problems
        assert (Path(problem.path), problem.repairable) == (file, False)
        file.unlink(missing_ok=True)


def test_a_segment_of_another_store(store: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    other = open_writer(str(tmp_path / "other"))
    other.append([plain(1)])
    other.close()
    (store[0] / "store.json").write_bytes((tmp_path / "other" / "store.json").read_bytes())
    assert any("another store" in problem.message for problem in verify(str(store[0])).problems)
