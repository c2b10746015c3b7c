"""Ctrl-C ends a statement at once, however long DuckDB would be at it.

Python sees a signal in its main thread alone, and not before DuckDB gives that back, which can be hours. So whatever is
asked in the main thread is asked by another one, for which the main one waits, where it can be called away.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias, TypeVar

from wfstore.index.database import Connection

#: So often a thread that waits looks for signals. It would not be woken by one: polars has them go on with the wait.
_LOOK_S = 0.1
#: How long a statement that was interrupted has to end before it is told again.
_AGAIN_S = 0.05
_Answer = TypeVar("_Answer")
_Question: TypeAlias = tuple[Callable[[], Any], list[Any], threading.Lock]


class _Raised(NamedTuple):
    error: BaseException


def interruptible(connection: Connection, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` returns or raises, which runs statements on `connection`; none is under way any more when it raises.

    Whatever a handler of signals raises in the main thread, such as KeyboardInterrupt, ends them.
    """
    if threading.current_thread() is not threading.main_thread():
        return ask()
    said: list[_Answer | _Raised] = []
    ended = threading.Lock()
    ended.acquire()
    asker = _free.pop() if _free else _Asker()
    asker.questions.put((ask, said, ended))
    try:
        while not ended.acquire(timeout=_LOOK_S):
            continue
    except BaseException:
        while not said:  # it may be between two statements, where nothing hears of it
            connection.interrupt()
            ended.acquire(timeout=_AGAIN_S)
        raise
    finally:
        _free.append(asker)
    (answer,) = said
    if isinstance(answer, _Raised):
        raise answer.error
    return answer


class _Asker(threading.Thread):
    """Asks one question after the other, until there is None."""

    def __init__(self) -> None:
        super().__init__(name="wfstore-statements", daemon=True)
        self.questions: SimpleQueue[_Question | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """For `threading`."""
        while (question := self.questions.get()) is not None:
            ask, said, ended = question
            try:
                said.append(ask())
            except BaseException as error:
                said.append(_Raised(error))
            # Whoever lets go of a store closes it; a thread that waits for something else must not have it still.
            del question, ask, said
            ended.release()


#: There is one, but where a handler of signals asks something while the first is at work.
_free: list[_Asker] = []
os.register_at_fork(after_in_child=_free.clear)


@atexit.register
def _close() -> None:
    """DuckDB complains of a thread that is there until the end."""
    while _free:
        asker = _free.pop()
        asker.questions.put(None)
        asker.join()
