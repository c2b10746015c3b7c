"""A store on disk of known content, written by the log's own writer."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import wfstore
from tests.index.worlds import FUNCTION, World, dag, fan, spec
from wfstore.log import open_writer
from wfstore.model.commands import Cancel
from wfstore.model.payload import PayloadRef
from wfstore.payloads import PayloadStore, hash_of

LARGE = b"large" * 20_000


def payload(value: object) -> PayloadRef:
    data = pickle.dumps(value)
    return PayloadRef(hash_of(data), len(data), data)


def fill(path: Path) -> World:
    """good (shop, team data), plain, continued, large, failed, caught, unkept, canceled, open: in this order."""
    world = World()
    world.submit("good", fan(2), {"name": "shop", "team": "data", "n": [1, {"a": "é"}]})
    world.end("list", output=payload(["x", "y"]))
    world.finish()
    world.submit("plain", dag(spec("a")), {"team": "web"})
    world.end("a", output=payload(41))
    world.submit("continued", dag(spec("a"), spec("b", 0)))
    world.end("a", output=None, continuation=dag(spec("x"), spec("y", 0)))
    world.end("x")
    world.end("y", output=None, continuation=dag(spec("last")))
    world.end("last", output=payload("the end"))
    world.end("b", output=payload("all"))
    world.submit("large", dag(spec("a")))
    PayloadStore(str(path)).put_file(FUNCTION)
    stored = PayloadStore(str(path)).put(pickle.dumps(LARGE))
    world.end("a", output=stored)
    world.submit("failed", dag(spec("a"), spec("b", 0)))
    world.end("a", output=payload(1))
    world.fail("b", error_message="bad \x1b[2J\nsecond line")
    world.submit("caught", dag(spec("a", catch_exceptions=True)))
    world.fail("a", error=payload((None, "caught it")))
    world.submit("unkept", dag(spec("a", checkpoint=False)))
    world.end("a", stored=False)
    world.submit("canceled", dag(spec("a")))
    world.do(Cancel("canceled"))
    world.submit("open", dag(spec("a")))
    writer = open_writer(str(path))
    writer.append(world.simulation.log)
    writer.close()
    return world


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("store") / "s"
    path.mkdir()
    fill(path)
    return str(path)


@pytest.fixture
def store(storage: str) -> wfstore.Store:
    return wfstore.open(storage)
