"""The Jinja environment of the pages: templates of this package, escaping always on, and values as people read them.

Text of users (ids, names, errors, metadata) may hold anything. It is escaped by Jinja, and characters that would
reorder or hide what stands around them are shown as their escapes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape
from starlette.templating import Jinja2Templates

from wfstore import _text as text
from wfstore._version import __version__
from wfstore.draw._style import symbols
from wfstore.errors import WfstoreError

#: What `flush()` says in a template whose page is sent in pieces.
_FLUSH = "\0flush"
_log = logging.getLogger("wfstore.dashboard")
#: A path ends at these, however they are encoded; such an id goes into the query instead.
_DOTS = frozenset((".", ".."))


@cache
def environment() -> jinja2.Environment:
    """Every page's. Filters: duration, size, number, moment, ago, shown, clip, lines, pretty, sentence;
    globals: static, flush, modules, workflow_path, task_path, version."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("wfstore.dashboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        duration=duration, size=size, number=text.number, moment=moment, ago=ago, shown=shown, clip=clip,
        lines=lines, pretty=pretty, sentence=sentence, iso=text.iso,
    )  # fmt: skip
    made.globals.update(
        shapes_of_statuses=Markup(symbols("s-icon-")),
        static=static,
        flush=str,  # says nothing; see `in_pieces`
        modules=[module(name) for name in MODULES],
        workflow_path=workflow_path,
        task_path=task_path,
        version=__version__,
    )
    return made


def templates() -> Jinja2Templates:
    """What the application keeps as `app.state.templates`."""
    return Jinja2Templates(env=environment())


def in_pieces(name: str, context: Mapping[str, Any]) -> Iterator[str]:
    """A page in pieces, which end where its templates say `flush()`: a browser fetches what the head names, and draws
    what it has, while the rest is made. An error after the first piece is a line of the page."""
    made: list[str] = []
    sent = False
    try:
        for piece in environment().get_template(name).generate({**context, "flush": lambda: _FLUSH}):
            if piece != _FLUSH:
                made.append(piece)
                continue
            yield "".join(made)
            sent, made = True, []
    except WfstoreError as error:
        if not sent:
            raise
        _log.warning("%s could not be made to its end: %s", name, error)
        made.append(Markup('<p class="banner" role="alert">{} Load the page again.</p>').format(sentence(str(error))))
    yield "".join(made)


def workflow_path(workflow_id: str, fragment: str | None = None, **query: Any) -> str:
    """The page of a workflow, or one of its fragments, with a query of what is not None."""
    if workflow_id in _DOTS:
        return _with("/workflows", {"id": workflow_id, "fragment": fragment, **query})
    path = f"/workflows/{quote(workflow_id, safe='')}"
    return _with(path if fragment is None else f"{path}/fragment/{fragment}", query)


def task_path(workflow_id: str, task_id: str, **query: Any) -> str:
    """The page of a task, with a query of what is not None."""
    if _DOTS & {workflow_id, task_id}:
        return _with("/workflows", {"id": workflow_id, "task": task_id, **query})
    return _with(f"/workflows/{quote(workflow_id, safe='')}/tasks/{quote(task_id, safe='')}", query)


def _with(path: str, query: Mapping[str, Any]) -> str:
    said = urlencode({key: value for key, value in query.items() if value is not None})
    return f"{path}?{said}" if said else path


#: The modules of the live pages: the first is the page's script, which imports the others.
MODULES = ("wfstore.mjs", "actions.mjs", "drawing.mjs", "format.mjs", "parts.mjs", "patch.mjs")


def static(name: str) -> str:
    """The path of a static file; it changes with the file, so that a browser never shows yesterday's."""
    return f"/static/{name}?v={static_version(name)}"


def module(name: str) -> str:
    """The path of one of `MODULES`, which changes with any of them. The version is a folder: so what they import from
    beside them is of the same version."""
    return f"/static/{static_version(*MODULES)}/{name}"


@cache
def static_version(*names: str) -> str:
    """12 hexadecimal digits that change with what is in these files."""
    folder = files("wfstore.dashboard").joinpath("static")
    return sha256(b"".join(folder.joinpath(name).read_bytes() for name in names)).hexdigest()[:12]


def duration(seconds: float | None) -> Markup:
    """A span of time; its exact length on hover."""
    if seconds is None:
        return Markup("")
    return Markup('<span title="{:.6f} s">{}</span>').format(seconds, text.duration(seconds))


def size(count: int | None) -> Markup:
    """Bytes; the exact count on hover."""
    if count is None:
        return Markup("")
    return Markup('<span title="{:,} bytes">{}</span>').format(count, text.size(count))


def moment(when: datetime | None) -> Markup:
    """A time in UTC, and how long ago that is."""
    if when is None:
        return Markup("")
    full = f"{text.clock(when)}.{when:%f} UTC"
    return Markup('<time datetime="{}" title="{}">{} <small class="ago">{}</small></time>').format(
        text.iso(when), full, _short(when), ago(when)
    )


def ago(when: datetime, now: datetime | None = None) -> str:
    """How long ago a time was, in its largest unit: "just now", "5 min ago", "in 20 s"."""
    seconds = ((now or datetime.now(UTC).replace(tzinfo=None)) - when).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    span = _largest(abs(seconds))
    return f"{span} ago" if seconds > 0 else f"in {span}"


def _largest(seconds: float) -> str:
    for unit, length in (("years", 365.25 * 86400), ("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "years" else 1) * length:
            return f"{int(seconds // length):,} {unit}"
    return f"{int(seconds)} s"


def _short(when: datetime) -> str:
    """The day without its year where it is this one: tables are narrow, and the whole is on hover."""
    now = datetime.now(UTC)
    if when.date() == now.date():
        return f"{when:%H:%M:%S}"
    return f"{when.day} {when:%b %H:%M:%S}" if when.year == now.year else f"{when.day} {when:%b %Y %H:%M}"


def shown(value: Any) -> Markup:
    """One line of a user's text, apart from the direction of the text around it."""
    return Markup("<bdi>{}</bdi>").format(text.safe("" if value is None else value))


def sentence(words: str) -> Markup:
    """A message of this package as a sentence of its own; what stands between back quotes is code."""
    pieces = text.safe(words).rstrip(".").split("`")
    made = [Markup("<code>{}</code>" if at % 2 else "{}").format(piece) for at, piece in enumerate(pieces)]
    made[0] = Markup("{}").format(pieces[0][:1].upper() + pieces[0][1:])
    return Markup("").join(made) + Markup(".")


def clip(value: Any, most: int = 160) -> Markup:
    """As `shown`, at most so many characters; the rest, up to 2,000, on hover."""
    whole = text.safe("" if value is None else value)
    if len(whole) <= most:
        return Markup("<bdi>{}</bdi>").format(whole)
    return Markup('<bdi title="{}">{}…</bdi>').format(whole[:2000], whole[: most - 1])


def lines(value: Any) -> Markup:
    """Text of several lines, for an element that keeps line breaks."""
    return escape("\n".join(text.safe(line.replace("\t", "    ")) for line in str(value or "").split("\n")))


def pretty(value: Any) -> Markup:
    """A JSON value as indented text."""
    opened = json.loads(value) if isinstance(value, str) else value
    return lines(json.dumps(opened, indent=2, ensure_ascii=False, default=str))
