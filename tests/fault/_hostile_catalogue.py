"""Ids and metadata that no well-meaning caller gives, and mutations of them. Each is refused, or kept exactly."""

# ruff: noqa: E501
from __future__ import annotations

import enum
import json
import random
import types
from collections import OrderedDict, UserDict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

Hostile = Any


class LyingText(str):
    """Says that it is short and harmless."""

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "harmless"

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Colour(enum.StrEnum):
    RED = "red"


IDS: list[Hostile] = [
    "", " ", "\0", "a\0b", "\n", "two\nlines", "tab\tbed", "return\rover", "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x7f",
    "next\x85line", "\x9b31mred", "line\u2028separator", "para\u2029graph", "\u202egnp.exe", "\u2066isolate\u2069",
    "zero\u200bwidth", "\ufeffmark", "\ud800", "half\udc80", "\U0010ffff", "\ufffe", "..", ".", "../../etc/passwd",
    "/etc/passwd", "a/b/c", "//evil.example/x", "C:\\Windows\\x", "CON", "~root", "%2e%2e%2f", "%00", "%", "a?b=c#d",
    "a&b;c", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'onmouseover='alert(1)", "javascript:alert(1)",
    "<!--", "]]>", "</title></style></script>", "{{7*7}}", "{% raw %}", "${7*7}", "${jndi:ldap://127.0.0.1/x}", "{0}",
    "%s%n%s", "' OR '1'='1", "'; DROP TABLE workflows; --", "$id", "?", "*", "[red]x[/red]", ":smile:", "-rf", "--help",
    "--json", "-", "--", "; touch x", "$(touch x)", "`touch x`", "|cat", "x" * 1024, "x" * 1025, "🌍" * 1024, "é", "e\u0301",
    "ﬁ", "İ", "🏴\U000e0067\U000e007f", "👨\u200d👩\u200d👧", "a" + "\u0301" * 500, "NULL", "None", "true", "0", "1e309", "nan",
    " leading", "trailing ", "a  b", "\\", "\\n", "\\u0000", "workflows", "live_workflows", "FROM read_text('/etc/passwd')",
    "a,b", '"quoted"', "a\u00a0b", "\u3000", "\u115f", 7, 1.5, True, b"bytes", ["a"], {"a": 1}, object(),
    LyingText("x" * 5000), LyingText("a\nb"), Colour.RED,
]  # fmt: skip


class Restless(Mapping[str, Any]):
    """Something else each time it is looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def __getitem__(self, key: str) -> Any:
        self.looks += 1
        return "harmless" if self.looks < 2 else object()

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Raising(dict[str, Any]):
    """Raises when its items are taken."""

    def items(self) -> Any:
        raise RuntimeError("no items")


class Leaving(dict[str, Any]):
    """Ends the process that asks for its items."""

    def items(self) -> Any:
        raise SystemExit("left")


class Exploding(str):
    """Of a key whose hash cannot be had."""

    def __hash__(self) -> int:
        return super().__hash__()

    def __reduce__(self) -> Any:
        raise RuntimeError("cannot be pickled")


class LyingNumber(int):
    def __repr__(self) -> str:
        return '1}, "forged": {"a": 2'

    __str__ = __repr__


class LyingFloat(float):
    def __repr__(self) -> str:
        return "NaN"


def _deep(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"end": True}
    for _ in range(levels):
        made = {"a": made}
    return made


def _circle() -> dict[str, Any]:
    made: dict[str, Any] = {"a": []}
    made["a"].append(made)
    return made


METADATA: list[Hostile] = [
    {"a": float("nan")}, {"a": float("inf")}, {"a": -float("inf")}, {"a": [1, {"b": float("nan")}]}, {"a": object()},
    {"a": {1, 2}}, {"a": b"bytes"}, {"a": Decimal("1.1")}, {"a": Path("/")}, {"a": 1j}, {"a": len}, {"a": range(3)},
    {1: "one"}, {True: 1}, {None: 1}, {1.5: 1}, {("a",): 1}, {"1": "text", 1: "number"}, {"a": {"1": "x", 1: "y"}},
    {"null": 1, None: 2}, _deep(50), _deep(900), _deep(100_000), _circle(), {"a": 10**400}, {"a": 10**5000}, {"a": 2**63},
    {"a": -(2**63) - 1}, {"a": 1e308}, {"a": 5e-324}, {"a": -0.0}, {"a": 0.1 + 0.2}, {"a": 10**18 + 1}, {"\ud800": 1},
    {"a": "\udfff"}, {"a": "\0"}, {"a\0b": 1}, {"a": "\x1b[2J\x07"}, {"a": "\u202etxt"}, {"a": "\u2028\u2029\x85"}, {"": ""},
    {"<script>alert(1)</script>": "</script><script>alert(2)</script>"}, {"name": "<img src=x onerror=alert(1)>"},
    {"name": "\x1b[2Jname"}, {"name": "two\nlines"}, {"name": 7}, {"name": ""}, {"name": None}, {"name": "x" * 100_000},
    {"a.b": 1, "a": {"b": 2}, '$."x"': 3, "$": 4, "[0]": 5, '"': 6, "\\": 7}, {"'; DROP TABLE workflows; --": "' OR 1=1"},
    {"__proto__": {"polluted": True}, "constructor": 1, "toString": 2}, {"workflow_id": "other", "status": "SUCCESSFUL"},
    {"user_metadata": {}, "stats": None}, {str(number): number for number in range(2_000)}, {"a": "🌍" * 50_000},
    {"a": ["x"] * 20_000}, {"a": (1, (2, 3))}, {"a": Colour.RED}, {"a": LyingNumber(7)}, {"a": LyingFloat(1.5)},
    {"a": LyingText("long" * 99)}, {LyingText("key"): 1}, {Colour.RED: 1}, OrderedDict(b=1, a=2), UserDict({"a": 1}),
    types.MappingProxyType({"a": 1}), Restless(), Raising(a=1), Leaving(a=1), {Exploding("a"): Exploding("b")}, [["a", 1]],
    "text", 7, b"{}", {"a": None, "b": [], "c": {}}, {"a": "{\"b\": 1}"}, {"a": "1"}, {"e\u0301": 1, "é": 2}, {"A": 1, "a": 2},
]  # fmt: skip

_ALPHABET = (
    "\0\n\r\t\x1b\x7f\x85\x9b\u2028\u202e\u200b\ufeff\ud800\udfff\U0010ffff<>\"'&;$`\\/%?#{}[]()*-:=,. aZ0é\u0301🌍"
)


UNSAYABLE = object()


def id_of(case: int) -> Hostile:
    """The catalogue's, and beyond its end mutations of it."""
    if case < len(IDS):
        return IDS[case]
    chance = random.Random(f"id {case}")
    base = IDS[case % len(IDS)]
    return mutated_text(base if type(base) is str else "id", chance)


def metadata_of(case: int) -> Hostile:
    """As `id_of`."""
    if case < len(METADATA):
        return METADATA[case]
    chance = random.Random(f"metadata {case}")
    return mutated_object(METADATA[case % len(METADATA)], chance)


def mutated_text(text: str, chance: random.Random) -> str:
    """With hostile characters put in, taken out, repeated, or another text behind it."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0 | 1:
                text = text[:at] + chance.choice(_ALPHABET) * chance.choice((1, 1, 3, 60)) + text[at:]
            case 2:
                text = text[:at] + text[at + chance.randint(1, 5) :]
            case 3:
                text += chance.choice([other for other in IDS if type(other) is str])
    return text


def mutated_object(given: Hostile, chance: random.Random) -> dict[Any, Any]:
    """A dict with keys and values out of the catalogue and made up."""
    made: dict[Any, Any] = {}
    if type(given) is dict and len(given) < 50:
        made |= given
    values: list[Any] = [None, True, 0, -1, 2**64, 1e300, float("nan"), [], {}, b"", 10**30, {"a": [1, {}]}]
    for _ in range(chance.randint(1, 4)):
        key = mutated_text(chance.choice(("a", "name", "1", "")), chance)
        text = mutated_text("value", chance)
        made[chance.choice((key, key, key, 1, None))] = chance.choice([*values, text, text, text, [text], {text: text}])
    return made


def as_json(metadata: Hostile) -> Any:
    """What JSON makes of it; `UNSAYABLE` for what JSON cannot hold, or not without loss."""
    if isinstance(metadata, Restless):
        return {"a": "harmless"}
    try:
        return json.loads(json.dumps(dict(metadata), allow_nan=False), object_pairs_hook=_unique)
    except (Exception, SystemExit):
        return UNSAYABLE


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)
