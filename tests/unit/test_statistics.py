import numpy as np
import pytest

from heirloom import statistics
from heirloom.errors import HeirloomError
from heirloom.statistics import difference, mean_interval, relative_change


def by_id(values):
    return {f"e{index:05d}": value for index, value in enumerate(values)}


def test_mean_by_hand():
    # (1 + 2 + 6) / 3 = 3; the None is dropped and counted.
    estimate = mean_interval([1.0, None, 2.0, 6.0], seed=1)
    assert (estimate.value, estimate.n, estimate.n_missing) == (3.0, 3, 1)
    assert 1.0 <= estimate.low <= 3.0 <= estimate.high <= 6.0
    assert estimate.reason is None


def test_interval_of_two_values_by_hand():
    # Two examples 0 and 1: a resample's mean is 0, 0.5 or 1 with probability 1/4, 1/2, 1/4. The
    # 2.5 % and 97.5 % quantiles are 0 and 1; the 30 % and 70 % quantiles are both 0.5.
    wide = mean_interval([0.0, 1.0], seed=3)
    assert (wide.low, wide.high) == (0.0, 1.0)
    narrow = mean_interval([0.0, 1.0], seed=3, level=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_relative_change_by_hand():
    # Common examples a, b: treated mean (3 + 5) / 2 = 4, reference mean (2 + 3) / 2 = 2.5,
    # 100 * (4 / 2.5 - 1) = 60. c is null in the reference, d only in the treated: 2 missing.
    # The four equally likely resamples aa, ab, ba, bb give 50, 60, 60, 66.67 %: the interval's ends
    # are 50 and 66.67.
    change = relative_change(
        {"a": 3.0, "b": 5.0, "c": 9.0, "d": 1.0}, {"a": 2.0, "b": 3.0, "c": None}, seed=0
    )
    assert change.value == pytest.approx(60)
    assert (change.treated, change.reference) == (4.0, 2.5)
    assert (change.n, change.n_missing) == (2, 2)
    assert change.low == pytest.approx(50)
    assert change.high == pytest.approx(100 * (5 / 3 - 1))


def test_difference_by_hand_where_the_reference_is_zero():
    # (1 + 3) / 2 - 0 = 2; the resampled differences are 1, 2, 2, 3.
    change = difference({"a": 1.0, "b": 3.0}, {"a": 0.0, "b": 0.0}, seed=0)
    assert (change.value, change.low, change.high) == (2.0, 1.0, 3.0)


def test_identical_inputs_change_by_exactly_zero():
    values = by_id(np.random.default_rng(0).lognormal(size=77).tolist())
    change = relative_change(values, dict(values), seed=5)
    assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)


def test_the_order_of_examples_does_not_matter():
    rng = np.random.default_rng(1)
    treated, reference = by_id(rng.normal(5, 1, 40)), by_id(rng.normal(4, 1, 40))
    backwards = dict(reversed(treated.items()))
    assert relative_change(treated, reference, seed=2) == relative_change(
        backwards, reference, seed=2
    )
    values = list(treated.values())
    assert mean_interval(values, seed=2) == mean_interval(values[::-1], seed=2)


def test_seed_decides_the_interval():
    values = np.random.default_rng(2).normal(size=50).tolist()
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1).low != mean_interval(values, seed=2).low


def test_chunks_do_not_change_the_result(monkeypatch):
    values = np.random.default_rng(3).normal(size=30).tolist()
    whole = mean_interval(values, seed=4)
    monkeypatch.setattr(statistics, "_INDICES_AT_ONCE", 100)
    chunked = mean_interval(values, seed=4)
    assert (chunked.low, chunked.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_to_average(values):
    estimate = mean_interval(values, seed=0)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, 0)
    assert "no example" in estimate.reason


def test_one_example_has_a_value_and_no_interval():
    change = relative_change({"a": 3.0}, {"a": 2.0}, seed=0)
    assert (change.value, change.low, change.high, change.n) == (50.0, None, None, 1)
    assert "one example" in change.reason


@pytest.mark.parametrize("reference", [[0.0, 0.0], [-1.0, -3.0]])
def test_no_percentage_of_a_reference_that_is_not_positive(reference):
    change = relative_change(by_id([1.0, 2.0]), by_id(reference), seed=0)
    assert (change.value, change.low, change.high) == (None, None, None)
    assert "not positive" in change.reason


def test_rare_reference_events_leave_the_interval_open():
    # One event in 20: a resample misses it with probability 0.95^20 = 36 %, far above 2.5 %, so
    # the upper end is undefined. 12 in 40: 0.7^40 < 1e-6, so it is defined.
    treated = by_id([1.0] * 20 + [0.0] * 20)
    open_ended = relative_change(by_id([1.0] * 5 + [0.0] * 15), by_id([1.0] + [0.0] * 19), seed=0)
    assert open_ended.value == pytest.approx(400)
    assert open_ended.low is None and open_ended.high is None
    assert "too close to zero" in open_ended.reason
    closed = relative_change(treated, by_id([1.0] * 12 + [0.0] * 28), seed=0)
    assert closed.low < closed.value < closed.high


@pytest.mark.parametrize(
    ("option", "message"),
    [({"level": 1.0}, "level"), ({"resamples": 0}, "resamples"), ({"seed": -1}, "seed")],
)
def test_options_out_of_bounds(option, message):
    with pytest.raises(HeirloomError, match=message):
        mean_interval([1.0, 2.0], **({"seed": 0} | option))


def test_agrees_with_scipy():
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(7)
    reference = rng.gamma(4, 10, size=80)
    treated = reference * 1.2 + rng.normal(0, 6, size=80)
    expected = scipy_stats.bootstrap(
        (treated, reference),
        lambda t, r, axis=-1: 100 * (t.mean(axis=axis) / r.mean(axis=axis) - 1),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=11,
    )
    change = relative_change(by_id(treated), by_id(reference), seed=11)
    # The standard error of a 2.5 % quantile from B normal draws of deviation s is
    # sqrt(0.025 * 0.975 / B) / phi(1.96) * s = 0.027 s for B = 10,000; five of them, twice noisy.
    tolerance = 5 * 2**0.5 * 0.027 * expected.standard_error
    assert change.low == pytest.approx(expected.confidence_interval.low, abs=tolerance)
    assert change.high == pytest.approx(expected.confidence_interval.high, abs=tolerance)
    # An unpaired interval would be several times as wide: the tolerance can tell the two apart.
    unpaired = (
        np.hypot(
            treated.std() / reference.mean(),
            treated.mean() * reference.std() / reference.mean() ** 2,
        )
        * 100
        / 80**0.5
    )
    assert unpaired > 3 * expected.standard_error


def test_coverage():
    # 400 simulated studies of 60 paired examples with a true change of 100 * (6 / 5 - 1) = 20 %.
    # The share of 95 % intervals that hold it has a standard error of sqrt(.95 * .05 / 400) = 1.1
    # points; the percentile method loses a point or so at n = 60. Three standard errors around that
    # leave 90.5 % to 98.5 %: a 90 % or an unpaired interval falls outside.
    rng = np.random.default_rng(13)
    hits = 0
    for study in range(400):
        common = rng.normal(0, 1, size=60)
        reference = 5 + common + rng.normal(0, 0.5, size=60)
        treated = 6 + common + rng.normal(0, 0.5, size=60)
        change = relative_change(by_id(treated), by_id(reference), seed=study, resamples=1000)
        hits += change.low <= 20 <= change.high
    assert 0.905 <= hits / 400 <= 0.985
