"""Price lists and groupings of `Store.cost`, read and checked; the sums themselves are the report `cost`.

A price list is what an hour of each resource costs: cpu, gpu, memory (a GiB of it), and custom resources by the names
that tasks ask for. A file of it is JSON or TOML, and may say the currency, too::

    currency = "EUR"
    cpu = 0.04
    gpu = 2.5
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Prices: TypeAlias = Mapping[str, float] | str | os.PathLike[str] | None

#: What can be grouped by beside ``metadata.KEY``.
GROUPS = ("name", "workflow", "task_key", "user")
_METADATA = "metadata."
_DEAREST = 1e9


class PriceList(NamedTuple):
    """per_hour: price of each resource; currency: what the prices are in, where that was said."""

    per_hour: dict[str, float]
    currency: str | None = None

    def json(self) -> str:
        """As the report `cost` takes it."""
        return json.dumps(self.per_hour, sort_keys=True)


def group(by: str) -> str:
    """`by` as the report takes it. Raises ValueError naming what there is."""
    if by in GROUPS or (by.startswith(_METADATA) and len(by) > len(_METADATA)):
        return by
    raise ValueError(f"cost cannot be summed by {by!r}; there are: {', '.join(GROUPS)}, metadata.KEY")


def price_list(prices: Prices, currency: str | None = None) -> PriceList | None:
    """A mapping, or a file of one, as a price list; None where nothing is said. `currency` goes before the file's.

    Raises ValueError for what is no price list, naming the entry; OSError for a file that cannot be read.
    """
    if prices is None:
        return None
    named = "the price list" if isinstance(prices, Mapping) else f"the price list {os.fspath(prices)}"
    given = dict(prices) if isinstance(prices, Mapping) else _read(Path(prices), named)
    said = given.pop("currency", None)
    if said is not None and not isinstance(said, str):
        raise ValueError(f"{named}: currency is {said!r}; it has to be text such as EUR")
    if not given:
        raise ValueError(f"{named} has no prices; it takes cpu, gpu, memory (per GiB) or custom resources, per hour")
    return PriceList({str(name): _price(name, value, named) for name, value in given.items()}, currency or said)


def parsed(text: str) -> dict[str, float]:
    """``cpu=0.04,gpu=2.5`` as a mapping. Raises ValueError."""
    found: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name or name in found:
            raise ValueError(f"{item!r} is not RESOURCE=PRICE, once for each resource, as in cpu=0.04,gpu=2.5")
        try:
            found[name] = float(value)
        except ValueError:
            raise ValueError(f"{item!r}: {value!r} is not a number") from None
    return found


def _read(path: Path, named: str) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        found = tomllib.loads(data.decode()) if path.suffix.lower() == ".toml" else json.loads(data)
    except ValueError as error:
        raise ValueError(f"{named} is neither JSON nor TOML (by its ending .toml): {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{named} has to be an object of prices by resource, not {type(found).__name__}")
    return found


def _price(name: object, value: object, named: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{named}: {name} is {value!r}; a price per hour has to be a number from 0")
    if value > _DEAREST:
        raise ValueError(f"{named}: {name} is {value!r}; a price per hour is at most {_DEAREST:.0e}")
    return float(value)
