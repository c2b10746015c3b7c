"""The numbers of the catalogue, and the marker that says which of them a test is about.

    @item("R1", "what holds, in our words", ours="where we differ on purpose")

`compatibility.md` is made of what these markers say (see `table`); a test may carry several of them. The sentence
stands at one test of the item; other tests of the same number give the number alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def _numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{n}" for n in range(1, count + 1)]


#: Section of the catalogue, in its order, and the numbers in it. Section 23 has no numbers of its own: S23a to S23d.
SECTIONS: dict[str, list[str]] = {
    "1. Running": _numbered("R", 12),
    "2. Workflow ids": _numbered("I", 6),
    "3. Task names and the _n suffix": _numbered("N", 5),
    "4. Arguments, nesting, dereferencing": _numbered("D", 7),
    "5. Continuations": _numbered("C", 7),
    "6. Options": _numbered("O", 5),
    "7. Retries": _numbered("T", 7),
    "8. Errors and catch_exceptions": _numbered("E", 9),
    "9. Checkpointing": _numbered("K", 6),
    "10. Statuses": _numbered("S", 8),
    "11. get_output": _numbered("G", 7),
    "12. Cancel": _numbered("X", 4),
    "13. Delete": _numbered("L", 3),
    "14. Resume and recovery": _numbered("V", 8),
    "15. Queueing and init": _numbered("Q", 5),
    "16. Metadata": _numbered("M", 7),
    "17. Events": [*_numbered("A", 9), *_numbered("H", 6)],
    "18. Large objects and deduplication": _numbered("B", 5),
    "19. Logging": ["W1"],
    "20. Lifetime": _numbered("Z", 3),
    "21. Signature checks": ["Y1"],
    "22. Virtual actors (older generation)": _numbered("VA", 17),
    "23. workflow.wait and other older calls": ["S23a", "S23b", "S23c", "S23d"],
}


@dataclass
class Entry:
    """One item. `holds`: the sentence of the table; of the next four at most one says how it is here, if not "holds".

    ours: a deliberate difference; obsolete: why it means nothing on today's Ray; internal: it depended on the old
    library's storage, and the intent is what is kept; later: what brings it. tests: where each stands.
    """

    number: str
    holds: str = ""
    ours: str | None = None
    obsolete: str | None = None
    internal: str | None = None
    later: str | None = None
    tests: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Its tests, as they stand in the modules: whatever order these were imported in."""
        return sorted(self.tests, key=lambda name: self.tests[name])

    @property
    def here(self) -> str:
        """The third column of the table."""
        for word, why in (
            ("deliberate difference", self.ours),
            ("obsolete", self.obsolete),
            ("internal", self.internal),
            ("later", self.later),
        ):
            if why is not None:
                return f"{word}: {why}"
        return "holds"


ENTRIES: dict[str, Entry] = {}

_KNOWN = frozenset(number for numbers in SECTIONS.values() for number in numbers)


def entry(number: str, holds: str = "", **how: str) -> Entry:
    """Say something about an item, with or without a test. Raises ValueError for an unknown number or a second
    sentence."""
    if number not in _KNOWN:
        raise ValueError(f"{number} is no number of the catalogue")
    found = ENTRIES.setdefault(number, Entry(number))
    for key, text in {"holds": holds, **how}.items():
        before = getattr(found, key)
        if text and before and before != text:
            raise ValueError(f"{number} has two texts for {key}: {before!r} and {text!r}")
        if text:
            setattr(found, key, text)
    return found


def item(number: str, holds: str = "", **how: str) -> Callable[[F], F]:
    """Mark a test as one of the item's."""
    found = entry(number, holds, **how)

    def mark(test: F) -> F:
        found.tests[test.__name__] = (test.__module__, test.__code__.co_firstlineno)
        return test

    return mark
