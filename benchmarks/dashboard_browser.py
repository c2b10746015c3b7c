"""A browser for the figures of `dashboard.py`: when a page shows what was committed, how long one takes to appear."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import psutil

from benchmarks.dashboard_parts import RANKS, TOKEN, Commit

# -- what was seen, and when ------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """at: when the DOM had it; painted: when that was on the screen; both seconds since 1970"""

    key: str
    rank: int
    at: float
    painted: float


def lags(made: Iterable[Commit], seen: Iterable[Seen]) -> tuple[list[float], list[float], int]:
    """(seconds from each commit until the page showed it or what came after, the same until it was painted, how many
    were never shown). What was shown before its commit was known here counts as shown at once."""
    shown: dict[str, list[Seen]] = {}
    for one in seen:
        shown.setdefault(one.key, []).append(one)
    dom, painted, never = [], [], 0
    for commit in made:
        found = next((one for one in shown.get(commit.key, ()) if one.rank >= commit.rank), None)
        if found is None:
            never += 1
        else:
            dom.append(max(0.0, found.at - commit.at))
            painted.append(max(0.0, found.painted - commit.at))
    return dom, painted, never


# -- a browser --------------------------------------------------------------------------------------------------------


_SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def browsing() -> Iterator[Any]:
    """A context of a browser. It is started here and not by playwright, so that it is of this process's session: a
    machine can be kept quiet by stopping the others. Raises RuntimeError where there is none.

    `chromium-headless-shell` is taken first: a whole Chromium draws its own surface as well, which takes a tenth of two
    processors from the server that is measured beside it."""
    executable = (
        os.environ.get("WFSTORE_CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    )
    if executable is None:
        raise RuntimeError("there is no chromium; name one with WFSTORE_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="wfstore-bench-", ignore_cleanup_errors=True) as folder:
        line = [executable, *_SWITCHES, "--remote-debugging-port=0", f"--user-data-dir={folder}"]
        started = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            address = _debugger(Path(folder, "DevToolsActivePort"))
            with sync_playwright() as playwright:
                browser = playwright.chromium.connect_over_cdp(address)
                context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
                context.set_default_timeout(60_000)
                yield context
                browser.close()
        finally:
            _end(started)


def _end(started: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(started.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
    started.terminate()
    started.wait(20)


def _debugger(file: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return f"http://127.0.0.1:{lines[0]}"
        time.sleep(0.05)
    raise RuntimeError("chromium did not start")


def workflow_path(workflow_id: str) -> str:
    return f"/workflows/{quote(workflow_id, safe='')}"


#: Notes when a node of the DAG, or a number of tasks done, comes to say something else.
_WATCH = """by => {
  const seen = window.seen = [], known = new Map();
  const note = (key, value, at, quietly) => {
    if (!key || value === undefined || known.get(key) === value) return;
    known.set(key, value);
    if (quietly) return;
    const one = [key, value, at, null];
    seen.push(one);
    requestAnimationFrame(() => setTimeout(() => { one[3] = Date.now(); }, 0));
  };
  const node = (one, at, quietly) => note(one.dataset.task, one.dataset.status, at, quietly);
  const count = (one, at, quietly) => note(
    one.closest("[data-workflow]")?.dataset.workflow, one.textContent.replaceAll(",", ""), at, quietly);
  const all = (at, quietly) => by === "task"
    ? document.querySelectorAll("#part-dag g.node[data-task]").forEach(one => node(one, at, quietly))
    : document.querySelectorAll("[data-workflow] [data-f=tasks_done]").forEach(one => count(one, at, quietly));
  const look = records => {
    const at = Date.now();
    if (by === "workflow") all(at, false);
    else for (const record of records) {
      if (record.type === "attributes") { if (record.target.matches("g.node")) node(record.target, at, false); }
      else if (record.target.id === "part-dag") all(at, false);
    }
  };
  all(0, true);
  const places = by === "task" ? ["part-dag"] : ["part-head", "part-workflows"];
  const what = by === "task" ? {attributes: true, attributeFilter: ["data-status"]} : {};
  for (const place of places.map(id => document.getElementById(id)).filter(Boolean))
    new MutationObserver(look).observe(place, {subtree: true, childList: true, ...what});
}"""


def watch(page: Any, by: str) -> None:
    """Note from now on what changes. by: as of `commits`."""
    page.wait_for_selector("#live[data-state=on]")
    page.evaluate(_WATCH, by)


def seen(page: Any) -> list[Seen]:
    """What has changed since `watch`."""
    rows = page.evaluate("window.seen.map(one => [one[0], one[1], one[2], one[3] ?? one[2]])")
    return [
        Seen(key, RANKS[said] if said in RANKS else int(said), at / 1000, painted / 1000)
        for key, said, at, painted in rows
        if said in RANKS or said.isdecimal()
    ]


# -- how long a page takes to appear ----------------------------------------------------------------------------------

_DRAWN = """(() => {
  const times = window.times = {};
  const wanted = SELECTORS, count = Object.keys(wanted).length;
  window.painted = () => Object.keys(times).length === count;
  const look = () => {
    for (const [name, selector] of Object.entries(wanted)) {
      if (!document.querySelector(selector)) continue;
      delete wanted[name];
      // What is posted while a frame is made comes after it was painted; at once, and not after what else there is
      // of the document, which comes as well.
      const painted = () => { times[name] = performance.now(); };
      requestAnimationFrame(() => scheduler.postTask(painted, {priority: "user-blocking"}));
    }
    if (!Object.keys(wanted).length) observer.disconnect();
  };
  const observer = new MutationObserver(look);
  observer.observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ["class"]});
})()"""
#: What a page goes on with is over by then, and not part of what comes next.
_REST_MS = 300
_TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const {responseStart: first_byte, responseEnd: last_byte, decodedBodySize: bytes} = page;
  return {...window.times, first_byte, last_byte, kb: bytes / 1000};
}"""


def opened(page: Any, url: str) -> dict[str, float]:
    """Open a page in that tab, from another one of that server, as who follows a link does. Milliseconds since that
    began: first_byte, last_byte of the document, and, by the name of each selector of `let_in`, when what it finds was
    painted; kb: the document's size."""
    page.goto(urljoin(url, "/reports"))
    page.goto(url)
    page.wait_for_function("window.painted()")
    page.wait_for_timeout(_REST_MS)
    found: dict[str, float] = page.evaluate(_TIMES)
    return found


def let_in(context: Any, url: str, selectors: Mapping[str, str] | None = None) -> Any:
    """A tab that has the cookie and has shown a small page of that server. selectors: of what is to be timed."""
    page = context.new_page()
    if selectors:
        page.add_init_script(_DRAWN.replace("SELECTORS", json.dumps(dict(selectors))))
    page.goto(f"{url}/sql?token={TOKEN}")
    return page
