"""What `Store` answers about money and about errors of one kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import polars as pl

from wfstore.answers import cost as answer

if TYPE_CHECKING:
    from wfstore.answers.cost import Prices
    from wfstore.index.filters import Moment


class Costs(ABC):
    """For `Store`, which says how a report is read."""

    @abstractmethod
    def report(self, name: str, **params: Any) -> pl.DataFrame:
        """The rows of a report. Raises ValueError."""

    def cost(
        self,
        by: str = "name",
        prices: Prices = None,
        *,
        currency: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """What ended attempts cost, the dearest first: rows of the report `cost`, whose columns say what of it came to
        nothing. The groups add up to the whole, and the parts of a group to the group.

        by: "name" (of the workflows), "workflow", "task_key", "user" (metadata "user", else who the log says submitted
        it) or "metadata.KEY". prices: per hour, ``{"cpu": 0.04, "gpu": 2.5, "memory": 0.005, "my_resource": 1.0}``
        (memory: a GiB of it), or a JSON or TOML file of that; without prices the cost is in CPU hours. currency: only
        repeated in the answer. since, until: of the submission of the attempts; name: of the workflows.

        Raises ValueError for what is no price list or cannot be grouped by, OSError for a file that cannot be read.
        """
        known = answer.price_list(prices, currency)
        given = {"currency": currency} if known is None else {"prices": known.json(), "currency": known.currency}
        limits = {"since": since, "until": until, "workflow": name, "limit": limit}
        return self.report("cost", by=answer.group(by), **given, **limits)

    def similar_errors(
        self,
        fingerprint: str | None = None,
        *,
        error_type: str | None = None,
        min_similarity: float = 0.9,
        each: int = 5,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = 100,
    ) -> pl.DataFrame:
        """Failed attempts with a fingerprint (of `failures` or `new_errors`; a message will do), and near ones of the
        same type of error, the most similar first: rows of the report `similar_errors`.

        similarity: of Jaro and Winkler, 1 where fingerprints are the same. each: so many attempts of each fingerprint,
        the last ones; without a fingerprint that of the last failure counts. Raises ValueError.
        """
        limits = {"since": since, "until": until, "limit": limit}
        chosen = {"error_type": error_type, "min_similarity": min_similarity, "each": each}
        return self.report("similar_errors", fingerprint=fingerprint, **chosen, **limits)
