import numpy as np
import pytest

from heirloom import statistics
from heirloom.errors import HeirloomError
from heirloom.statistics import (
    compare,
    difference,
    estimate,
    mean_interval,
    mean_of,
    relative_change,
)


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
    statistics._kept_counts.cache_clear()
    statistics._resampled_contents.cache_clear()
    monkeypatch.setattr(statistics, "_WEIGHTS_AT_ONCE", 100)
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
    assert "too many resamples" in open_ended.reason
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


def ratio(columns, weights):
    """Sum of `part` over sum of `whole`; undefined where nothing is left."""
    return (weights @ columns["part"]) / (weights @ columns["whole"])


def rows(parts, wholes):
    return [{"part": part, "whole": whole} for part, whole in zip(parts, wholes, strict=True)]


def test_a_statistic_of_two_fields_by_hand():
    # (1 + 3) / (2 + 4) = 2/3; resamples give 1/2, 3/4 or 2/3, the first two a quarter each.
    found = estimate(rows([1, 3], [2, 4]), ratio, ["part", "whole"], seed=0)
    assert found.value == pytest.approx(2 / 3)
    assert (found.low, found.high) == (0.5, 0.75)


def test_an_example_without_one_of_the_fields_is_missing():
    examples = [*rows([1, 3, None], [2, 4, 9]), {"part": 7.0}, {"part": 1.0, "whole": float("nan")}]
    found = estimate(examples, ratio, ["part", "whole"], seed=0)
    assert (found.n, found.n_missing) == (2, 3)
    assert found.value == pytest.approx(2 / 3)


def test_a_statistic_of_groups():
    """Text columns reach the statistic as they are: the mean over groups of their means."""

    def over_groups(columns, weights):
        means = []
        for group in np.unique(columns["group"]):
            own = columns["group"] == group
            means.append(weights[:, own] @ columns["x"][own] / weights[:, own].sum(axis=1))
        return np.mean(means, axis=0)

    examples = [{"group": "a", "x": x} for x in (1, 2, 3, 4)] + [{"group": "bb", "x": 10}] * 4
    found = estimate(examples, over_groups, ["group", "x"], seed=1)
    assert found.value == 6.25  # (2.5 + 10) / 2, where the plain mean is 6.25 too
    # Group bb adds no spread: the interval is half of that of a, shifted by 5.
    assert 5.5 <= found.low < 6.25 < found.high <= 7
    # One group is not drawn in (1/2)^8 of the resamples, below 2.5 %: NaN there, yet an interval.
    assert found.reason is None


def test_undefined_resamples_push_both_ends_outwards():
    # `whole` is 0 in two of three examples: (2/3)^3 = 30 % of the resamples are 0 / 0.
    found = estimate(rows([0, 0, 1], [0, 0, 2]), ratio, ["part", "whole"], seed=0)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "too many resamples" in found.reason
    # One of ten: 0.1^10 of the resamples, so there is an interval.
    assert estimate(rows([0, *[1] * 9], [0, *[2] * 9]), ratio, ["part", "whole"], seed=0).low == 0.5


def test_an_undefined_statistic_has_no_value():
    found = estimate(rows([0, 0], [0, 0]), ratio, ["part", "whole"], seed=0)
    assert (found.value, found.n) == (None, 2) and "undefined" in found.reason
    sides = [
        {"a": {"part": 0, "whole": whole}, "b": {"part": 1, "whole": whole}} for whole in (0, 1)
    ]
    for comparison in compare(*sides, ratio, ["part", "whole"], seed=0):
        assert (comparison.value, comparison.reference) == (None, 0.5)
        assert "undefined" in comparison.reason
    # Infinity is no value either: 1 / 0.
    assert compare(*sides, ratio, ["part", "whole"], seed=0)[0].treated is None


def test_comparison_by_hand():
    treated = {"a": {"part": 3, "whole": 4}, "b": {"part": 1, "whole": 2}, "c": {"part": 9}}
    reference = {"a": {"part": 1, "whole": 4}, "b": {"part": 1, "whole": 2}}
    gap, percent = compare(treated, reference, ratio, ["part", "whole"], seed=0)
    # 4/6 against 2/6; a alone 3/4 against 1/4, b alone 1/2 against 1/2.
    assert gap.value == pytest.approx(1 / 3)
    assert (gap.low, gap.high) == (0, 0.5)
    assert percent.value == pytest.approx(100)
    assert (percent.low, percent.high) == (0, pytest.approx(200))
    assert (gap.n, gap.n_missing, percent.n_missing) == (2, 1, 1)
    assert (gap.treated, gap.reference) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_a_difference_needs_no_positive_reference():
    gap, percent = compare(
        {"a": {"x": 1.0}, "b": {"x": 3.0}},
        {"a": {"x": -1.0}, "b": {"x": -1.0}},
        mean_of("x"),
        ["x"],
        seed=0,
    )
    assert (gap.value, gap.low, gap.high) == (3, 2, 4)
    assert percent.value is None and "not positive" in percent.reason


def test_a_ratio_of_sums_agrees_with_scipy():
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(21)
    wholes = rng.integers(1, 9, size=120).astype(float)
    parts = rng.binomial(wholes.astype(int), 0.3).astype(float)
    expected = scipy_stats.bootstrap(
        (parts, wholes),
        lambda p, w, axis=-1: p.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=3,
    )
    found = estimate(rows(parts, wholes), ratio, ["part", "whole"], seed=4)
    tolerance = 5 * 2**0.5 * 0.027 * expected.standard_error  # as above
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=tolerance)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=tolerance)


def test_weights_are_counts_of_n_draws():
    # 300 examples: more than a byte's largest count, none of which can come close to it.
    weights = np.concatenate(list(statistics._weights(300, 5, 2_000)))
    assert weights.shape == (2_000, 300)
    assert (weights.sum(axis=1) == 300).all() and (weights == np.round(weights)).all()
    # A count is binomial(300, 1/300): variance 1 - 1/300. Of 600,000 counts the sample variance has
    # a standard error of sqrt((3 + 1) - 1) / 775 = 0.002 (kurtosis of a Poisson(1): 3 + 1).
    assert weights.var() == pytest.approx(1 - 1 / 300, abs=0.012)
    assert weights.min() == 0 and weights.max() < 16


def test_what_is_kept_changes_no_result():
    examples = rows(range(40), range(1, 41))

    def compute():
        return estimate(examples, ratio, ["part", "whole"], seed=6)

    first = compute()
    estimate(rows(range(40), range(2, 42)), ratio, ["part", "whole"], seed=6)
    assert compute() == first
    statistics._resampled_contents.cache_clear()
    statistics._kept_counts.cache_clear()
    assert compute() == first


def test_more_examples_than_are_kept(monkeypatch):
    values = np.random.default_rng(3).normal(size=30).tolist()
    kept = mean_interval(values, seed=4)
    statistics._resampled_contents.cache_clear()
    monkeypatch.setattr(statistics, "_COUNTS_KEPT", 0)
    assert mean_interval(values, seed=4) == kept


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
