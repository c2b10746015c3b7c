"""Any text as XML can hold it and as a box has room for it. Pure."""

from __future__ import annotations

import re
from html import escape as escape_all
from unicodedata import east_asian_width
from urllib.parse import quote

from wfstore._text import safe

#: What encodeURIComponent of JavaScript leaves alone, so that a page can make the same ids.
_UNRESERVED = "-_.!~*'()"
_PLAIN = re.compile(r"[\w.!~*'()-]*", re.ASCII).fullmatch
#: Widths of characters of a 12 px sans-serif font, in pixels, on the safe side.
_NARROW, _USUAL, _WIDE, _FULL = 4.2, 7.0, 10.2, 13.0
_NARROW_ONES = frozenset("fijlrtI.,:;'|!()[]{}/\\ -")
#: Of a longer text nobody reads more.
_READ = 500
_WIDE_ONES = frozenset("mwMWGOQ@%&…_")


_SPECIAL = re.compile("[&<>\"']")


def escape(text: str) -> str:
    """As of the module html; most texts of a drawing have nothing to escape."""
    return escape_all(text) if _SPECIAL.search(text) else text


def node_id(key: str, prefix: str = "") -> str:
    """The id of a node's element: "node-" and the task's id (or the group's key) as encodeURIComponent writes it."""
    return f"{prefix}node-{_safe_key(key)}"


def bar_id(task_id: str, run: int, attempt: int, prefix: str = "") -> str:
    """The id of the element of an attempt's bar: "bar-", the task's id as in `node_id`, "-run-attempt"."""
    return f"{prefix}bar-{_safe_key(task_id)}-{run}-{attempt}"


def _safe_key(text: str) -> str:
    return text if _PLAIN(text) else quote(text, safe=_UNRESERVED, errors="surrogatepass")


def shown(value: object) -> str:
    """Text for an element: made safe, then escaped."""
    return escape(safe(value))


def attribute(value: str) -> str:
    """Text for an attribute, as it is: only what XML cannot hold at all is replaced."""
    if value.isprintable():
        return escape(value)
    return "".join(_attribute_character(c) for c in value)


def _attribute_character(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return escape(character)
    if character not in "\t\n\r" and (code < 0x20 or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF)):
        return "\N{REPLACEMENT CHARACTER}"
    # As numbers, what turns the direction of writing stands nowhere in the source of a page.
    return f"&#{code};"


def clip(text: str, width: float, size: float = 12) -> str:
    """At most `width` pixels of a text in a font of `size` pixels. What is left out is in the middle, or of a very
    long one at the beginning: ids differ most at their ends."""
    text = safe(text[:_READ]) + "…" * (len(text) > _READ)
    room = width * 12 / size
    wide = sum(map(_ASCII.__getitem__, text.encode())) if text.isascii() else sum(map(_width, text))
    if wide <= room:
        return text
    room -= _width("…")
    head = _fitting(text, room * 0.35) if wide < room * 2 else ""
    tail = _fitting(text[::-1], room - sum(map(_width, head)))
    return f"{head}…{tail[::-1]}"


def _fitting(text: str, room: float) -> str:
    for position, character in enumerate(text):
        room -= _width(character)
        if room < 0:
            return text[:position]
    return text


def _width(character: str) -> float:
    if character in _NARROW_ONES:
        return _NARROW
    if character in _WIDE_ONES:
        return _WIDE
    if character.isascii():
        return 8.6 if character.isupper() else _USUAL
    return _FULL if east_asian_width(character) in "WF" else 9.0


_ASCII = tuple(_width(chr(code)) for code in range(128))
