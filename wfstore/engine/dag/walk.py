"""Post-order of a graph without recursion: a chain may be longer than Python's stack is deep."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

N = TypeVar("N")


def post_order(root: N, key: Callable[[N], Hashable], below: Callable[[N], Iterable[N]]) -> list[N]:
    """Every node once, those below it first, in the order in which they are named.

    Raises ValueError for a cycle, which only a container changed after it was bound can make.
    """
    done: list[N] = []
    is_done: dict[Hashable, bool] = {key(root): False}
    stack: list[tuple[N, Iterator[N]]] = [(root, iter(below(root)))]
    while stack:
        node, rest = stack[-1]
        for child in rest:
            child_key = key(child)
            state = is_done.get(child_key)
            if state is False:
                raise ValueError("the DAG has a cycle: a node is among its own arguments")
            if state is None:
                is_done[child_key] = False
                stack.append((child, iter(below(child))))
                break
        else:
            stack.pop()
            is_done[key(node)] = True
            done.append(node)
    return done
