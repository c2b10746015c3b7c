"""The shape of what durations leave unexplained, as one table that gives quantiles and what lies beyond a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: From so many residuals on their own shape counts, below it is that of a normal distribution.
_OWN_SHAPE = 40
_POINTS = 4096
_EDGE = 0.02


class Shape:
    """A distribution around 0 with about unit spread, of logarithms of durations.

    The middle is an empirical distribution, spread as Student's t is for a scale known by `freedom` degrees only. Both
    ends, 2 % each, are exponential with the mean excess found there (peaks over a threshold), so there is always
    something beyond: of durations this is a Pareto tail, "the longer it has taken, the longer it will".
    """

    def __init__(self, residuals: Floats, freedom: float) -> None:
        rng = np.random.default_rng(1)
        found = rng.choice(residuals, _POINTS) if len(residuals) >= _OWN_SHAPE else rng.standard_normal(_POINTS)
        values = np.sort(found * np.sqrt(freedom / rng.chisquare(freedom, _POINTS)))
        cut = round(_POINTS * _EDGE)
        self._low, self._high = values[cut], values[-cut]
        self._below = max(float(self._low - values[:cut].mean()), 1e-3)
        self._above = max(float(values[-cut:].mean() - self._high), 1e-3)
        self._values = values[cut : _POINTS - cut + 1]
        self._shares = np.linspace(_EDGE, 1 - _EDGE, len(self._values))

    def beyond(self, values: Floats) -> Floats:
        """P(greater than), never 0."""
        middle = 1 - np.interp(values, self._values, self._shares)
        excess = np.exp(-np.maximum(values - self._high, 0) / self._above)
        short = 1 - _EDGE * np.exp(-np.maximum(self._low - values, 0) / self._below)
        inner = np.where(values < self._low, short, middle)
        return np.asarray(np.where(values > self._high, _EDGE * excess, inner), np.float64)

    def at(self, beyond: Floats) -> Floats:
        """The value beyond which lies that share."""
        found: Floats = np.interp(1 - beyond, self._shares, self._values)
        high = beyond < _EDGE
        if high.any():
            found[high] = self._high - self._above * np.log(beyond[high] / _EDGE)
        low = beyond > 1 - _EDGE
        if low.any():
            found[low] = self._low + self._below * np.log(np.maximum(1 - beyond[low], 1e-12) / _EDGE)
        return found
