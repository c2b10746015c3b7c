"""docs/reference/compatibility.md, made from the markers of the tests:

python -m tests.catalogue.table > docs/reference/compatibility.md
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.catalogue.items import ENTRIES, SECTIONS, Entry
from tests.catalogue.peer.test_peer import DIFFERENT, NAMES

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "compatibility.md"


def load() -> dict[str, Entry]:
    """Import every module of tests, and return what they say."""
    for path in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.catalogue.{path.stem}")
    return ENTRIES


def page() -> str:
    """The whole page."""
    return "\n".join(_lines(load())) + "\n"


def _lines(entries: dict[str, Entry]) -> Iterator[str]:
    yield (HERE / "contradictions.md").read_text().rstrip()
    yield ""
    yield "## Item by item"
    yield ""
    yield from _summary(entries)
    for section, numbers in SECTIONS.items():
        yield f"### {section}"
        yield ""
        yield "| item | what holds | how it is here | test |"
        yield "|---|---|---|---|"
        yield from (_row(entries[number]) for number in numbers if number in entries)
        yield ""
    yield from _peer()


def _summary(entries: dict[str, Entry]) -> Iterator[str]:
    kinds = [entry.here.partition(":")[0] for entry in entries.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds)))
    yield f"{len(kinds)} items: {counts}. A row says what its tests assert, so it is true while they pass:"
    yield '`pytest -m "ray or peer" tests/catalogue`. Test names are those of `tests/catalogue/`.'
    yield ""


def _peer() -> Iterator[str]:
    yield "## Side by side with ray 2.47.1"
    yield ""
    yield "The programs of `tests/catalogue/peer/programs` run on both libraries, and their reports of outcomes,"
    yield f"outputs, statuses, exceptions agree: {', '.join(NAMES)}. The differences there are meant:"
    yield ""
    yield "| program | what | why |"
    yield "|---|---|---|"
    for (program, what), (why, _, _) in DIFFERENT.items():
        yield f"| {program} | {what} | {why} |"
    yield ""
    yield "What users asked for beyond it (backoff, timeouts, rerun, resume with repaired code, ...) is in"
    yield "`tests/catalogue/test_24_asked_for.py`."


def _row(entry: Entry) -> str:
    tests = "<br>".join(f"`{name}`" for name in entry.names) or "-"
    return f"| {entry.number} | {_cell(entry.holds)} | {_cell(entry.here)} | {tests} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
