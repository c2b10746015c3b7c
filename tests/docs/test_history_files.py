"""The chapter on history files lists the columns that the writer makes, and the pages about them do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.stores import BODY, fan, finish
from tests.cli.test_docs_tutorial import ROOT, blocks
from tests.model import histories
from tests.model.histories import Simulation
from wfstore.cli.app import run
from wfstore.index.compaction import compact
from wfstore.log import open_writer
from wfstore.log.manifest import Manifest, read_manifest
from wfstore.model.commands import Resume, Submit
from wfstore.model.events import Event
from wfstore.payloads import PayloadStore
from wfstore.schema.history import KINDS

#: A random history in which every kind of row occurs.
SEED, STEPS = 15, 60
TYPES = {"timestamp[us]": "timestamp", "large_binary": "binary", "list<element: string>": "list of string"}
SECTION = re.compile(r"^#### `(\w+)`\n(.*?)(?=^#|\Z)", re.DOTALL | re.MULTILINE)
COLUMN = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)
KEY = re.compile(r"`(\w+)`")


@pytest.fixture(scope="module")
def compacted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two parts, in the second of which workflows go on."""
    path = tmp_path_factory.mktemp("compacted") / "store"
    events = histories.random_history(SEED, STEPS).log
    middle = len(events) // 2
    for some in (events[:middle], events[middle:]):
        append(path, some)
        compact(str(path), grace_s=0, workers=1, purge=False)
    return path


@pytest.fixture(scope="module")
def manifest(compacted: Path) -> Manifest:
    return read_manifest(str(compacted))


@pytest.fixture(scope="module")
def chapter() -> str:
    text = (ROOT / "docs/reference/on-disk-format.md").read_text()
    return text.partition("\n## History files\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_of_every_kind_is_listed(kind: str, chapter: str, compacted: Path, manifest: Manifest) -> None:
    section = dict(SECTION.findall(chapter))[kind]
    made = [pq.read_schema(compacted / "history" / file.name) for file in manifest.of(kind)]
    assert made, "the history of these tests has no such rows (any more)"
    for schema in made:
        columns = [(field.name, TYPES.get(str(field.type), str(field.type))) for field in schema]
        assert COLUMN.findall(section) == columns
    assert tuple(KEY.findall(section.partition("Sorted by")[2].partition("|")[0])) == KINDS[kind].sort


def test_only_kinds_there_are_are_listed(chapter: str) -> None:
    assert [name for name, _ in SECTION.findall(chapter)] == list(KINDS)


def test_every_key_of_a_manifest_is_listed(chapter: str, manifest: Manifest) -> None:
    text = chapter.partition("### The manifest")[2].partition("### ")[0]
    words = set(re.findall(r"\w+", text))
    part = manifest.parts[0]
    for value in (manifest, part, part.files[0]):
        assert set(value.__dataclass_fields__) <= words


def run_page(page: str, store: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What the blocks of a page print, run one after the other on `store`, in this process: others take seconds to
    start. Ray Data is not among what tests install."""
    capfd.readouterr()
    for kind, _, text in blocks(page):
        text = text.replace("/data/workflows", str(store))
        if kind == "bash":
            for line in text.splitlines():
                name, *arguments = shlex.split(line)
                assert (name, run(arguments)) == ("wfstore", 0), line
        elif "ray.data" not in text:
            exec(compile(text, page, "exec"), {})
    return capfd.readouterr().out


def test_compact_and_retain_as_printed(compacted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    shutil.copytree(compacted, store)
    said = run_page("how-to/compact-and-retain.md", store, capfd)
    for words in ("took in", "bytes per event", "would delete", "deleted"):
        assert words in said


def test_other_engines_read_a_store_as_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One workflow is resumed after it was compacted, so that there are two facts about each of its tasks."""
    store = tmp_path / "store"
    simulation = Simulation()
    PayloadStore(str(store)).put_file(BODY)
    simulation.do(Submit("w", fan(2)))
    finish(simulation, failing="total")
    written = append(store, simulation.log)
    compact(str(store), grace_s=0, workers=1)
    simulation.do(Resume("w"))
    finish(simulation)
    append(store, simulation.log[written:])
    said = run_page("how-to/read-with-other-engines.md", store, capfd)
    for words in ("took in", "ok: ", "p50_s", "decided", "tasks"):
        assert words in said
    counted = re.findall(r"│ (list|map|total) +│ +(\d+) │\n", said)
    assert sorted(counted) == [("list", "1"), ("map", "2"), ("total", "1")]


def append(store: Path, events: Sequence[Event]) -> int:
    """Write them as a manager that then leaves; how many there are."""
    writer = open_writer(str(store))
    writer.append(events)
    writer.close()
    open_writer(str(store)).close()
    return len(events)
