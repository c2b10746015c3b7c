"""What a store need not keep any longer: workflows that ended long ago, and values whose workflows did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from wfstore.index.catalog import folder
from wfstore.index.filters import length
from wfstore.index.history import to_polars
from wfstore.index.tail import Index

_NAMES = ("keep_s", "keep_failed_s", "payloads_s")


class Policy(NamedTuple):
    """How long what stays after its workflow has ended, in seconds; None: for ever. keep: successful and canceled
    workflows, and failed ones where keep_failed does not say otherwise; payloads: values, while the history stays."""

    keep_s: float | None = None
    keep_failed_s: float | None = None
    payloads_s: float | None = None

    @classmethod
    def of(
        cls,
        keep: timedelta | str | None,
        keep_failed: timedelta | str | None,
        payloads: timedelta | str | None,
    ) -> Policy:
        """From spans such as "90d". Raises ValueError."""
        return cls(*(None if span is None else length(span) for span in (keep, keep_failed, payloads)))

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Policy:
        """From the settings of a manifest."""
        return cls(*(settings.get(name) for name in _NAMES))

    @property
    def empty(self) -> bool:
        """Whether everything stays."""
        return self == Policy()


class Expired(NamedTuple):
    """workflow_id, status and last run of a workflow whose time is over."""

    workflow_id: str
    status: str
    run: int


def expired(index: Index, policy: Policy, now: datetime | None = None) -> list[Expired]:
    """Workflows that ended before their time of keeping; never an open one, nor a virtual actor."""
    if policy.keep_s is None and policy.keep_failed_s is None:
        return []
    failed = policy.keep_s if policy.keep_failed_s is None else policy.keep_failed_s
    params = {"ended_before": _before(policy.keep_s, now), "failed_before": _before(failed, now)}
    frame = to_polars(index.run(folder("store")["expired"], params))
    return [Expired(*row) for row in frame.iter_rows()]


def without_payloads(index: Index, policy: Policy, now: datetime | None = None) -> list[str]:
    """Ids of workflows that ended before the time for which values are kept; never an open one, nor an actor."""
    if policy.payloads_s is None:
        return []
    before = _before(policy.payloads_s, now)
    frame = to_polars(index.run(folder("store")["expired"], {"ended_before": before, "failed_before": before}))
    return frame["workflow_id"].to_list()


def referenced(index: Index, no_payloads: list[str]) -> set[str]:
    """sha256 of every payload file that something in the store may need, the workflows `no_payloads` left aside."""
    frame = to_polars(index.run(folder("store")["referenced"], {"no_payloads": no_payloads}))
    return set(frame["hash"].to_list())


def _before(span_s: float | None, now: datetime | None) -> datetime | None:
    moment = now or datetime.now(UTC).replace(tzinfo=None)
    return None if span_s is None else moment - timedelta(seconds=span_s)
