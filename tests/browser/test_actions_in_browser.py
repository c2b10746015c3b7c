"""What a page asks of a manager, and what it shows of that. The manager is one of the model's own; no Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import stores
from tests.browser.conftest import TOKEN
from wfstore._observe import WorkflowObservability
from wfstore.errors import WorkflowStillActiveError
from wfstore.model.commands import Cancel, Delete, Resume, Submit

pytestmark = pytest.mark.browser


class Managed(WorkflowObservability):
    """Its actions are commands to the model, whose events go into the log."""

    def __init__(self, growing: stores.Growing) -> None:
        super().__init__(growing.path, live=False)
        self.growing = growing
        self.asked: list[tuple[str, str, str]] = []

    @property
    def live(self) -> bool:
        return True

    def cancel(self, workflow_id: str, *, by: str | None = None, request_id: str | None = None) -> None:
        self.growing.do(Cancel(workflow_id, request_id, by=by))

    def resume(
        self, workflow_id: str, *, code: Any = "stored", by: str | None = None, request_id: str | None = None
    ) -> None:
        self.asked.append(("resume", workflow_id, code))
        self.growing.do(Resume(workflow_id, request_id, by))

    def delete(self, workflow_id: str, *, by: str | None = None, request_id: str | None = None) -> None:
        if workflow_id == "busy":
            raise WorkflowStillActiveError("delete", workflow_id)
        self.growing.do(Delete(workflow_id, request_id))

    def bulk(self, action: Any, *, dry_run: bool = True, **filters: Any) -> list[dict[str, Any]]:
        self.asked.append(("bulk", action, "dry" if dry_run else "done"))
        found = self.workflows(status=filters["status"]).rows
        if not dry_run:
            for row in found:
                self.cancel(row["workflow_id"])
        return [
            {"workflow_id": row["workflow_id"], "status": row["status"], "done": not dry_run, "error": None}
            for row in found
        ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Growing]:
    made = stores.Growing(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def managed(store: stores.Growing, serve: Callable[..., str]) -> tuple[Managed, str]:
    observability = Managed(store)
    return observability, serve(observability)


def watch(page: Any, url: str, path: str = "/") -> Any:
    page.goto(f"{url}{path}{'&' if '?' in path else '?'}token={TOKEN}")
    page.wait_for_selector("#live[data-state=on]")
    return page


def test_cancel_resume_and_delete(
    open_page: Callable[..., Any], store: stores.Growing, managed: tuple[Managed, str]
) -> None:
    observability, url = managed
    store.do(Submit("w", stores.dag(stores.spec("only", max_retries=0))))
    store.fail("w", "only")
    page = watch(open_page(), url, "/workflows/w")
    page.get_by_role("button", name="Resume").click()
    page.get_by_label("with the code as it is now").check()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    page.wait_for_selector("#head[data-status=RUNNING]")
    assert observability.asked == [("resume", "w", "current")]
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    page.wait_for_selector("#head[data-status=CANCELED]")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(f"{url}/")
    page.wait_for_selector("text=No workflow has been submitted yet")


def test_a_refusal_is_said(open_page: Callable[..., Any], store: stores.Growing, managed: tuple[Managed, str]) -> None:
    store.do(Submit("busy", stores.dag(stores.spec("only"))))
    store.finish("busy")
    page = watch(open_page(expected="409"), managed[1], "/workflows/busy")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector("[data-said][data-kind=bad] >> text=still running")


def test_many_at_once_after_a_look(
    open_page: Callable[..., Any], store: stores.Growing, managed: tuple[Managed, str]
) -> None:
    observability, url = managed
    for name in ("a", "b", "done"):
        store.do(Submit(name, stores.dag(stores.spec("only"))))
    store.finish("done")
    page = watch(open_page(), url, "/?status=RUNNING")
    page.get_by_role("button", name="Act on these").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("button", name="Do it").is_disabled()
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_text("2 of 2 would be changed.").wait_for()
    assert "done (" not in dialog.inner_text()
    dialog.get_by_role("button", name="Do it").click()
    dialog.get_by_text("2 of 2 done.").wait_for()
    assert [asked[2] for asked in observability.asked] == ["dry", "done"]
    dialog.get_by_role("button", name="Close").click()
    page.wait_for_selector("[data-count=CANCELED] >> text=2")
