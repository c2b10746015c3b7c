"""A DAG as lines of text that read like a tree. Pure: tasks in, lines out.

What is drawn is the dominator tree: a task hangs below the last task that everything leading to it goes through, so a
join stands beside the branches it joins, and every task is there once. A lone successor goes on below its predecessor
with an arrow instead of ever more indentation. In a large DAG, siblings of one name become one line, and so do rows of
one name; nothing is left out without a line that says how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from wfstore import _text as text

#: Up to so many tasks, each has a line of its own.
SINGLE_LIMIT = 40
#: No drawing is longer than this, by default.
LINE_LIMIT = 200
_AFTER_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Node:
    """One task, as far as the drawing needs it. `upstream`: task ids; those that are not drawn are ignored.
    `creator`: the task whose continuation it is part of; `type`: what else than a function it is; `due`: the time that
    it waits for; `critical`: whether the critical path goes through it."""

    id: str
    name: str
    status: str
    upstream: Sequence[str] = ()
    duration_s: float | None = None
    attempts: int = 0
    creator: str | None = None
    type: str = ""
    due: str = ""
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the tree with the task's id (or the name and how many), statuses, durations, and what else to know."""

    tree: str
    status: str
    duration: str = ""
    note: str = ""


@dataclass(slots=True)
class _Group:
    """What one line stands for: a task, or several of one name; `above`: the line it hangs below."""

    nodes: list[Node]
    above: _Group | None = None
    below: list[_Group] = field(default_factory=list)


def draw(nodes: Sequence[Node], *, single_limit: int = SINGLE_LIMIT, line_limit: int = LINE_LIMIT) -> list[Line]:
    """At most `line_limit` lines, and one more that says how many tasks are not drawn, if any."""
    merge = len(nodes) > single_limit
    top = _Group([])
    children = _children(nodes)
    todo = [(top, children[len(nodes)])]
    while todo:
        group, positions = todo.pop()
        positions = _swallow_row(group, positions, nodes, children) if merge else positions
        kin: dict[str, list[int]] = {}
        for position in positions:
            kin.setdefault(nodes[position].name if merge else nodes[position].id, []).append(position)
        for members in kin.values():
            child = _Group([nodes[position] for position in members], above=group)
            group.below.append(child)
            todo.append((child, [below for position in members for below in children[position]]))
    return _lines(top, merge, line_limit, {node.id: node for node in nodes})


def _children(nodes: Sequence[Node]) -> list[list[int]]:
    """Positions below each position in the dominator tree, upstream first; the last entry is below no task at all."""
    import igraph

    place = {node.id: position for position, node in enumerate(nodes)}
    root = len(nodes)
    edges = []
    for position, node in enumerate(nodes):
        above = {place[task_id] for task_id in _upstream(node) if task_id in place}
        edges += [(other, position) for other in sorted(above)] or [(root, position)]
    graph = igraph.Graph(root + 1, edges, directed=True)
    dominators = graph.dominator(root, mode="out")
    children: list[list[int]] = [[] for _ in range(root + 1)]
    for position in graph.topological_sorting():
        if position != root:
            children[dominators[position]].append(position)
    return children


def _upstream(node: Node) -> list[str]:
    return [*node.upstream, node.creator] if node.creator else list(node.upstream)


def _swallow_row(group: _Group, positions: list[int], nodes: Sequence[Node], children: list[list[int]]) -> list[int]:
    """While everything below only carries on with the group's own name, it becomes part of the group."""
    while group.nodes and positions and len(positions) <= len(group.nodes):
        if {nodes[position].name for position in positions} != {group.nodes[0].name}:
            break
        group.nodes.extend(nodes[position] for position in positions)
        positions = [below for position in positions for below in children[position]]
    return positions


def _lines(top: _Group, merge: bool, limit: int, by_id: dict[str, Node]) -> list[Line]:
    lines: list[Line] = []
    left = len(by_id)
    todo = [(group, "", *marks) for group, marks in _marked(top)]
    while todo and len(lines) < limit:
        group, prefix, mark, indent = todo.pop()
        lines.append(_line(group, prefix + mark, merge, by_id))
        left -= len(group.nodes)
        todo.extend((below, prefix + indent, *marks) for below, marks in _marked(group))
    if left:
        lines.append(Line(f"... and {text.number(left)} more tasks", ""))
    return lines


def _marked(group: _Group) -> Iterable[tuple[_Group, tuple[str, str]]]:
    """The lines below, last first, each with what stands before it and before what is below it."""
    if len(group.below) == 1:
        return [(group.below[0], ("↓ " if group.nodes else "", ""))]
    marks = [("├─ ", "│  ")] * (len(group.below) - 1) + [("└─ ", "   ")]
    return reversed(list(zip(group.below, marks, strict=False)))


def _line(group: _Group, before: str, merge: bool, by_id: dict[str, Node]) -> Line:
    first = group.nodes[0]
    count = len(group.nodes)
    durations = [node.duration_s for node in group.nodes if node.duration_s is not None]
    notes = [
        "critical path" if any(node.critical for node in group.nodes) else "",
        first.type,
        _after(group, merge, by_id),
    ]
    if count == 1:
        notes.insert(2, first.due)
        label, status, spent = first.id, first.status, text.duration(first.duration_s)
        notes.append(f"{first.attempts} attempts" if first.attempts > 1 else "")
    else:
        label = f"{first.name} x{text.number(count)}"
        statuses = Counter(node.status for node in group.nodes)
        status = ", ".join(f"{text.number(n)} {status}" for status, n in statuses.most_common())
        spent = f"median {text.duration(median(durations))}, max {text.duration(max(durations))}" if durations else ""
        retried = sum(node.attempts > 1 for node in group.nodes)
        notes.append(f"{text.number(retried)} with several attempts" if retried else "")
    if first.creator is not None:
        notes.append("continuation")
    return Line(before + text.safe(label), status, spent, ", ".join(note for note in notes if note))


def _after(group: _Group, merge: bool, by_id: dict[str, Node]) -> str:
    """What it waited for, where that is not just the line it hangs below."""
    waited = [by_id[task_id] for node in group.nodes for task_id in _upstream(node) if task_id in by_id]
    above = group.above.nodes if group.above else []
    known = {node.id for node in above} | {node.id for node in group.nodes}
    if all(node.id in known for node in waited):
        return ""
    names = Counter(node.name if merge else node.id for node in {node.id: node for node in waited}.values())
    shown = [text.safe(name) + (f" x{text.number(n)}" if n > 1 else "") for name, n in names.items()]
    more = f" and {len(shown) - _AFTER_LIMIT} more" if len(shown) > _AFTER_LIMIT else ""
    return "after " + ", ".join(shown[:_AFTER_LIMIT]) + more
