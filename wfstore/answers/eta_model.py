"""What past runs of a workflow tell about how long its tasks take: a mixed model of the logarithms of durations.

log duration = task key + position among the tasks of that key + run + rest. Positions count as far as they differ by
more than chance (a fan-out over files of different size), a run as far as its tasks were slow or fast together. All
variances are estimated by moments and shrunk (Searle, Casella and McCulloch, Variance Components, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wfstore.answers.eta_tails import Shape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Shorter durations count as that long, seconds: below it a clock says nothing.
SHORTEST_S = 1e-4
#: A key's variance is drawn to that of all keys as if so many of its observations had said so; where there are enough
#: keys to tell how much their variances differ, the number that fits.
_PRIOR, _ENOUGH = 1.0, 8
_PRIORS = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 50.0, 200.0])
_EXACT = 1e-12
#: With fewer degrees of freedom one draw in a hundred would be years: that is no knowledge either.
_LEAST_FREEDOM = 4.0
_SCALES = np.array([1, 2, 3, 4, 5, 6, 8, 11, 15, 22, 35, 60, 120, 400, 2000], np.float64)


@dataclass(frozen=True)
class Expected:
    """Of some tasks, one element each: logarithms of seconds. freedom: degrees behind `spread`; follows: whether the
    run's factor applies; known: whether past runs had such a task."""

    location: Floats
    spread: Floats
    freedom: Floats
    follows: Bools
    known: Bools


@dataclass
class Durations:
    """The fitted model. Make it with `fit`."""

    keys: dict[str, int]
    key_location: Floats
    positions: dict[tuple[int, int], int]
    position_shift: Floats
    position_variance: Floats
    variance: Floats
    between: Floats
    counts: Ints
    freedom: Floats
    follows: Bools
    run_variance: float
    runs: int
    residuals: Floats
    _shapes: dict[int, Shape] = field(default_factory=dict)

    def of(self, keys: list[str], ordinals: list[int]) -> Expected:
        """What to expect of tasks of these keys, each at its position among those of its key."""
        code = np.array([self.keys.get(key, -1) for key in keys], np.int64)
        known = code >= 0
        chosen = np.where(known, code, 0)
        place = np.array([self.positions.get((int(c), o), -1) for c, o in zip(chosen, ordinals, strict=True)], np.int64)
        there = known & (place >= 0)
        spot = np.where(there, place, 0)
        location = self.key_location[chosen] + np.where(there, self.position_shift[spot], 0.0)
        of_key = self.variance[chosen] / self.counts[chosen]
        more = np.where(there, self.position_variance[spot], self.between[chosen]) + of_key
        spread = np.sqrt(self.variance[chosen] + more)
        everything = float(np.sqrt(self.key_location.var() + self.variance.mean()))
        return Expected(
            np.where(known, location, self.key_location.mean()),
            np.where(known, spread, everything),
            np.where(known, self.freedom[chosen], _LEAST_FREEDOM),
            np.where(known, self.follows[chosen], False),
            known,
        )

    def shape(self, freedom: float) -> tuple[int, Shape]:
        """The distribution around the location, in units of the spread, and which of a few it is."""
        scale = int(np.abs(np.log(_SCALES / freedom)).argmin())
        if scale not in self._shapes:
            self._shapes[scale] = Shape(self.residuals, float(_SCALES[scale]))
        return scale, self._shapes[scale]

    @cached_property
    def factor_spread(self) -> float:
        """Standard deviation of the logarithm of a new run's factor, the error of the mean of past ones included."""
        return float(np.sqrt(self.run_variance * (1 + 1 / self.runs)))


def fit(keys: list[str], run: Ints, ordinal: Ints, seconds: Floats, fixed: Bools) -> Durations:
    """From one observation per task of each past run. run: 0, 1, ...; ordinal: the place among the tasks of its key and
    run; fixed: it does not take longer because its run is slow (timers)."""
    names, code = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)
    values = np.log(np.maximum(seconds, SHORTEST_S))
    spots, spot = np.unique(np.stack([code, ordinal], 1), axis=0, return_inverse=True)
    spot = spot.reshape(-1)
    spot_code = spots[:, 0]
    runs = int(run.max()) + 1
    n, n_spot = np.bincount(code), np.bincount(spot)
    mean = np.bincount(code, values) / n
    spot_mean = np.bincount(spot, values) / n_spot
    dof = (n - np.bincount(spot_code)).astype(np.float64)
    rest = values - spot_mean[spot]
    follows = _sums(code, fixed.astype(np.float64)) == 0
    total, _ = _shrunk(_sums(code, rest**2), dof)
    run_variance, factor, kept = _run_factors(rest, code, run, runs, total, follows)
    rest = rest - np.where(follows[code], (kept * factor)[run], 0.0)
    lost = (runs - 1) * float(kept.mean()) if run_variance else 0.0
    fewer = max(1 - lost / max(float(dof.sum()), 1.0), 0.2)
    variance, prior = _shrunk(_sums(code, rest**2), dof * fewer)
    shift, spot_variance, between = _positions(spot_mean - mean[spot_code], n_spot, spot_code, n, variance)
    scale = np.sqrt(variance)[code]
    varied = scale > 0
    residuals = rest[varied] / scale[varied]
    if len(residuals):
        residuals = residuals / max(float(np.sqrt((residuals**2).mean())), 1e-9)
    return Durations(
        {str(name): place for place, name in enumerate(names)},
        mean,
        {(int(c), int(o)): place for place, (c, o) in enumerate(spots)},
        shift,
        spot_variance,
        variance,
        between,
        n,
        np.maximum(dof * fewer + prior, _LEAST_FREEDOM),
        follows,
        run_variance,
        runs,
        residuals,
    )


def _sums(code: Ints, values: Floats) -> Floats:
    return np.asarray(np.bincount(code, values), np.float64)


def _shrunk(squares: Floats, dof: Floats) -> tuple[Floats, float]:
    """Variances, each drawn to the mean of all, and as if by how many observations; what never varied stays 0."""
    common = float(squares.sum() / max(dof.sum(), 1.0))
    varies = (squares >= _EXACT) & (dof >= 1)
    prior = _prior(squares[varies] / dof[varies], dof[varies])
    return np.where((squares < _EXACT) & (dof > 0), 0.0, (squares + prior * common) / (dof + prior)), prior


def _prior(variances: Floats, dof: Floats) -> float:
    """Degrees of freedom of the distribution that true variances come from: the logarithms of estimates spread by
    chance as trigamma(dof/2) says, the rest is theirs (Smyth 2004, Linear models and empirical Bayes methods)."""
    if len(variances) < _ENOUGH:
        return _PRIOR
    rest = float(np.var(np.log(variances), ddof=1) - _trigamma(dof / 2).mean())
    return float(_PRIORS[np.abs(_trigamma(_PRIORS / 2) - max(rest, 0.0)).argmin()])


def _trigamma(x: Floats) -> Floats:
    """By recurrence and the asymptotic series; x at least 0.5."""
    shift = x + 4
    series = 1 / shift + 1 / (2 * shift**2) + 1 / (6 * shift**3) - 1 / (30 * shift**5)
    return np.asarray(series + sum(1 / (x + k) ** 2 for k in range(4)), np.float64)


def _run_factors(
    rest: Floats, code: Ints, run: Ints, runs: int, total: Floats, follows: Bools
) -> tuple[float, Floats, Floats]:
    """Variance between runs; each run's mean deviation; the share of it that is no chance."""
    counted = follows[code] & (total[code] > 0)
    nothing = np.zeros(runs)
    # With one task a run, nothing tells a slow run from a slow task.
    if counted.sum() < 1.5 * runs or runs < 3:
        return 0.0, nothing, nothing
    between, factor, error = 0.0, nothing, nothing
    for _ in range(12):
        weight = counted / np.maximum(total[code] - between, 0.05 * total[code] + 1e-30)
        weights = np.maximum(np.bincount(run, weight, runs), 1e-30)
        factor = np.bincount(run, weight * rest, runs) / weights
        error = 1 / weights
        between = max(0.0, float((factor**2).sum() / (runs - 1) - error.mean()))
    return between, factor, between / (between + error) if between else nothing


def _positions(
    deviation: Floats, n_spot: Ints, spot_code: Ints, n: Ints, variance: Floats
) -> tuple[Floats, Floats, Floats]:
    """Shift of each position from its key, what is uncertain in it, and the variance between the positions of a key."""
    spots = np.bincount(spot_code)
    spread = _sums(spot_code, n_spot * deviation**2) / np.maximum(spots - 1, 1)
    each = n / spots
    between = np.where(spots > 1, np.maximum(0.0, (spread - variance) / each), 0.0)
    wide, noise = between[spot_code], variance[spot_code] / n_spot
    share = np.divide(wide, wide + noise, out=np.zeros_like(wide), where=wide + noise > 0)
    return share * deviation, share * noise, between
