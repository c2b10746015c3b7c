"""One store with hostile ids and metadata in it, and every face of wfstore that shows them."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

import wfstore
from tests.cli.stores import BODY, fan, finish
from tests.fault._hostile_catalogue import UNSAYABLE
from tests.model.histories import Simulation
from wfstore import _text as text
from wfstore._observe import WorkflowObservability
from wfstore.cli.app import run as command
from wfstore.dashboard.app import create_app
from wfstore.dashboard.settings import Settings
from wfstore.errors import WfstoreError
from wfstore.log import open_writer, verify
from wfstore.model import decide
from wfstore.model.commands import Submit
from wfstore.model.define import check_metadata, check_workflow_id
from wfstore.payloads import PayloadStore
from wfstore.schema.rows import pack

TAME = "tame"
_TOKEN = "t0ken-of-the-tests"
_FILES = re.compile(
    r"(log/seg-\d+-\d+\.wfl|payloads/[0-9a-f]{2}/[0-9a-f]{64}|store\.json|lease\.json|history/[a-z_]+-[\w.-]+)"
)


class Faces:
    """Workflows are submitted, `close` writes them, and `check` looks at one through every face."""

    def __init__(self, root: Path) -> None:
        self.path = str(root / "store")
        self._simulation = Simulation()
        self._kept: dict[str, Any] = {}
        self.submit(TAME, {"team": "data"})

    def submit(self, workflow_id: Any, metadata: Any) -> None:
        """As the client and the manager do it: checked, pickled, decided. Raises what refuses it."""
        check_workflow_id(workflow_id)
        plain = check_metadata(metadata)
        sent = pickle.loads(pickle.dumps(Submit(workflow_id, fan(1), plain), 5))
        assert sent.workflow_id not in self._kept, "two catalogue entries have the same id"
        before = len(self._simulation.log)
        self._simulation.do(sent)
        finish(self._simulation)
        try:
            pack(self._simulation.log[before:])
        except ValueError:
            del self._simulation.log[before:]
            raise
        self._kept[sent.workflow_id] = plain

    def close(self, compacted: bool = False) -> None:
        """Everything is in the store, and open for reading."""
        PayloadStore(self.path).put_file(BODY)
        writer = open_writer(self.path)
        for start in range(0, len(self._simulation.log), 200):
            writer.append(self._simulation.log[start : start + 200])
        writer.close()
        self._store = wfstore.open(self.path, live=False)
        if compacted:
            self._store.compact(grace="0s")
        self._rows = {row["workflow_id"]: row for row in self._store.workflows().to_dicts()}
        listed = json.loads(self._command("ls", "--json"))
        self._listed = {row["workflow_id"]: row for row in listed}
        lines = self._command("ls").splitlines()
        assert len(lines) == len(listed) + 1, "an id or a name breaks the table into other lines"
        self._lines = dict(zip(self._listed, lines[1:], strict=True))
        app = create_app(WorkflowObservability(self.path, live=False), Settings(_TOKEN, port=8266))
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        self._client = TestClient(app, "http://127.0.0.1:8266", raise_server_exceptions=False, headers=headers)
        self._tame = Page(self._get(f"/workflows/{TAME}").text)

    def check(self, workflow_id: str, metadata: Any) -> None:
        """It is there, exactly as given, wherever it can be seen. Raises AssertionError naming the face."""
        assert metadata is not UNSAYABLE, "it was kept, and cannot be said in JSON"
        self._in_python(workflow_id, metadata)
        self._on_the_command_line(workflow_id, metadata)
        self._over_http(workflow_id, metadata)

    def check_store(self) -> None:
        """No name on disk was anybody's idea, and every byte checks out."""
        root = Path(self.path)
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        assert all(_FILES.fullmatch(name) for name in names), names
        problems = [str(problem) for problem in verify(self.path).problems]
        assert not problems, problems

    def _command(self, *arguments: str) -> str:
        verb, *rest = arguments
        code, out, err = told(verb, "--storage", self.path, *rest)
        assert code == 0, f"wfstore {verb}: {err}"
        return out

    def _in_python(self, workflow_id: str, metadata: Any) -> None:
        assert workflow_id in self._rows, "workflows() has it under another id"
        assert json.loads(self._rows[workflow_id]["metadata"] or "{}") == metadata, "workflows()"
        found = self._store.history(workflow_id)
        workflow = found.to_dict()["workflow"]
        assert (workflow["workflow_id"], workflow["metadata"] or {}) == (workflow_id, metadata), "history()"
        assert str(found) and found._repr_html_(), "history() as text"
        query = "SELECT workflow_id, metadata FROM workflows WHERE workflow_id = ?"
        ((name, said),) = self._store.sql(query, [workflow_id]).fetchall()
        assert (name, json.loads(said or "{}")) == (workflow_id, metadata), "sql()"
        keys = [key for key in metadata if isinstance(metadata[key], str)]
        if keys:
            chosen = self._store.workflows(metadata={keys[0]: metadata[keys[0]]})
            assert workflow_id in chosen["workflow_id"].to_list(), "workflows(metadata=)"

    def _on_the_command_line(self, workflow_id: str, metadata: Any) -> None:
        row = self._listed[workflow_id]
        assert (row["workflow_id"], row["metadata"] or {}) == (workflow_id, metadata), "ls --json"
        line = self._lines[workflow_id]
        assert line.isprintable() and line.startswith(text.safe(workflow_id)), "ls"
        shown = json.loads(self._command("show", "--json", "--", workflow_id))["workflow"]
        assert (shown["workflow_id"], shown["metadata"] or {}) == (workflow_id, metadata), "show --json"
        said = self._command("show", "--", workflow_id)
        assert all(part.isprintable() for part in said.split("\n")), "show prints what drives a terminal"

    def _over_http(self, workflow_id: str, metadata: Any) -> None:
        path = f"/workflows/{quote(workflow_id, safe='')}"
        found = self._get(f"/api{path}").json()
        assert (found.get("workflow_id"), found.get("metadata") or {}) == (workflow_id, metadata), "the API"
        page = Page(self._get(path).text)
        assert page.dangers == self._tame.dangers, "the page has scripts or handlers that it should not have"
        assert all(line.isprintable() for line in re.split("[\n\r]", page.text)), "the page can be written backwards"
        # People see it as in a terminal; links hold it exactly.
        assert text.safe(workflow_id).strip() in page.text, "the page does not show it"

    def _get(self, path: str) -> Any:
        answer = self._client.get(path)
        assert answer.status_code == 200, f"GET {path[:80]}: {answer.status_code} {answer.text[:200]}"
        return answer


class Page(HTMLParser):
    """A page's text, and what in it could run."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.dangers: Counter[str] = Counter()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base", "meta", "img", "form"):
            self.dangers[tag] += 1
        for name, value in attrs:
            runs = name in ("href", "src") and re.match(r"\s*(javascript|data):", value or "", re.IGNORECASE)
            if runs or name.startswith("on"):
                self.dangers[f"{name}={value}"] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


def told(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a `wfstore` command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command(list(arguments))
    return code, out.getvalue(), err.getvalue()


def refusal(error: BaseException) -> None:
    """Raises AssertionError unless it is one clear error: ours, or a TypeError that says what has to be given."""
    said = str(error)
    assert isinstance(error, (WfstoreError, TypeError)), f"refused by {type(error).__name__}: {said[:200]}"
    assert said.strip() and len(said) < 1_000, f"the error is not short: {len(said)} characters"
    said.encode()
    assert "\x1b" not in said and "\0" not in said, "the error drives a terminal"


@contextlib.contextmanager
def unchecked(off: bool) -> Iterator[None]:
    """Within it, where `off`, ids and metadata are taken as they are: the negative control."""
    with pytest.MonkeyPatch.context() as patch:
        if off:
            for module in (sys.modules[__name__], decide):
                patch.setattr(module, "check_workflow_id", lambda workflow_id: None)
                patch.setattr(module, "check_metadata", lambda metadata: metadata)
        yield
