"""A DAG of tasks as SVG: grouped where there are too many, laid out, drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from wfstore._text import number
from wfstore.draw import _boxes
from wfstore.draw._grouping import Graph, Node, graph
from wfstore.draw._layout import HEIGHT, WIDTH, Point, layout
from wfstore.draw._routing import Router, path
from wfstore.draw._rows import Task, connected, read
from wfstore.draw._style import STYLE
from wfstore.draw._text import attribute, node_id

#: Room around the drawing, in pixels.
_MARGIN = 16
#: Up to so many tasks, each is a stop of the tabulator key; above, a page's table of tasks is the better way.
_FOCUSABLE = 60

#: key of a node -> its left edge, its upper edge, its width, its height, in pixels of the drawing.
Boxes = Mapping[str, tuple[float, float, float, float]]


@dataclass(frozen=True, slots=True)
class Group:
    """Several tasks drawn as one node.

    label: what the node says, as "map x4,000"; name: the tasks' common name; statuses: status -> how many;
    tasks: their ids, upstream first; opened: it is in `opened`, and these are those for which there was no room.
    """

    label: str
    name: str
    count: int
    statuses: dict[str, int]
    tasks: tuple[str, ...]
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Dag:
    """A drawing.

    svg: one <svg> element of width x height pixels; nodes: of each drawn task (by its id) and group (by its key) the
    box, whose first two numbers are what `placed` of the next drawing wants; groups: by key, those drawn as one node;
    where: task id -> key of the node that shows it; opened: keys that are drawn as tasks now.
    """

    svg: str
    width: float
    height: float
    nodes: Boxes
    groups: Mapping[str, Group]
    where: Mapping[str, str]
    opened: tuple[str, ...]


def dag(
    tasks: Sequence[Mapping[str, Any]],
    *,
    critical: Collection[str] = (),
    link: Callable[[str], str] | None = None,
    group_link: Callable[[str], str] | None = None,
    most: int = 1000,
    opened: Collection[str] = (),
    opened_most: int = 200,
    placed: Mapping[str, tuple[float, float]] | None = None,
    standalone: bool = False,
    prefix: str = "",
) -> Dag:
    """Draw the tasks of one workflow.

    tasks: rows of `tasks` or `live_tasks`; used are task_id, name, status, upstream, creator, duration_s, elapsed_s,
    attempts, type, progress (0 to 1), error_type, slack_s. Upstream ids that are no row are ignored.
    critical: ids of the tasks on the critical path, drawn heavier.
    link: task id -> URL of its page; group_link: key of a group -> URL that opens it (of one that is open: that shows
    its further tasks).
    most: with more tasks than this, tasks of one name and stage become one node; a stage is how often the name has
    changed on the way to a task. opened: keys of groups that are drawn as tasks all the same, the first `opened_most`
    of them, and one more node for the rest.
    placed: key -> (left, top) of an earlier drawing's `nodes`: what was drawn stays where it was, what is new finds
    room in the rows below what leads to it. Only what can no longer stay without an edge going upwards is moved.
    standalone: with `STYLE` inside, for where there is no page around it.
    prefix: before every element id, where several drawings share a page.

    Each node is a <g class="node st-STATUS"> with id `node_id(task_id)`, data-task, data-status (a group: class
    "group", data-group, data-count), a <title>, and in it .name, .facts, <path class="icon"> in the shape of the
    status, and .progress with a width where progress is known. Edges are <path class="edge"> with data-from and
    data-to (ids of nodes), those to a continuation "created", those of the critical path "critical".
    """
    every, edges = connected(read(tasks))
    drawn = graph(every, edges, most, frozenset(opened), opened_most)
    keys = [node.key for node in drawn.nodes]
    places = {key: place for place, key in enumerate(keys)}
    known = {places[key]: spot for key, spot in (placed or {}).items() if key in places}
    spots = layout(len(keys), [(link.above, link.below) for link in drawn.links], known)
    groups = {node.key: _group(node, every) for node in drawn.nodes if node.group is not None}
    path_ids = frozenset(critical)
    on_path = {place for place, node in enumerate(drawn.nodes) if any(every[m].id in path_ids for m in node.members)}
    parts = _edges(drawn, spots, on_path, prefix)
    for place, node in enumerate(drawn.nodes):
        look = _boxes.Look(spots[place], place in on_path, prefix)
        if node.key in groups:
            spent = [seconds for m in node.members if (seconds := every[m].spent_s) is not None]
            url = group_link(node.key) if group_link else None
            facts = groups[node.key].label, groups[node.key].statuses, median(spent) if spent else None
            parts.append(_boxes.group(node.key, *facts, look, url))
        else:
            url = link(node.key) if link else None
            parts.append(_boxes.task(every[node.members[0]], look, url, focusable=len(keys) <= _FOCUSABLE))
    svg, width, height = _svg(_said(every, groups), spots, parts, standalone)
    nodes = {key: (*spot, float(WIDTH), float(HEIGHT)) for key, spot in zip(keys, spots, strict=True)}
    where = {task.id: keys[place] for task, place in zip(every, drawn.node_of, strict=True)}
    return Dag(svg, width, height, nodes, groups, where, drawn.opened)


def _group(node: Node, tasks: Sequence[Task]) -> Group:
    name, count = node.group or "", number(len(node.members))
    statuses = Counter(tasks[member].status for member in node.members)
    label = f"and {count} more {name}" if node.opened else f"{name} x{count}"
    ids = tuple(tasks[member].id for member in node.members)
    return Group(label, name, len(ids), dict(statuses.most_common()), ids, node.opened)


def _edges(drawn: Graph, spots: Sequence[Point], on_path: Collection[int], prefix: str) -> list[str]:
    """Heavy ones last, so that they lie on top."""
    router = Router(spots)
    ids = [attribute(node_id(node.key, prefix)) for node in drawn.nodes]
    # Between two tasks of the path there may be a shorter way too; the path came by the last that it waited for.
    last = {link.below: link.above for link in drawn.links if link.above in on_path and link.below in on_path}
    light: list[str] = []
    heavy: list[str] = []
    for link in drawn.links:
        points = router.way(link.above, link.below)
        critical = last.get(link.below) == link.above
        names = f"edge{' created' * link.created}{' critical' * critical}{' many' * (link.edges > 1)}"
        ends = f'data-from="{ids[link.above]}" data-to="{ids[link.below]}"'
        text = f'<path class="{names}" {ends} d="{path(points)}{_boxes.ARROW}"/>'
        if link.edges > 1:
            (x1, y1), (x2, y2) = points[-2:]
            text += (
                f'<text class="count" x="{(x1 + x2) / 2:.9g}" y="{(y1 + y2) / 2 + 4:.9g}">{number(link.edges)}</text>'
            )
        (heavy if critical else light).append(text)
    return light + heavy


def _said(tasks: Sequence[Task], groups: Mapping[str, Group]) -> str:
    said = f"DAG of {number(len(tasks))} task{'s' * (len(tasks) != 1)}"
    within = number(sum(group.count for group in groups.values()))
    return f"{said}, {within} of them in {number(len(groups))} groups" if groups else said


def _svg(label: str, spots: Sequence[Point], parts: Sequence[str], standalone: bool) -> tuple[str, float, float]:
    """The whole drawing, its width and its height."""
    xs, ys = [x for x, _ in spots] or [0.0], [y for _, y in spots] or [0.0]
    left, top = min(xs) - _MARGIN, min(ys) - _MARGIN
    width, height = max(xs) + WIDTH + _MARGIN - left, max(ys) + HEIGHT + _MARGIN - top
    if not spots:
        width, height = 240.0, 48.0
        parts = [f'<text x="{left + _MARGIN}" y="{top + 28}">No tasks yet.</text>']
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wf-draw dag" role="group" aria-label="{label}" '
        f'width="{width:.9g}" height="{height:.9g}" viewBox="{left:.9g} {top:.9g} {width:.9g} {height:.9g}">'
    )
    style = f"<style>{STYLE}</style>" if standalone else ""
    return f"{head}{style}{''.join(parts)}</svg>", width, height
