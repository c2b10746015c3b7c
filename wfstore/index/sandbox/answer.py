"""What a sandbox promises and says: its limits, its answers, its own errors."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from wfstore.errors import QueryError


class QueryTimeoutError(QueryError, TimeoutError):
    """The query took longer than the sandbox allows, and was stopped."""


class SandboxBusyError(QueryError):
    """As many queries run as the sandbox takes at a time; none of the query was done. Try again in a moment."""


@dataclass(frozen=True, slots=True)
class Limits:
    """memory_bytes: of a query, beside the rows of the log; timeout_s: of it alone, without reading what is new in the
    log; most_rows, most_bytes: of an answer; processes: how many queries at a time; patience_s: how long another waits.
    """

    memory_bytes: int
    timeout_s: float
    most_rows: int
    most_bytes: int
    processes: int
    patience_s: float

    def __post_init__(self) -> None:
        """Raises ValueError for a limit below 1 (below 0: patience_s; not above 0: timeout_s)."""
        for name in ("memory_bytes", "most_rows", "most_bytes", "processes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} has to be at least 1, not {getattr(self, name)}")
        if self.timeout_s <= 0 or self.patience_s < 0:
            raise ValueError("timeout_s has to be above 0, and patience_s not below")

    @property
    def memory_words(self) -> str:
        """What is said of a query that wants more."""
        return f"the query needs more memory than the {self.memory_bytes / 1e6:,.0f} MB it may use"


@dataclass(frozen=True, slots=True)
class Answer:
    """table: the first rows; truncated: whether there are more; elapsed_s: of the query alone; total_rows: how many
    there are in all, None where counting would have taken long; types: of the columns, as DuckDB calls them."""

    table: pa.Table
    truncated: bool
    elapsed_s: float
    total_rows: int | None
    types: list[str]
