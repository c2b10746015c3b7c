"""Everything a user can hand in, chosen by somebody who means harm: refused with one clear error, or kept exactly.

The catalogues are whole in CI; a release adds four seeded mutations of each entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.fault.campaign import Tally, batch_campaign

_MUTATIONS = 5
_CHECKS = "checks of ids and metadata"
_WALL, _DOOR = "gate and wall of the sandbox", "security before the application"
_CLEAN = "cleaning of errors"


def _ids() -> int:
    from tests.fault._hostile_catalogue import IDS

    return len(IDS)


def _metadata() -> int:
    from tests.fault._hostile_catalogue import METADATA

    return len(METADATA)


@batch_campaign("hostile-ids", ci=_ids, release=lambda: _MUTATIONS * _ids(), batch=100, controls={_CHECKS: 40})
def ids(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Hostile workflow ids, through API, SQL, CLI, pages and names on disk."""
    from tests.fault._hostile_catalogue import id_of

    _through_all_faces(cases, folder, tally, off, lambda case: (id_of(case), {}))


@batch_campaign(
    "hostile-metadata", ci=_metadata, release=lambda: _MUTATIONS * _metadata(), batch=100, controls={_CHECKS: 40}
)
def metadata(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Hostile metadata, through API, SQL, CLI and pages."""
    from tests.fault._hostile_catalogue import metadata_of

    _through_all_faces(cases, folder, tally, off, lambda case: (f"w{case}", metadata_of(case)))


def _through_all_faces(
    cases: range, folder: Path, tally: Tally, off: str | None, given: Callable[[int], tuple[Any, Any]]
) -> None:
    from tests.fault._damage_stores import Reused
    from tests.fault._hostile_catalogue import as_json
    from tests.fault._hostile_faces import Faces, refusal, unchecked

    faces = Faces(folder)
    kept: dict[int, tuple[str, Any]] = {}
    with unchecked(off is not None):
        for case in cases:
            workflow_id, said = given(case)
            try:
                faces.submit(workflow_id, said)
            except (Exception, SystemExit) as error:
                _judged(case, tally, lambda error=error: refusal(error), "refused")  # type: ignore[misc]
            else:
                kept[case] = str.__str__(workflow_id), as_json(said)
    with Reused():
        faces.close(compacted=cases.start % 200 == 100)
        for case, (workflow_id, said) in kept.items():
            _judged(case, tally, lambda id=workflow_id, said=said: faces.check(id, said), "kept")  # type: ignore[misc]
        _judged(cases.start, tally, faces.check_store, "stores")


def _judged(case: int, tally: Tally, check: Callable[[], None], name: str) -> None:
    try:
        check()
    except Exception as error:
        tally.raised(case, error)
    else:
        tally.count(name)


@batch_campaign(
    "hostile-sql", ci=lambda: _statements(), release=lambda: _MUTATIONS * _statements(), batch=300, controls={_WALL: 30}
)
def sql(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Hostile SQL, to the sandbox that answers over HTTP: nothing read, written or told that should not be."""
    from tests.fault._hostile_requests import Queries

    queries = Queries(folder / "server", off)
    try:
        _each(cases, tally, queries.check)
    finally:
        queries.close()


@batch_campaign(
    "hostile-requests",
    ci=lambda: _requests(),
    release=lambda: _MUTATIONS * _requests(),
    batch=300,
    controls={_DOOR: 20},
)
def requests(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Hostile HTTP requests, to a dashboard on a real socket: refused, and the next one is answered."""
    from tests.fault._hostile_requests import Requests

    server = Requests(off)
    try:
        _each(cases, tally, server.check)
    finally:
        server.close()


def _statements() -> int:
    from tests.index.test_sandbox_hostile import STATEMENTS

    return len(STATEMENTS)


def _requests() -> int:
    from tests.dashboard.test_hostile import REQUESTS

    return len(REQUESTS)


def _each(cases: Iterable[int], tally: Tally, check: Callable[[int], str]) -> None:
    for case in cases:
        try:
            tally.count(check(case))
        except Exception as error:
            tally.raised(case, error)


@batch_campaign(
    "hostile-results", ci=lambda: _results(), release=lambda: _MUTATIONS * _results(), batch=100, controls={_CLEAN: 10}
)
def results(cases: range, folder: Path, tally: Tally, off: str | None = None) -> None:
    """Hostile return values and exceptions of tasks, through a worker's code, the log and all that shows them."""
    from tests.fault._damage_stores import Reused
    from tests.fault._hostile_results import Results, uncleaned

    found = Results(folder)
    done = []
    with Reused(), uncleaned(off is not None):
        for case in cases:
            try:
                found.do(case)
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                tally.raised(case, error)
            else:
                done.append(case)
        found.close()
        _each(done, tally, found.look)


def _results() -> int:
    from tests.fault._hostile_results import RESULTS

    return len(RESULTS)


@batch_campaign("hostile-results-on-ray", ci=lambda: _on_ray(), release=lambda: _on_ray(), batch=50, marks=("ray",))
def results_on_ray(cases: range, folder: Path, tally: Tally) -> None:
    """Hostile results on a real Ray, and tasks that end their worker: the manager outlives all of them."""
    from tests.fault._hostile_on_ray import cluster, run

    with cluster(folder) as world:
        _each(cases, tally, lambda case: run(world, case))


def _on_ray() -> int:
    from tests.fault._hostile_on_ray import CASES

    return len(CASES)
