"""Small histories for comparisons, whose numbers can be worked out by hand."""

from __future__ import annotations

from tests.index.worlds import dag, spec
from tests.reports.stories import Story
from wfstore.model.commands import Resume


def two() -> Story:
    """list -> map, map_1 -> total; and the day after list -> map, map_1, map_2 -> total, save.

    a: list 1-3, map 4-8, map_1 4-5, total 9-10: the longest path is list, map, total; map_1 could end 3 s later
    b: list 1-3, map 4-9, map_1 4-7, map_2 4-5, total 10-12 with other options, save 13-14; from its second 0 on
    """
    story = Story()
    story.now(0)
    story.submit(
        "a", dag(spec("list"), spec("map", 0), spec("map", 0), spec("total", 1, 2)), {"name": "shop", "day": 1}
    )
    for task_id, began, ended in (("list", 1, 3), ("map_1", 4, 5), ("map", 4, 8), ("total", 9, 10)):
        story.ok("a", task_id, began, ended)
    day = 86_400
    story.now(day)
    maps = [spec("map", 0) for _ in range(3)]
    tasks = dag(spec("list"), *maps, spec("total", 1, 2, 3, max_retries=7), spec("save", 4))
    story.submit("b", tasks, {"name": "shop", "day": 2})
    for task_id, began, ended in (("list", 1, 3), ("map_2", 4, 5), ("map_1", 4, 7), ("map", 4, 9), ("total", 10, 12)):
        story.ok("b", task_id, day + began, day + ended)
    story.ok("b", "save", day + 13, day + 14)
    return story


def resumed() -> Story:
    """load 1-2, work fails 3-5; resumed at 20: work 21-24, and save 25-26."""
    story = Story()
    story.now(0)
    story.submit("w", dag(spec("load"), spec("work", 0), spec("save", 1)))
    story.ok("w", "load", 1, 2)
    story.bad("w", "work", 3, 5, "no space left")
    story.now(20)
    story.do(Resume("w"))
    story.ok("w", "work", 21, 24)
    story.ok("w", "save", 25, 26)
    return story


def slower() -> Story:
    """Workflows w0 to w39 of one task, 100 s apart; it takes 10 s, from w20 on (second 2,000) 20 s."""
    story = Story()
    for number in range(40):
        story.now(100 * number)
        story.submit(f"w{number}", dag(spec("work")), {"name": "flow"})
        story.ok(f"w{number}", "work", 100 * number + 1, 100 * number + (11 if number < 20 else 21))
    return story
