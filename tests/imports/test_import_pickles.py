"""Old pickles: what they say without being run, and how they are opened with stand-ins."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from tests.imports.folders import DUMMY, KEYS, Call, add, dumps, object_ref, script_function, upstream
from wfstore.payloads import loads
from wfstore.traces.rayworkflow.peek import OPAQUE, exception_facts, function_name, is_plain, peek
from wfstore.traces.rayworkflow.pickles import Arguments, Wrapped, arguments, names_removed, object_keys, reopen


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_peeking_runs_nothing(tmp_path: Path) -> None:
    data = pickle.dumps([1, Bomb(tmp_path / "bang")])
    root = peek(data)
    assert root[0] == 1 and not is_plain(root)
    assert not (tmp_path / "bang").exists()


@pytest.mark.parametrize("value", [None, 1, "x", [1, {"a": (2.5, b"y")}], {1, 2}, frozenset({3})])
def test_plain_data_are_themselves(value: Any) -> None:
    assert is_plain(peek(pickle.dumps(value))) and peek(pickle.dumps(value)) == value


@pytest.mark.parametrize("data", [b"", b"\x80\x05", b"garbage", pickle.dumps([1])[:-3], b"\x80\x05P0\n."])
def test_damage_is_opaque(data: bytes) -> None:
    assert peek(data) is OPAQUE and not is_plain(OPAQUE)


def test_functions_have_names() -> None:
    own = script_function("def inner(x):\n    return x\n", "inner")
    assert function_name(peek(cloudpickle.dumps(add))) == "tests.imports.folders.add"
    assert function_name(peek(cloudpickle.dumps(own))) == "__main__.inner"
    assert function_name(peek(pickle.dumps(3))) is None


def test_exceptions_have_types_and_messages() -> None:
    own = script_function("class Refused(ValueError):\n    pass\n", "Refused")
    assert exception_facts(peek(pickle.dumps(ValueError("no")))) == ("ValueError", "no")
    assert exception_facts(peek(pickle.dumps(KeyError("a", 1)))) == ("KeyError", "('a', 1)")
    assert exception_facts(peek(cloudpickle.dumps(own("never")))) == ("Refused", "never")
    assert exception_facts(peek(pickle.dumps(ValueError(Path("x"))))) == ("ValueError", None)
    assert exception_facts(OPAQUE) == (None, None)


def test_positions_and_names_become_args_and_kwargs() -> None:
    data = dumps([DUMMY, 1, DUMMY, upstream(0), "key", [upstream(1)]])
    assert arguments(data, {0: "zero"}, {1: "ref one"}) == ((1, "zero"), {"key": ["ref one"]})


def test_what_is_used_both_ways_is_a_value_and_a_reference() -> None:
    shared = upstream(0)
    data = dumps([DUMMY, shared, DUMMY, {"in": shared}])
    assert arguments(data, {0: "value"}, {0: "reference"}) == (("value", {"in": "reference"}), {})


def test_object_refs_are_found_by_their_key() -> None:
    data = dumps([DUMMY, object_ref(KEYS[0]), DUMMY, [object_ref(KEYS[1])]])
    assert object_keys(data) == KEYS[:2]
    assert arguments(data, {KEYS[0]: "value"}, {KEYS[1]: "reference"}) == (("value", ["reference"]), {})


def test_wrapped_pickles_open_by_themselves() -> None:
    inner = Wrapped(dumps({"b": object_ref(KEYS[1])}), {KEYS[1]: Wrapped(dumps("bottom"), {})})
    data = pickle.dumps(Wrapped(dumps(["a", object_ref(KEYS[0])]), {KEYS[0]: inner}))
    assert loads(data) == ["a", {"b": "bottom"}]


def test_wrapped_arguments_open_by_themselves() -> None:
    data = pickle.dumps(Arguments(dumps([DUMMY, upstream(0)]), {0: "x"}, {}))
    assert loads(data) == (("x",), {})


def test_what_wfstore_does_not_have_is_named() -> None:
    data = dumps(Call("gone_for_good"))
    assert names_removed(data)
    with pytest.raises(AttributeError, match=r"ray.workflow.api.gone_for_good, which wfstore.workflow does not have"):
        reopen(data, {})


def test_arguments_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not arguments that ray\.workflow kept"):
        arguments(dumps({"a": 1}), {}, {})


def test_the_api_is_found_in_its_new_home() -> None:
    from wfstore import workflow

    for pickled in (b"cray.workflow\ncontinuation\n.", b"cray.workflow.api\ncontinuation\n."):
        assert reopen(pickled, {}) is workflow.continuation
    assert reopen(b"cray.workflow.common\nWorkflowStatus\n.", {}) is workflow.WorkflowStatus
    assert reopen(b"cray.cloudpickle.cloudpickle\nsubimport\n(Vray.workflow\ntR.", {}) is workflow


def test_opening_imports_no_ray_unless_the_pickle_does() -> None:
    program = """
import sys
from tests.imports.folders import DUMMY, KEYS, dumps, object_ref, upstream
from wfstore.traces.rayworkflow.pickles import arguments, reopen
assert arguments(dumps([DUMMY, upstream(0)]), {0: 5}, {}) == ((5,), {})
assert reopen(dumps([object_ref(KEYS[0])]), {KEYS[0]: 7}) == [7]
import wfstore.imports
assert "ray" not in sys.modules and "duckdb" not in sys.modules
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
