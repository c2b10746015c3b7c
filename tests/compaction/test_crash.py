"""A compaction killed at every named point changes no answer, and the next one goes on."""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import wfstore
from tests.compaction.processes import killed
from tests.compaction.stores import Pair, check_purged, check_same, real_payloads, small_plan, sound, stir, views
from tests.model.histories import random_history
from wfstore.errors import StorageFullError
from wfstore.log import failpoints
from wfstore.log.manifest import history_blobs, newest_number

PLAN = 4
#: Nothing is named yet, files without a manifest, all is named, and the two things that go away.
SOME = (
    failpoints.WORK_MADE,
    failpoints.FILE_PUBLISHED,
    failpoints.MANIFEST_PUBLISHED,
    failpoints.FILE_REMOVED,
    failpoints.SEGMENT_REMOVED,
)


def make(root: Path, seed: int = 0, steps: int = 70) -> Pair:
    """A store with some history files, with sealed segments that are in none, and with deletions in both."""
    root.mkdir(exist_ok=True)
    with small_plan(random.Random(PLAN)), real_payloads(root / "store"):
        simulation = random_history(seed, 0)
        stir(simulation, steps)
        pair = Pair(root, 600)
        half = len(simulation.log) // 2
        for start in range(0, half, 7):
            pair.append(simulation.log[start : min(start + 7, half)])
            if start % 3 == 0:
                pair.compact(purge=False)
        for start in range(half, len(simulation.log), 7):
            pair.append(simulation.log[start : start + 7])
        pair.reopen()
    pair.close()
    pair.expected = views(wfstore.open(pair.plain))
    return pair


def check(pair: Pair, store: wfstore.Store | None = None) -> wfstore.Store:
    """What is read is as it was, by `store` if it was opened before; and the store is sound."""
    store = store or wfstore.open(pair.path)
    check_same(pair, None, store)
    assert sound(pair) == []
    return store


def goes_on(pair: Pair, point: str, count: int) -> bool:
    """Whether there was something to be killed; then all is as it was, and the next compaction does the rest."""
    came_by = killed(str(pair.path), point, count, PLAN)
    store = check(pair)
    with small_plan(random.Random(PLAN)):
        pair.compact()
        assert pair.compact().events == 0
    check(pair, store)
    check_purged(pair, orphans=came_by)
    return came_by


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("stock") / "pair")


def copy(stock: Pair, root: Path) -> Pair:
    shutil.copytree(stock.path, root / "store")
    return stock.at(root / "store")


@pytest.mark.parametrize("point", SOME)
def test_a_kill_at_a_named_point(stock: Pair, tmp_path: Path, point: str) -> None:
    assert goes_on(copy(stock, tmp_path), point, 1)


def test_a_disk_that_fails_is_told_as_such(stock: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pair = copy(stock, tmp_path)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(StorageFullError, match="compacting failed: No space left"):
        pair.compact()
    check(pair)


@pytest.mark.fault
@pytest.mark.parametrize("point", failpoints.COMPACTION)
def test_a_kill_at_every_pass_of_a_named_point(stock: Pair, tmp_path: Path, point: str) -> None:
    for count in range(1, 200):
        root = tmp_path / str(count)
        root.mkdir()
        if not goes_on(copy(stock, root), point, count):
            break
    assert count > 1


@pytest.mark.fault
def test_many_kills_one_after_the_other(tmp_path: Path) -> None:
    for seed in range(6):
        pair, chance = make(tmp_path / str(seed), seed, 200), random.Random(seed)
        for _ in range(12):
            killed(str(pair.path), chance.choice(failpoints.COMPACTION), chance.randint(1, 4), chance.randint(0, 99))
            check(pair)
        pair.compact()
        check(pair)


def test_the_stock_has_what_a_compaction_can_do(stock: Pair, tmp_path: Path) -> None:
    pair = copy(stock, tmp_path)
    assert newest_number(history_blobs(str(pair.path))) > 1
    with small_plan(random.Random(PLAN)):
        said = pair.compact()
    assert said.events > 0 and said.merged > 0 and said.purged > 0
    assert said.removed.log_files > 0 and said.removed.history_files > 0
