"""The parts of an estimate: the schedule against another implementation, the model against planted variances."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.eta import scheduled
from wfstore.answers.eta_model import fit
from wfstore.answers.eta_past import slots
from wfstore.answers.eta_tails import Shape
from wfstore.answers.simulate import list_schedule


def random_dag(rng: np.random.Generator, tasks: int) -> list[list[int]]:
    return [sorted({int(one) for one in rng.integers(0, n, rng.integers(0, 4))}) if n else [] for n in range(tasks)]


@pytest.mark.parametrize("room", [None, 1, 2, 5])
def test_a_schedule_is_that_of_a_simulation_of_events(room: int | None) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        above = random_dag(rng, int(rng.integers(1, 40)))
        lengths = rng.lognormal(0, 1, len(above))
        found = list_schedule(above, lengths[:, None], np.zeros((len(above), 1)), room)
        names = {str(n): {str(one) for one in up} for n, up in enumerate(above)}
        starts, end = scheduled(names, {str(n): float(s) for n, s in enumerate(lengths)}, room)
        assert found.max() == pytest.approx(end)
        assert found[:, 0] == pytest.approx([starts[str(n)] + lengths[n] for n in range(len(above))])


def test_draws_do_not_mix() -> None:
    lengths = np.array([[1.0, 5.0], [2.0, 1.0], [3.0, 3.0]])
    nothing = np.zeros((3, 2))
    assert list_schedule([[], [], [0, 1]], lengths, nothing).tolist() == [[1, 5], [2, 1], [5, 8]]
    assert list_schedule([[], [], [0, 1]], lengths, nothing, 1).tolist()[2] == [6, 9]


def test_what_holds_no_slot_is_in_nobodys_way() -> None:
    lengths = np.array([[10.0], [4.0], [4.0]])
    held = np.array([False, True, True])
    found = list_schedule([[], [], []], lengths, np.zeros((3, 1)), 1, held)
    assert found[:, 0].tolist() == [10, 4, 8]


def test_tasks_under_way_have_their_slots() -> None:
    lengths = np.array([[4.0], [4.0], [7.0]])
    begun = np.array([False, False, True])
    found = list_schedule([[], [], []], lengths, np.zeros((3, 1)), 1, None, begun)
    assert found[:, 0].tolist() == [11, 15, 7]


NAN = float("nan")


@pytest.mark.parametrize(
    ("submitted", "started", "ended", "limit"),
    [
        ([0, 0, 0, 0], [0, 0, 5, 5], [5, 5, 9, 9], 2),
        ([0, 0, 0, 0], [0, 0, NAN, NAN], [NAN, NAN, NAN, NAN], None),
        ([0, 0, 0, 0], [0, 1, 2, 3], [9, 9, 9, 9], None),
        ([0, 0, 0], [0, 0, 0], [5, 6, 7], None),
        ([0, 6, 12], [2, 8, 14], [6, 12, 18], None),
    ],
)
def test_slots_show_by_who_waits(
    submitted: list[float], started: list[float], ended: list[float], limit: int | None
) -> None:
    found = slots(np.array(submitted, float), np.array(started, float), np.array(ended, float))
    assert found == limit


def test_who_waits_now_waits_too() -> None:
    times = np.zeros(4), np.array([0.0, 0.0, NAN, NAN]), np.full(4, NAN)
    assert slots(*times) is None
    assert slots(*times, 5.0) == 2


@pytest.mark.parametrize("residuals", [np.zeros(0), np.random.default_rng(8).standard_normal(5000)])
def test_a_shape_and_its_inverse(residuals: np.ndarray) -> None:
    shape = Shape(residuals, 400.0)
    shares = np.array([0.999, 0.97, 0.8, 0.5, 0.2, 0.03, 0.001, 1e-6])
    assert shape.beyond(shape.at(shares)) == pytest.approx(shares, rel=1e-6)
    assert np.all(np.diff(shape.at(shares)) > 0)
    assert abs(float(shape.at(np.array([0.5]))[0])) < 0.1
    assert float(shape.at(np.array([0.1]))[0]) == pytest.approx(1.28, abs=0.15)


def planted(run_sigma: float, place_sigma: float, sigma: float, runs: int = 40, places: int = 30) -> tuple:
    rng = np.random.default_rng(2)
    run, place = np.repeat(np.arange(runs), places), np.tile(np.arange(places), runs)
    effect, factor = rng.normal(0, place_sigma, places), rng.normal(0, run_sigma, runs)
    logs = 1.0 + effect[place] + factor[run] + rng.normal(0, sigma, len(run))
    return fit(["k"] * len(run), run, place, np.exp(logs), np.zeros(len(run), bool)), effect


def test_planted_variances_are_found() -> None:
    model, effect = planted(0.3, 0.5, 0.2)
    assert model.run_variance**0.5 == pytest.approx(0.3, rel=0.25)
    assert model.variance[0] ** 0.5 == pytest.approx(0.2, rel=0.1)
    assert model.between[0] ** 0.5 == pytest.approx(0.5, rel=0.3)
    found = model.of(["k"] * 30, list(range(30)))
    assert np.corrcoef(found.location, effect)[0, 1] > 0.99
    assert model.of(["k"], [99]).spread[0] > 2 * found.spread.max()


def test_nothing_planted_nothing_found() -> None:
    model, _ = planted(0.0, 0.0, 0.3)
    assert model.run_variance**0.5 < 0.05
    # what chance makes of means of 40 is 0.2
    assert np.ptp(model.of(["k"] * 30, list(range(30))).location) < 0.1
    assert not model.of(["other"], [0]).known[0]


def test_what_never_varies_has_no_spread() -> None:
    runs = np.repeat(np.arange(5), 2)
    model = fit(["a", "b"] * 5, runs, np.zeros(10, np.int64), np.array([3.0, 7.0] * 5), np.zeros(10, bool))
    assert model.of(["a", "b"], [0, 0]).spread.tolist() == [0, 0]
    assert model.factor_spread == 0
