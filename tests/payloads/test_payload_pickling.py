"""Values to bytes and back, with Ray loaded and without."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfstore.errors import WfstoreError
from wfstore.payloads import SerializationError, Shared, Upstream, dumps, hash_of, loads

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(values)
def test_round_trip(value: Any) -> None:
    assert loads(dumps(value)) == value


def test_equal_plain_values_have_equal_bytes() -> None:
    assert hash_of(dumps("a")) == hash_of(dumps("a"))
    assert len(hash_of(b"")) == 64


class ReduceExits:
    def __reduce__(self) -> Any:
        raise SystemExit(3)


class ReduceInterrupted:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [threading.Lock(), (i for i in ()), ReduceExits(), deep(), {"x": threading.Lock()}])
def test_what_cannot_be_pickled_is_a_type_error_that_names_the_type(value: Any) -> None:
    with pytest.raises(SerializationError, match=type(value).__qualname__) as caught:
        dumps(value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, WfstoreError)
    assert "inside the task" in str(caught.value)
    again = loads(dumps(caught.value))
    assert (again.type_name, str(again)) == (caught.value.type_name, str(caught.value))


def test_an_interrupt_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        dumps(ReduceInterrupted())


def test_placeholders_are_plain_values() -> None:
    assert loads(dumps((Upstream(0), Shared(2)))) == (Upstream(0), Shared(2))
    assert Upstream(1) != Shared(1)
    assert repr(Upstream(1)) == "Upstream(1)"


WRITE = """
import sys
{preamble}
from wfstore.payloads import dumps
class Point:
    def __init__(self, x): self.x = x
def shift(p, by=1): return Point(p.x + by)
sys.stdout.write(dumps((Point(1), shift)).hex())
"""

READ = """
import sys
from wfstore.payloads import loads
point, shift = loads(bytes.fromhex(sys.stdin.read()))
assert shift(point).x == 2
assert "ray" not in sys.modules, "reading imported Ray"
"""


@pytest.mark.parametrize("preamble", ["import ray", ""])
def test_classes_of_a_script_are_read_back_without_ray(preamble: str) -> None:
    data = subprocess.run(
        [sys.executable, "-c", WRITE.format(preamble=preamble)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    subprocess.run([sys.executable, "-c", READ], input=data, text=True, check=True, timeout=60)
