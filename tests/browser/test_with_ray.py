"""A real browser on the dashboard of a real manager: what runs is seen, and the page acts on it, whoever dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import TOKEN
from tests.browser.work import grows, joins, needs, waits
from tests.engine.world import World, ids, local_ray
from wfstore import workflow
from wfstore.engine import dashboard
from wfstore.model import events as ev

pytestmark = [pytest.mark.browser, pytest.mark.ray]

#: Within so long a page has recovered from the death of whoever it hears of, in milliseconds.
_RECOVERED_MS = 10_000
OpenPage = Callable[..., Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One manager that runs one workflow at a time, and its dashboard."""
    with local_ray():
        made = World(tmp_path_factory.mktemp("world"), max_running_workflows=1)
        yield made
        dashboard.stop(made.namespace)
        made.stop()


@pytest.fixture(scope="module")
def url(world: World) -> str:
    link = workflow.init(namespace=world.namespace, dashboard={"port": 0, "token": TOKEN})
    assert link is not None
    return link.partition("/?token=")[0]


@pytest.fixture
def flag(world: World) -> Iterator[Path]:
    """A file that is not there yet; afterwards nothing runs any more."""
    yield world.file(ids("flag"))
    world.calm()


def watch(page: Any, url: str, path: str = "/") -> Any:
    page.goto(f"{url}{path}{'&' if '?' in path else '?'}token={TOKEN}")
    page.wait_for_selector("#live[data-state=on]")
    page.evaluate("window.loadedOnce = true")
    return page


def same_page(page: Any) -> bool:
    return bool(page.evaluate("window.loadedOnce === true"))


def drawn_share(page: Any, node: str) -> float:
    """Of the bar of its progress, as it is seen; both widths of one moment, as the DAG may be drawn anew at any."""
    page.wait_for_selector(f"{node} rect.progress", state="attached")  # its words may be there before
    width = "of => document.querySelector(`${node} rect.${of}`).getBoundingClientRect().width"
    progress, track = page.evaluate(f"node => ['progress', 'track'].map({width})", node)
    return float(progress) / float(track)


def press(page: Any, button: str, sure: str | None = None) -> None:
    """Press a button of the page, and the one of the dialog that asks."""
    page.get_by_role("button", name=button).click()
    if sure is not None:
        page.get_by_role("dialog").get_by_role("button", name=sure, exact=True).click()


def asked_by_page(world: World, type_: str, workflow_id: str) -> None:
    """That event says who asked for it, and under which request."""
    (event,) = world.events(type_, workflow_id)
    assert event.by == "dashboard"
    assert event.request_id


def test_from_pending_to_done(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    before, name = ids(), ids()
    workflow.run_async(waits.bind(f"{flag}-before"), workflow_id=before)
    workflow.run_async(joins.bind(waits.bind(str(flag))), workflow_id=name)
    page, every = open_page(), watch(open_page(), url)
    watch(page, url, f"/workflows/{name}")
    assert page.locator("#head[data-status=PENDING]").count() == 1
    assert every.locator(f"tr[data-workflow={name}][data-status=PENDING]").count() == 1
    Path(f"{flag}-before").touch()
    page.wait_for_selector("#head[data-status=RUNNING]")
    page.wait_for_selector("g.node[data-status=RUNNING] .name >> text=waits")
    every.wait_for_selector(f"tr[data-workflow={before}][data-status=SUCCESSFUL]")
    flag.touch()
    page.wait_for_selector("#head[data-status=SUCCESSFUL]")
    page.wait_for_selector("#head [data-f=tasks_done] >> text=2")
    page.wait_for_selector("#timeline g.bar.st-SUCCESSFUL")
    assert page.locator("#task-table tr[data-status=SUCCESSFUL]").count() == 2
    every.wait_for_selector(f"tr[data-workflow={name}][data-status=SUCCESSFUL]")
    assert same_page(page) and same_page(every)


def test_progress_moves_and_a_continuation_appears(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    name, task = ids(), "grows"
    workflow.run_async(
        grows.options(task_id=task).bind(str(flag), f"{flag}-then"), workflow_id=name, metadata={"name": "prices"}
    )
    page = watch(open_page(), url, f"/workflows/{name}")
    node = f"g.node[data-task={task}]"
    page.wait_for_selector(f"{node} .facts >> text=25%")
    detail = watch(open_page(), url, f"/workflows/{name}/tasks/{task}")
    detail.wait_for_selector("#head .tally >> text=looking")
    assert drawn_share(page, node) == pytest.approx(0.25, rel=0.02)
    Path(f"{flag}-half").touch()
    page.wait_for_selector(f"{node} .facts >> text=75%")
    assert drawn_share(page, node) == pytest.approx(0.75, rel=0.02)
    detail.wait_for_selector("#head .tally >> text=nearly there")
    flag.touch()
    page.wait_for_selector("g.node[data-task=other][data-status=RUNNING]", state="attached")
    page.wait_for_selector("#task-table tr[data-task=other]")
    assert page.locator("g.node").count() == 4
    assert page.locator("#head[data-status=RUNNING]").count() == 1
    Path(f"{flag}-then").touch()
    page.wait_for_selector("#head[data-status=SUCCESSFUL]")
    assert same_page(page) and same_page(detail)


def test_cancel(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    name = ids()
    workflow.run_async(waits.bind(str(flag)), workflow_id=name)
    page = watch(open_page(), url, f"/workflows/{name}")
    page.wait_for_selector("#head[data-status=RUNNING]")
    press(page, "Cancel", "Cancel it")
    page.wait_for_selector("#head[data-status=CANCELED]")
    page.wait_for_selector("#head .status >> text=CANCELED")
    assert str(workflow.get_status(name)) == "CANCELED"
    asked_by_page(world, ev.WORKFLOW_CANCEL_REQUESTED, name)
    assert same_page(page)


def test_a_failure_is_resumed_run_again_and_deleted(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    name = ids()
    workflow.run_async(joins.bind(needs.bind(str(flag))), workflow_id=name)
    page = watch(open_page(), url, f"/workflows/{name}")
    page.wait_for_selector("#head[data-status=FAILED]")
    page.locator("#errors summary", has_text="Traceback").click()
    assert page.locator("#errors pre", has_text="in needs").is_visible()
    assert page.locator("#errors pre", has_text="the prices are not there").is_visible()
    flag.touch()
    press(page, "Resume", "Resume")
    page.wait_for_selector("#head[data-status=SUCCESSFUL]")
    page.wait_for_selector("#head [data-f=runs] >> text=2")
    assert same_page(page)
    press(page, "Run again")
    page.wait_for_function("name => location.pathname !== `/workflows/${name}`", arg=name)
    page.wait_for_selector("#head[data-status=SUCCESSFUL]")
    assert page.locator("#head .sub a", has_text=name).is_visible()
    again = page.locator("#head h1").inner_text()
    press(page, "Delete", "Delete")
    page.wait_for_url(f"{url}/")
    page.wait_for_selector(f"tr[data-workflow={name}]")
    assert page.locator(f"tr[data-workflow='{again}']").count() == 0
    for type_, of in ((ev.WORKFLOW_SUBMITTED, again), (ev.WORKFLOW_DELETED, again)):
        asked_by_page(world, type_, of)


def test_many_are_canceled_by_a_filter(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    team = ids("team")
    names = [ids() for _ in range(3)]
    for name in names:
        workflow.run_async(waits.bind(str(flag)), workflow_id=name, metadata={"team": team})
    page = watch(open_page(), url, f"/?metadata=team%3D{team}")
    press(page, "Act on these")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_text("3 of 3 would be changed.").wait_for()
    assert "CANCELED" not in {str(workflow.get_status(name)) for name in names}
    dialog.get_by_role("button", name="Do it").click()
    dialog.get_by_text("3 of 3 done.").wait_for()
    dialog.get_by_role("button", name="Close").click()
    for name in names:
        page.wait_for_selector(f"tr[data-workflow={name}][data-status=CANCELED]")
        asked_by_page(world, ev.WORKFLOW_CANCEL_REQUESTED, name)


def _kill(pid: int) -> float:
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def _recovers(page: Any, every: Any, name: str, other: str, began: float) -> None:
    """Both pages show the end of what ran at that time, and what came later, with nothing left to complain about."""
    page.wait_for_selector("#head[data-status=SUCCESSFUL]", timeout=_RECOVERED_MS)
    every.wait_for_selector(f"tr[data-workflow={name}][data-status=SUCCESSFUL]", timeout=_RECOVERED_MS)
    every.wait_for_selector(f"tr[data-workflow={other}][data-status=SUCCESSFUL]", timeout=_RECOVERED_MS)
    for one in (page, every):
        one.wait_for_selector("#live[data-state=on]", timeout=_RECOVERED_MS)
        one.wait_for_selector("#banner", state="hidden", timeout=_RECOVERED_MS)
        assert same_page(one)
    took = time.monotonic() - began
    assert took < _RECOVERED_MS / 1000, f"{took:.1f} s"
    page.wait_for_selector("#head [data-f=tasks_done] >> text=2")
    assert page.locator("g.node.st-SUCCESSFUL").count() == 2


@pytest.mark.fault
def test_the_manager_is_killed(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    name, other = ids(), ids()
    workflow.run_async(joins.bind(waits.bind(str(flag))), workflow_id=name)
    page = watch(open_page(expected="409"), url, f"/workflows/{name}")
    every = watch(open_page(), url)
    page.wait_for_selector("#head[data-status=RUNNING]")
    began = _kill(world.describe()["pid"])
    flag.touch()
    workflow.run_async(joins.bind(), workflow_id=other)
    _recovers(page, every, name, other, began)
    page.wait_for_selector("#head button >> text=Run again")


@pytest.mark.fault
def test_the_dashboard_is_killed(world: World, url: str, open_page: OpenPage, flag: Path) -> None:
    name, other = ids(), ids()
    workflow.run_async(joins.bind(waits.bind(str(flag))), workflow_id=name)
    page = watch(open_page(expected="net::ERR_"), url, f"/workflows/{name}")
    every = watch(open_page(expected="net::ERR_"), url)
    page.wait_for_selector("#head[data-status=RUNNING]")
    found = dashboard.find(world.namespace)
    assert found is not None
    began = _kill(found["pid"])
    flag.touch()
    assert workflow.run(joins.bind(), workflow_id=other) == 0
    _recovers(page, every, name, other, began)


def test_without_a_manager_actions_are_refused(
    world: World, serve: Callable[[str], str], open_page: OpenPage, flag: Path
) -> None:
    name = ids()
    assert workflow.run(joins.bind(), workflow_id=name) == 0
    page = watch(open_page(expected="409"), serve(world.storage), f"/workflows/{name}")
    assert page.get_by_role("button", name="Delete").is_disabled()
    assert "live state was not wanted here" in page.locator("#why").inner_text()
    script = "path => fetch(path, {method: 'POST', headers: {'X-Wfstore-Action': '1'}, body: '{}'})"
    answer = page.evaluate(
        f"{script}.then(async (answer) => [answer.status, await answer.json()])", f"/api/workflows/{name}/delete"
    )
    assert answer[0] == 409
    assert "wfstore dashboard --ray" in answer[1]["error"]["message"]
    assert str(workflow.get_status(name)) == "SUCCESSFUL"
