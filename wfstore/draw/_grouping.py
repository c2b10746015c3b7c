"""Which nodes a drawing has: the tasks themselves or, where there are too many, groups of them. Pure.

A group is what has one name and one stage; the stage of a task is how often the name has changed on the longest way
to it. So a chain of one name is one group, no two groups lead to each other, and what comes later in a workflow never
changes the group of a task that is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from wfstore.draw._rows import Edge, Task

#: However few tasks may be drawn singly, so many groups may be.
FEWEST_GROUPS = 50
_DIGITS = re.compile(r"\d+")
_NAMED = 2


class Node(NamedTuple):
    """One box: a task (`group` is None) or a group of several. members: positions of the tasks, upstream first."""

    key: str
    members: tuple[int, ...]
    group: str | None = None
    opened: bool = False


class Link(NamedTuple):
    """Positions of two nodes, how many edges lead from one to the other, and whether all of them are `created`."""

    above: int
    below: int
    edges: int
    created: bool


class Graph(NamedTuple):
    """What is drawn: nodes, upstream first, links between them, and the node of each task."""

    nodes: list[Node]
    links: list[Link]
    node_of: list[int]
    opened: tuple[str, ...]


def graph(
    tasks: Sequence[Task], edges: Sequence[Edge], most: int, opened: Collection[str] = (), opened_most: int = 200
) -> Graph:
    """tasks and edges: as `connected` has them. opened: keys of groups whose first `opened_most` tasks are drawn."""
    if len(tasks) <= most:
        nodes = [Node(task.id, (position,)) for position, task in enumerate(tasks)]
        return _graph(nodes, edges, len(tasks), ())
    words = _partition(tasks, edges, max(most, FEWEST_GROUPS))
    members: dict[tuple[str, str], list[int]] = {}
    for position, word in enumerate(words):
        members.setdefault(word, []).append(position)
    ids = {task.id for task in tasks}
    nodes, open_ones = [], []
    for (name, stage), positions in members.items():
        key = _free_key(f"{name}@{stage}", ids)
        single = positions[: opened_most if key in opened else 0]
        if single:
            open_ones.append(key)
        rest = positions[len(single) :]
        if len(rest) == 1:
            single, rest = [*single, *rest], []
        nodes += [Node(tasks[position].id, (position,)) for position in single]
        if rest:
            nodes.append(Node(key, tuple(rest), name, opened=bool(single)))
    return _graph(nodes, edges, len(tasks), tuple(open_ones))


def _free_key(key: str, ids: Collection[str]) -> str:
    while key in ids:
        key += "+"
    return key


def _graph(nodes: list[Node], edges: Sequence[Edge], count: int, opened: tuple[str, ...]) -> Graph:
    node_of = [0] * count
    for number, node in enumerate(nodes):
        for position in node.members:
            node_of[position] = number
    counts: dict[tuple[int, int], list[int]] = {}
    for above, below, created in edges:
        ends = (node_of[above], node_of[below])
        if ends[0] != ends[1]:
            found = counts.setdefault(ends, [0, 0])
            found[0] += 1
            found[1] += created
    order = _order(nodes, list(counts))
    place = {number: rank for rank, number in enumerate(order)}
    links = [Link(place[above], place[below], n, n == created) for (above, below), (n, created) in counts.items()]
    return Graph([nodes[number] for number in order], sorted(links), [place[number] for number in node_of], opened)


def _order(nodes: Sequence[Node], pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Upstream first; what may come first does so in the order of its first task."""
    if all(len(node.members) == 1 for node in nodes):
        return sorted(range(len(nodes)), key=lambda number: nodes[number].members)
    ranks = longest(len(nodes), pairs, order=_topological(len(nodes), pairs))
    return sorted(range(len(nodes)), key=lambda number: (ranks[number], nodes[number].members[0]))


def longest(count: int, pairs: Sequence[tuple[int, int]], order: Sequence[int] | None = None) -> list[int]:
    """Of each node the length of the longest way to it; `order`: upstream first, by default as they are numbered."""
    above: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in pairs:
        above[lower].append(upper)
    ranks = [0] * count
    for position in range(count) if order is None else order:
        ranks[position] = max((ranks[upper] + 1 for upper in above[position]), default=0)
    return ranks


def _topological(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    import igraph

    order: list[int] = igraph.Graph(count, pairs, directed=True).topological_sorting()
    return order


def _partition(tasks: Sequence[Task], edges: Sequence[Edge], most: int) -> list[tuple[str, str]]:
    """(name, stage) of each task. The first way to form groups that needs at most `most` of them; the last one does.

    Workflows in which names alternate without end have no end of stages: there, names that lead to each other are one
    group. Where each task has a name of its own, names that differ in numbers only are one, and if even these are too
    many, groups are spans of the longest way, whatever the names.
    """
    names = [task.name for task in tasks]
    patterns = [_DIGITS.sub("#", name) for name in names]
    ways: list[Callable[[], list[tuple[str, str]]]] = [
        lambda: _by_stage(names, edges),
        lambda: _by_circle(names, edges),
        lambda: _by_stage(patterns, edges),
        lambda: _by_circle(patterns, edges),
    ]
    for way in ways:
        found = way()
        if len(set(found)) <= most:
            return found
    ranks = longest(len(tasks), [edge[:2] for edge in edges])
    span = -(-(max(ranks) + 1) // most)
    return [("tasks", str(rank // span)) for rank in ranks]


def _by_stage(words: Sequence[str], edges: Sequence[Edge]) -> list[tuple[str, str]]:
    stages = [0] * len(words)
    # Edges in the order of their lower end: the stage above is final when it is asked for.
    for above, below, _ in sorted(edges, key=lambda edge: edge.below):
        stages[below] = max(stages[below], stages[above] + (words[above] != words[below]))
    return [(word, str(stage)) for word, stage in zip(words, stages, strict=True)]


def _by_circle(words: Sequence[str], edges: Sequence[Edge]) -> list[tuple[str, str]]:
    import igraph

    place = {word: number for number, word in enumerate(dict.fromkeys(words))}
    pairs = {(place[words[above]], place[words[below]]) for above, below, _ in edges}
    every = list(place)
    found = [("", "")] * len(every)
    for circle in igraph.Graph(len(every), sorted(pairs), directed=True).connected_components(mode="strong"):
        names = [every[number] for number in sorted(circle)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        for number in circle:
            found[number] = (", ".join(names[:_NAMED]) + more, str(min(circle)))
    return [found[place[word]] for word in words]
