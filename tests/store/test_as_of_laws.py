"""A store as of a seq is a store that holds only that prefix of the log, whatever was compacted or deleted since."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wfstore
from tests.compaction.stores import COLUMNS, Pair, difference, go_on, real_payloads, small_plan
from tests.index.worlds import lease
from tests.model import histories
from wfstore._asof import StoreAsOf
from wfstore.errors import WorkflowNotFoundError
from wfstore.index import FRAMES, Index, shared
from wfstore.log import MemoryLog
from wfstore.model.events import WORKFLOW_DELETED, Event

SEEDS = st.integers(0, 2**32)
_ID = {name: "actor_id" if name in ("actor_calls", "virtual_actors") else "workflow_id" for name in COLUMNS}
#: Of names of tasks, not of ids.
_OVERALL = "task_stats"
#: Before any clock's beginning: of a mark that is never old, however long a busy machine takes to look at it.
_NEVER_OLD_US = -(1 << 62)


def prefix(events: list[Event], seq: int) -> Index:
    """A store that holds nothing but the events up to `seq`, and whose manager is alive."""
    log = MemoryLog()
    log.set_lease(lease(age_us=_NEVER_OLD_US))
    log.append(events[:seq])
    return Index(log)


def deleted_after(events: list[Event], seq: int) -> set[str]:
    return {str(event.workflow_id) for event in events[seq:] if event.type == WORKFLOW_DELETED}


def check(store: wfstore.Store, events: list[Event], seq: int) -> int:
    """Returns how many workflows of then are not kept."""
    found, wanted = store.as_of(seq), prefix(events, seq)
    found._index._checked(" ".join(COLUMNS))  # once for all, which is a quarter of the time
    existed = {row[0] for row in wanted.sql("SELECT workflow_id FROM workflows").fetchall()}
    there = {row[0] for row in found.sql("SELECT workflow_id FROM workflows").fetchall()}
    lost = existed - there
    assert lost <= deleted_after(events, seq)
    assert len(lost) <= found.gone <= len(deleted_after(events, seq))
    for name, columns in COLUMNS.items():
        if name == "events" or (name == _OVERALL and lost):
            continue
        rest = f"WHERE {_ID[name]} NOT IN (SELECT unnest($lost))" if name != _OVERALL else ""
        params = {"lost": sorted(lost)} if rest else {}
        shown = found.sql(f"SELECT {columns} FROM {name} ORDER BY ALL").to_arrow_table()
        expected = wanted.sql(f"SELECT {columns} FROM {name} {rest} ORDER BY ALL", params).to_arrow_table()
        assert shown.equals(expected), (seq, difference(name, shown, expected))
    kept = {row[0] for row in store.sql("SELECT seq FROM events WHERE seq <= $seq", {"seq": seq}).fetchall()}
    assert {row[0] for row in found.sql("SELECT seq FROM events").fetchall()} == kept
    for workflow_id in existed:
        check_history(found, wanted, workflow_id, lost)
    return len(lost)


def check_history(found: StoreAsOf, wanted: Index, workflow_id: str, lost: set[str]) -> None:
    if workflow_id in lost:
        with pytest.raises(WorkflowNotFoundError, match="no longer kept"):
            found.history(workflow_id)
        return
    expected = shared().frames(wanted.scan(workflow_id))
    history = found.history(workflow_id)
    for name in FRAMES:
        assert history._frames[name].equals(expected[name]), (found.seq, workflow_id, name)


def play(root: Path, seed: int, steps: int, seqs: int) -> None:
    """A random history with deletions, compacted at random moments; after each, the past at random seqs."""
    rng = random.Random(seed)
    with small_plan(rng), real_payloads(root / "store"):
        simulation = histories.random_history(seed, 0)
        pair = Pair(root, rng.choice([1, 800, 4000]))
        store = wfstore.open(pair.path)
        pinned: list[tuple[StoreAsOf, dict[str, str]]] = []
        written = 0
        for _ in range(steps):
            written = go_on(simulation, pair, rng, written)
            for _ in range(rng.randint(0, 2)):
                pair.compact(purge=rng.random() < 0.4)
            for _ in range(seqs):
                check(store, pair.events, rng.randint(1, len(pair.events)))
            pinned.append((store.as_of(len(pair.events)), {}))
            pinned[-1][1].update(statuses(pinned[-1][0]))
            for then, said in pinned:
                kept = {key: value for key, value in said.items() if key not in deleted_after(pair.events, then.seq)}
                assert {key: value for key, value in statuses(then).items() if key in kept} == kept
        pair.close()


def statuses(store: wfstore.Store) -> dict[str, str]:
    return dict(store.sql("SELECT workflow_id, status FROM workflows").fetchall())


def test_the_past_is_a_store_of_the_prefix_alone(tmp_path: Path) -> None:
    # Another one in each run; what fails shows what was printed.
    seed = random.SystemRandom().randrange(2**32)
    print(f"play(root, {seed}, steps=2, seqs=1)")
    play(tmp_path, seed, steps=2, seqs=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_the_past_is_a_store_of_the_prefix_alone_in_many_more_histories(seed: int) -> None:
    with TemporaryDirectory() as root:
        play(Path(root), seed, steps=8, seqs=5)
