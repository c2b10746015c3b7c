"""What a store need not keep any longer: workflows that ended long ago, and values whose workflows did."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from wfstore.index.catalog import folder
from wfstore.index.filters import length
from wfstore.index.history import to_polars
from wfstore.index.tail import Index

_NAMES = ("keep_s", "keep_failed_s", "payloads_s")
_POLICY, _DROPPED = "retention", "payloads_dropped"


class NoPolicyError(ValueError):
    """Nobody said how long to keep what."""


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
        """Out of the settings of a manifest; one that keeps everything where there is none."""
        kept = settings.get(_POLICY, {})
        return cls(*(kept.get(name) for name in _NAMES))

    def within(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a manifest with this policy in them."""
        return {**settings, _POLICY: self._asdict()}

    @property
    def empty(self) -> bool:
        """Whether everything stays."""
        return self == Policy()


class Dropped(NamedTuple):
    """Values of workflows that were submitted before the event `next_seq`, and ended before `ended_before`
    (microseconds UTC), are out of the history files."""

    ended_before: int = 0
    next_seq: int = 0

    def covers(self, workflow: Expired) -> bool:
        """Whether its values are gone."""
        return workflow.submitted_seq < self.next_seq and workflow.ended_at < self.ended_before

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Dropped:
        """Out of the settings of a manifest: what retention has done so far."""
        return cls(**settings.get(_DROPPED, {}))

    def within(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a manifest with this in them, where it says more than what stands there."""
        said = max(self, Dropped.parse(settings))
        return {**settings, _DROPPED: said._asdict()}


class Expired(NamedTuple):
    """A workflow whose time is over. run: the last one under its id, of a deleted predecessor too, from 1; 0: none;
    ended_at: microseconds UTC."""

    workflow_id: str
    status: str
    run: int
    submitted_seq: int
    ended_at: int


def expired(index: Index, policy: Policy, now: datetime) -> list[Expired]:
    """Workflows that ended before their time of keeping, counted from `now` (UTC without a zone); never an open one,
    nor a virtual actor."""
    failed = policy.keep_s if policy.keep_failed_s is None else policy.keep_failed_s
    return _ended(index, before(policy.keep_s, now), before(failed, now))


def without_payloads(index: Index, policy: Policy, now: datetime) -> list[Expired]:
    """Workflows that ended before the time for which values are kept; never an open one, nor an actor."""
    moment = before(policy.payloads_s, now)
    return _ended(index, moment, moment)


def _ended(index: Index, ended_before: datetime | None, failed_before: datetime | None) -> list[Expired]:
    if ended_before is None and failed_before is None:
        return []
    params = {"ended_before": ended_before, "failed_before": failed_before}
    frame = to_polars(index.run(folder("store")["expired"], params))
    return [Expired(*row) for row in frame.iter_rows()]


def referenced(index: Index, no_payloads: Collection[str] = (), *, purged: bool = False) -> set[str]:
    """sha256 of every payload file that something in the store may need, the workflows `no_payloads` left aside.

    purged: leave aside what was deleted, as well: otherwise it counts for as long as history files and log have it.
    """
    params = {"no_payloads": list(no_payloads), "purged": purged}
    frame = to_polars(index.run(folder("store")["referenced"], params))
    return set(frame["hash"].to_list())


def utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def before(span_s: float | None, now: datetime) -> datetime | None:
    """The moment that a span reaches back to; None: there is none."""
    return None if span_s is None else now - timedelta(seconds=span_s)
