"""SQL statements and HTTP requests of those who mean harm: the catalogues of the tests, and mutations of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dashboard.fakes import TOKEN, Running, running
from tests.dashboard.test_hostile import REQUESTS, sent, tells_nothing
from tests.index.test_sandbox_hostile import SECRET, STATEMENTS, everything, laid_out
from wfstore.dashboard.security import Security
from wfstore.errors import QueryError
from wfstore.index import database
from wfstore.index.sandbox import Sandbox

_BYTES = list(REQUESTS.values())
_HARMLESS = "SELECT count(*) AS n FROM workflows"


class Queries:
    """A sandbox over a store with a secret beside it. off: no gate, no lock, no process of its own."""

    def __init__(self, folder: Path, off: str | None) -> None:
        folder.mkdir(exist_ok=True)
        self._places = laid_out(folder)
        self._before = everything(self._places)
        os.environ["SECRET_OF_TEST"] = SECRET
        self._open = None if off is None else database.whole(replacements=True)
        self._sandbox = Sandbox(self._places["store"], processes=1, timeout_s=3.0)

    def close(self) -> None:
        self._sandbox.close()
        del os.environ["SECRET_OF_TEST"]

    def check(self, case: int) -> str:
        """Raises AssertionError when the statement got something that it should not."""
        statement = STATEMENTS[case % len(STATEMENTS)].format(**self._places)
        if case >= len(STATEMENTS):
            statement = mutated_statement(statement, random.Random(f"sql {case}"), self._places)
        said, word = self._told(statement)
        assert case >= len(STATEMENTS) or word == "refused", f"answered: {statement[:200]}"
        hidden = said.replace(statement, "")
        assert SECRET not in hidden, f"the secret was told to {statement[:300]}"
        folder = self._places["folder"]
        assert folder not in hidden or folder in statement, f"a path was told to {statement[:300]}: {hidden[:300]}"
        if self._open is None:
            assert self._sandbox.query(_HARMLESS).table.to_pylist() == [{"n": 9}], f"changed by {statement[:300]}"
            made = os.path.exists(self._places["target"])
            assert everything(self._places) == self._before and not made, f"a file was changed by {statement[:300]}"
        return word

    def _told(self, statement: str) -> tuple[str, str]:
        try:
            if self._open is not None:
                return str(self._open.execute(statement).fetchall()), "answered"
            return str(self._sandbox.query(statement).table.to_pylist()), "answered"
        except (QueryError, duckdb.Error) as error:
            return str(error), "refused"


def mutated_statement(statement: str, chance: random.Random, places: dict[str, str]) -> str:
    """Another way to say it, or to try it."""
    for _ in range(chance.randint(1, 3)):
        match chance.randrange(9):
            case 0:
                statement = "".join(chance.choice((c.upper(), c.lower())) for c in statement)
            case 1:
                statement = statement.replace(" ", chance.choice(("/**/", "\n", "\t ", "\u00a0", " -- x\n")))
            case 2:
                statement = f"SELECT * FROM ({statement}) AS t"
            case 3:
                statement = f"WITH t AS ({statement}) SELECT * FROM t, workflows"
            case 4:
                statement = (
                    chance.choice(("EXPLAIN ", "EXPLAIN ANALYZE ", "DESCRIBE ", "SUMMARIZE ", "PREPARE p AS "))
                    + statement
                )
            case 5:
                statement += chance.choice((";", "; SELECT 1", " UNION ALL SELECT 1", " --", "\0", " LIMIT 1"))
            case 6:
                at = chance.randrange(len(statement) + 1)
                statement = statement[:at] + statement[at + chance.randint(1, 3) :]
            case 7:
                at = chance.randrange(len(statement) + 1)
                statement = statement[:at] + chance.choice("'\"()[]{};,.*$\\%\0\u2028é") + statement[at:]
            case 8:
                other = chance.choice(STATEMENTS).format(**places)
                statement = f"SELECT ({statement}), ({other})"
    return statement


class Requests:
    """A dashboard on a real socket. off: nothing is checked before the application is asked."""

    def __init__(self, off: str | None) -> None:
        self._stack = contextlib.ExitStack()
        if off is not None:
            self._stack.enter_context(_open_doors())
        self._server: Running = self._stack.enter_context(running())

    def close(self) -> None:
        self._stack.close()

    def check(self, case: int) -> str:
        """Raises AssertionError when the request got through, or the server is not what it was."""
        request = _BYTES[case % len(_BYTES)]
        mutated = case >= len(_BYTES)
        if mutated:
            request = mutated_request(request, random.Random(f"http {case}"))
        answer = sent(self._server, request)
        status = int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0
        # With the token, the right host and nothing wrong, a mutation may be somebody's honest question.
        allowed = mutated and b"Authorization: Bearer " + TOKEN.encode() in request
        assert 400 <= status < 500 or not answer or (allowed and status < 400), f"{answer[:120]!r} to {request[:300]!r}"
        if status >= 400:
            tells_nothing(answer)
        honest = allowed and b"X-Wfstore-Action: 1" in request
        assert honest or self._server.observability.actions == [], f"carried out: {request[:300]!r}"
        self._server.observability.actions.clear()
        assert self._server.get("/api/counts").status_code == 200, f"the server is lost after {request[:300]!r}"
        return "closed" if not answer else f"status_{status // 100}xx"


@contextlib.contextmanager
def _open_doors() -> Iterator[None]:
    async def let_in(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    assert asyncio.iscoroutinefunction(Security.__call__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Security, "__call__", let_in)
        yield


def mutated_request(request: bytes, chance: random.Random) -> bytes:
    """The same with other bytes, other line ends, or lines of another one."""
    for _ in range(chance.randint(1, 3)):
        lines = request.split(b"\r\n")
        line, at = chance.randrange(len(lines)), chance.randrange(len(request) + 1)
        match chance.randrange(8):
            case 0:
                request = request[:at] + chance.randbytes(chance.choice((1, 1, 4, 40))) + request[at:]
            case 1:
                request = request[:at]
            case 2:
                lines.insert(line, lines[chance.randrange(len(lines))])
                request = b"\r\n".join(lines)
            case 3:
                del lines[line]
                request = b"\r\n".join(lines)
            case 4:
                request = chance.choice((b"\n", b"\r", b"\r\r\n")).join(lines)
            case 5:
                other = chance.choice(_BYTES).split(b"\r\n")
                lines[line] = other[min(line, len(other) - 1)]
                request = b"\r\n".join(lines)
            case 6:
                names = (b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"Host: evil.example",
                         b"Expect: 100-continue", b"Range: bytes=0-", b"Cookie: a=b; wfstore=x", b"Origin: null",
                         b"Last-Event-ID: \xff", b"Upgrade: h2c", b"X-HTTP-Method-Override: DELETE")  # fmt: skip
                lines.insert(1, chance.choice(names))
                request = b"\r\n".join(lines)
            case 7:
                request = request.swapcase()
    return request
