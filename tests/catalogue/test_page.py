"""The compatibility page is what the tests say, and no number of the catalogue is missing. Needs no running Ray."""

from __future__ import annotations

from tests.catalogue.items import SECTIONS
from tests.catalogue.table import PAGE, load, page


def test_every_number_of_the_catalogue_has_an_entry() -> None:
    entries = load()
    wanted = [number for numbers in SECTIONS.values() for number in numbers]
    assert [number for number in wanted if number not in entries or not entries[number].holds] == []


def test_what_holds_or_differs_has_a_test() -> None:
    untested = [
        entry.number
        for entry in load().values()
        if not entry.tests and not (entry.obsolete or entry.internal or entry.later)
    ]
    assert untested == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.catalogue.table > docs/reference/compatibility.md"
