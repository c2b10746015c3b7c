"""The demo's work without a cluster: what it counts, and what it makes of a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from wfstore.cli.demo import analysis, replay
from wfstore.traces import Trace, TraceTask


def test_the_standard_library_is_listed_without_its_tests() -> None:
    listing = analysis.list_packages()

    assert "json/decoder.py" in listing["json"]
    assert "ast.py" in listing["modules a"]
    assert "__future__.py" in listing["modules f"]
    assert not {"test", "site-packages"} & set(listing)
    assert any(len(modules) > analysis.LARGE for modules in listing.values()), "nothing would be a continuation"


def test_a_package_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("class A:\n    def f(self):\n        if 1:\n            pass\n")
    (tmp_path / "b.py").write_text("async def g(): pass\n")
    (tmp_path / "c.py").write_text("print 'old'\n")
    monkeypatch.setattr(analysis, "library", lambda: tmp_path)

    measure = analysis.measure_modules("p", ["a.py", "b.py", "c.py"])
    assert measure == {
        "package": "p",
        "modules": 2,
        "lines": 5,
        "functions": 2,
        "classes": 1,
        "depth": 3,
        "deepest": "a.py",
        "unreadable": 1,
    }
    assert analysis.add_up("all", measure, measure) == {
        **measure, "package": "all", "modules": 4, "lines": 10, "functions": 4, "classes": 2, "unreadable": 2,
    }  # fmt: skip


def test_one_task_fails_once_and_one_always(tmp_path: Path) -> None:
    listing = {"json": ["json/decoder.py", "json/__init__.py"]}
    with pytest.raises(TimeoutError):
        analysis.largest_module(listing, str(tmp_path / "marker"))
    assert analysis.largest_module(listing, str(tmp_path / "marker"))[0] == "json/__init__.py"
    with pytest.raises(SyntaxError):
        analysis.parse_old_source()


def test_a_replayed_task_returns_bytes_of_its_own() -> None:
    first, second = replay.replay("a", 0.0, 1000), replay.replay("b", 0.0, 1000, b"x")
    assert (len(first), len(second)) == (1000, 1000)
    assert first != second
    assert first == replay.replay("a", 0.0, 1000)
    assert replay.trace_output(first, second) == 2000


def task(task_id: str, parents: tuple[str, ...], children: tuple[str, ...], size: int = 0) -> TraceTask:
    return TraceTask(task_id, f"{task_id}_7", task_id, parents, children, 10.0, 0, size)


def test_a_trace_becomes_a_dag_of_the_same_shape() -> None:
    from wfstore.cli.demo.dags import trace_dag

    tasks = (task("a", (), ("b", "c"), 5 * 10**9), task("b", ("a",), ()), task("c", ("a",), (), 2000))
    end = trace_dag(Trace("t.json", "t", "", tasks, {}), 0.001)

    b, c = end.args
    assert b.args[:3] == ("b", 0.01, 0)
    assert c.args[:3] == ("c", 0.01, 2)
    assert b.args[3] is c.args[3], "one task, however many children it has"
    assert b.args[3].args == ("a", 0.01, replay.OUTPUT_LIMIT_BYTES)
    assert b.task.settings.name == "b"


def test_a_chain_of_any_length_is_built() -> None:
    from wfstore.cli.demo.dags import trace_dag

    names = [str(number) for number in range(5000)]
    tasks = tuple(
        task(name, (names[i - 1],) if i else (), (names[i + 1],) if i + 1 < len(names) else ())
        for i, name in enumerate(names)
    )
    assert trace_dag(Trace("t.json", "t", "", tasks, {}), 0.0).args[0] == "4999"
