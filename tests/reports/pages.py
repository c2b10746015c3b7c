"""Takes a page apart, as a reader of it would: tags, text, tables."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = frozenset(("meta", "br", "img", "link", "input", "hr"))


class Page(HTMLParser):
    """tags: every start tag with its attributes; tables: rows of (text, data-value); words: all text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[tuple[str, str | None]]]] = []
        self.commands: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self._value: str | None = None
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "table":
            self.tables.append([])
            self.commands.append("")
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", found.get("data-value")))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)
        if "caption" in self._open and "code" in self._open:
            self.commands[-1] += data
        elif self._open and self._open[-1] in ("td", "th"):
            text, value = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + data, value)
