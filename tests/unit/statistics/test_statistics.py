"""Estimates, comparisons, corrections and their uncertainty, by hand and against scipy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from heirloom.statistics import resampling as statistics
from heirloom.statistics.comparisons import (
    Comparison,
    compare,
    detectable,
    difference,
    holm,
    simultaneous,
)
from heirloom.statistics.estimates import estimate
from heirloom.statistics.resampling import mean_of
from heirloom.support.errors import HeirloomError


def by_id(values):
    return {f"e{index:05d}": value for index, value in enumerate(values)}


def fields(values):
    return {key: {"x": value} for key, value in values.items()}


def mean_interval(values, **options):
    return estimate([{"x": value} for value in values], mean_of("x"), ["x"], **options)


def relative_change(treated, reference, **options):
    sides = [fields(treated)], [fields(reference)]
    return compare(*sides, mean_of("x"), ["x"], **options)[1]


def test_mean_by_hand():
    # (1 + 2 + 6) / 3 = 3; the None is dropped and counted.
    estimate = mean_interval([1.0, None, 2.0, 6.0], seed=1)
    assert (estimate.value, estimate.n, estimate.n_missing) == (3.0, 3, 1)
    assert 1.0 <= estimate.low <= 3.0 <= estimate.high <= 6.0
    assert estimate.reason is None


def test_interval_of_two_values_by_hand():
    # Two examples 0 and 1: a resample's mean is 0, 0.5 or 1 with probability 1/4, 1/2, 1/4.
    # At 95 % the ends are far outside, at Phi(-sqrt(2) * 12.7). At 20 % Student's quantile for one
    # degree of freedom is tan(0.1 pi) = 0.325, so they are the quantiles for Phi(-0.46) = 32 % and
    # 68 %, both 0.5.
    wide = mean_interval([0.0, 1.0], seed=3)
    assert (wide.low, wide.high) == (0.0, 1.0)
    narrow = mean_interval([0.0, 1.0], seed=3, level=0.2)
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


def expanded(n):
    """The level whose plain percentile interval is the expanded one for 95 % of n examples."""
    return 1 - 2 * stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))


def test_agrees_with_scipy():
    rng = np.random.default_rng(7)
    reference = rng.gamma(4, 10, size=80)
    treated = reference * 1.2 + rng.normal(0, 6, size=80)
    expected = stats.bootstrap(
        (treated, reference),
        lambda t, r, axis=-1: 100 * (t.mean(axis=axis) / r.mean(axis=axis) - 1),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=expanded(80),
        n_resamples=10_000,
        rng=11,
    )
    change = relative_change(by_id(treated), by_id(reference), seed=11)
    # With 80 examples the ends are the 2.26 % and 97.74 % quantiles. The standard error of such a
    # quantile from B normal draws of deviation s is sqrt(0.0226 * 0.9774 / B) / phi(2.00) * s =
    # 0.028 s for B = 10,000; five of them, twice noisy.
    assert expanded(80) == pytest.approx(1 - 2 * 0.0226, abs=1e-4)
    tolerance = 5 * 2**0.5 * 0.028 * expected.standard_error
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

    own = [{"group": "a", "x": x} for x in (1, 2, 2, 3, 3, 4)]
    examples = own + [{"group": "bb", "x": 10}] * 6
    found = estimate(examples, over_groups, ["group", "x"], seed=1)
    assert found.value == 6.25  # (2.5 + 10) / 2, where the plain mean is 6.25 too
    # Group bb adds no spread: the interval is half of that of a, shifted by 5.
    assert 5.5 <= found.low < 6.25 < found.high <= 7
    # One group is not drawn in 2 (1/2)^12 of the resamples, far below 1 %: NaN there, yet an
    # interval.
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
    for comparison in compare(*([side] for side in sides), ratio, ["part", "whole"], seed=0):
        assert (comparison.value, comparison.reference) == (None, 0.5)
        assert "undefined" in comparison.reason
    # Infinity is no value either: 1 / 0.
    infinite, defined = ([side] for side in sides)
    assert compare(infinite, defined, ratio, ["part", "whole"], seed=0)[0].treated is None


def test_comparison_by_hand():
    treated = {"a": {"part": 3, "whole": 4}, "b": {"part": 1, "whole": 2}, "c": {"part": 9}}
    reference = {"a": {"part": 1, "whole": 4}, "b": {"part": 1, "whole": 2}}
    gap, percent = compare([treated], [reference], ratio, ["part", "whole"], seed=0)
    # 4/6 against 2/6; a alone 3/4 against 1/4, b alone 1/2 against 1/2.
    assert gap.value == pytest.approx(1 / 3)
    assert (gap.low, gap.high) == (0, 0.5)
    assert percent.value == pytest.approx(100)
    assert (percent.low, percent.high) == (0, pytest.approx(200))
    assert (gap.n, gap.n_missing, percent.n_missing) == (2, 1, 1)
    assert (gap.treated, gap.reference) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_a_difference_needs_no_positive_reference():
    gap, percent = compare(
        [{"a": {"x": 1.0}, "b": {"x": 3.0}}],
        [{"a": {"x": -1.0}, "b": {"x": -1.0}}],
        mean_of("x"),
        ["x"],
        seed=0,
    )
    assert (gap.value, gap.low, gap.high) == (3, 2, 4)
    assert percent.value is None and "not positive" in percent.reason


def test_a_ratio_of_sums_agrees_with_scipy():
    rng = np.random.default_rng(21)
    wholes = rng.integers(1, 9, size=120).astype(float)
    parts = rng.binomial(wholes.astype(int), 0.3).astype(float)
    expected = stats.bootstrap(
        (parts, wholes),
        lambda p, w, axis=-1: p.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=expanded(120),
        n_resamples=10_000,
        rng=3,
    )
    found = estimate(rows(parts, wholes), ratio, ["part", "whole"], seed=4)
    tolerance = 5 * 2**0.5 * 0.028 * expected.standard_error  # as above
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
    # points. Three of them leave 91.7 % to 98.3 %: a 90 % or an unpaired interval falls outside.
    rng = np.random.default_rng(13)
    hits = 0
    for study in range(400):
        common = rng.normal(0, 1, size=60)
        reference = 5 + common + rng.normal(0, 0.5, size=60)
        treated = 6 + common + rng.normal(0, 0.5, size=60)
        change = relative_change(by_id(treated), by_id(reference), seed=study, resamples=1000)
        hits += change.low <= 20 <= change.high
    assert 0.917 <= hits / 400 <= 0.983


@pytest.mark.parametrize(("n", "plain"), [(8, 0.891), (16, 0.923), (32, 0.937)])
def test_coverage_of_few_examples(n, plain):
    # The plain percentile interval of a normal mean is +- 1.96 sqrt((n - 1) / n) standard errors,
    # which holds the truth as often as |t| with n - 1 degrees of freedom stays below that: `plain`.
    assert 2 * stats.t.cdf(1.96 * np.sqrt((n - 1) / n), n - 1) - 1 == pytest.approx(plain, abs=1e-3)
    # The expanded one does in 95 %, with a standard error of sqrt(.95 * .05 / 2000) = 0.5 points.
    rng = np.random.default_rng(n)
    ends = [mean_interval(rng.normal(size=n), seed=1, resamples=1000) for _ in range(2000)]
    share = np.mean([end.low <= 0 <= end.high for end in ends])
    assert abs(share - 0.95) < 0.015 and share > plain + 0.5 * (0.95 - plain)


# Seeds as a second level


def seeds(*rows):
    """Conditions, one per seed, with these values of the same examples."""
    return [fields(by_id(row)) for row in rows]


def compare_means(treated, reference, **options):
    return compare(treated, reference, mean_of("x"), ["x"], **({"seed": 0} | options))


def test_two_seeds_by_hand():
    # Means of the seeds 2 and 4, of the examples 2 and 4, nothing left unexplained: each level adds
    # a variance of 2 / 2 = 1 to that of the mean 3. Examples alone give 3 -+ 1, as far as resamples
    # of two reach; seeds add Student's quantile for one degree of freedom, 12.706 standard errors.
    gap, _ = compare_means(seeds([1, 3], [3, 5]), seeds([0, 0]))
    assert (gap.value, gap.n, gap.n_seeds, gap.treated, gap.reference) == (3, 2, 2, 3, 0)
    assert gap.seed_sd == pytest.approx(2**0.5)
    half = (1 + 12.7062**2) ** 0.5
    assert (gap.low, gap.high) == pytest.approx((3 - half, 3 + half), abs=1e-3)
    assert gap.df == 1


def test_seeds_without_examples_are_a_t_test_of_seeds():
    # Every example says 12 under one seed and 16 under the other, against 10: differences 2 and 6,
    # changes 20 % and 60 %. Half an interval is 12.7 standard errors of sqrt(8 / 2) = 2.
    gap, percent = compare_means(seeds([12] * 4, [16] * 4), seeds([10] * 4))
    assert (gap.value, percent.value) == (4, pytest.approx(40))
    assert (gap.seed_sd, percent.seed_sd) == pytest.approx((8**0.5, 10 * 8**0.5))
    expected = stats.ttest_1samp([2, 6], 0)
    ends = expected.confidence_interval(0.95)
    assert (gap.low, gap.high) == pytest.approx((ends.low, ends.high))
    assert (percent.low, percent.high) == pytest.approx((10 * ends.low, 10 * ends.high))
    assert gap.p == pytest.approx(expected.pvalue)


def test_one_seed_repeated_changes_nothing():
    rng = np.random.default_rng(5)
    treated, reference = rng.normal(6, 1, 30), rng.normal(5, 1, 30)
    once = compare_means(seeds(treated), seeds(reference))
    thrice = compare_means(seeds(*[treated] * 3), seeds(*[reference] * 3))
    for one, three in zip(once, thrice, strict=True):
        assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=1e-9)
        assert (one.n_seeds, one.seed_sd, one.df) == (1, None, 29)
        assert (three.n_seeds, three.df) == (3, 29)
        assert three.seed_sd == pytest.approx(0, abs=1e-9)


def test_every_seed_is_paired_with_its_own_reference():
    # The seeds differ by 10, but each is 1 above its own reference.
    gap, _ = compare_means(seeds([2, 3], [12, 13]), seeds([1, 2], [11, 12]))
    assert (gap.value, gap.seed_sd, gap.low, gap.high) == (1, 0, 1, 1)
    swapped, _ = compare_means(seeds([2, 3], [12, 13]), seeds([11, 12], [1, 2]))
    assert swapped.value == 1 and swapped.seed_sd > 10


def test_an_example_that_one_seed_lacks_is_missing():
    gap, _ = compare_means(seeds([1, 2, None], [1, None, 3]), seeds([0, 0, 0]))
    assert (gap.n, gap.n_missing, gap.value) == (1, 2, 1)


def test_numbers_of_seeds_must_fit():
    with pytest.raises(HeirloomError, match="3 seeds cannot be compared with 2"):
        compare_means(seeds([1], [2], [3]), seeds([1], [2]))
    with pytest.raises(HeirloomError, match="0 seeds"):
        compare_means([], seeds([1]))


@pytest.mark.parametrize(
    ("between_seeds", "examples_only"),
    # 3 seeds x 24 examples; examples and what neither explains have a variance of 1 each. The
    # variance of the mean is s^2 / 3 + 1 / 24 + 1 / 72; that of examples alone misses s^2 / 3:
    # |t| stays below 2.07 sqrt((1 + 1 / 3) / (1 + 1 / 3 + 8 s^2)).
    [(0.0, 0.95), (0.2, 0.93), (0.5, 0.79)],
)
def test_coverage_with_seeds(between_seeds, examples_only):
    reach = 2.07 * np.sqrt((4 / 3) / (4 / 3 + 8 * between_seeds**2))
    assert 2 * stats.t.cdf(reach, 23) - 1 == pytest.approx(examples_only, abs=0.03)
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        values = (
            rng.normal(0, between_seeds, (3, 1)) + rng.normal(size=24) + rng.normal(size=(3, 24))
        )
        gap, _ = compare_means(seeds(*values), seeds([0] * 24), resamples=500)
        hits += gap.low <= 0 <= gap.high
    # Three standard errors of 1.1 points around 95 %, and two points less because three seeds show
    # their variance only roughly.
    assert 0.895 <= hits / 400 <= 0.985


# p values, corrections, power


def test_p_value_agrees_with_a_paired_t_test():
    rng = np.random.default_rng(17)
    for effect in (0.0, 0.2, 0.4, 0.6):
        reference = rng.normal(5, 1, 40)
        treated = reference + rng.normal(effect, 1, 40)
        found = difference(by_id(treated), by_id(reference), seed=1)
        expected = stats.ttest_rel(treated, reference)
        # As t values: the ends of the interval, and so its length, are noisy to 3 %.
        own = stats.t.isf(found.p / 2, 39)
        assert own == pytest.approx(abs(expected.statistic), abs=0.1 + 0.06 * own)


def test_p_value_and_interval_never_disagree():
    rng = np.random.default_rng(23)
    verdicts = []
    for _ in range(300):
        n = int(rng.integers(6, 40))
        treated = rng.integers(0, 3, n) + rng.gamma(1, 1, n) * rng.integers(0, 2)
        found = difference(by_id(treated), by_id(rng.integers(0, 3, n)), seed=0, resamples=500)
        excludes = not found.low <= 0 <= found.high
        assert (found.p < 0.05) == excludes
        verdicts.append(excludes)
    assert 30 < sum(verdicts) < 270


def test_p_value_of_few_examples_has_a_floor():
    # Four gains of 5 leave an interval without width; flipping signs gives p = 2 / 2^4.
    found = difference(by_id([6.0, 7.0, 8.0, 9.0]), by_id([1.0, 2.0, 3.0, 4.0]), seed=0)
    assert (found.low, found.high, found.p) == (5, 5, 1 / 8)
    assert difference(by_id([1.0, 2.0]), by_id([1.0, 2.0]), seed=0).p == 1
    assert difference({"a": 1.0}, {"a": 0.0}, seed=0).p is None


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 gives 0.04, 0.06, 0.06, 0.04; none may be
    # smaller than the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == [] and holm([0.3]) == [0.3]


def test_holm_is_the_closure_of_bonferroni():
    # Marcus, Peritz & Gabriel (1976): a hypothesis is rejected if every intersection with it is,
    # and Bonferroni's p value of an intersection of s is s times the smallest in it.
    rng = np.random.default_rng(2)
    for _ in range(20):
        p_values = list(rng.beta(0.3, 3, size=6))
        subsets = [
            subset for size in range(1, 7) for subset in itertools.combinations(range(6), size)
        ]
        expected = [
            max(min(1, len(s) * min(p_values[i] for i in s)) for s in subsets if index in s)
            for index in range(6)
        ]
        assert holm(p_values) == pytest.approx(expected)


def test_simultaneous_intervals_by_hand():
    found = Comparison(3, 1, 4, 30, 0, df=29)
    assert simultaneous(found, 1) == pytest.approx((1, 4))
    # For ten tests 99.5 %: 3.038 instead of 2.045, so 1.4854 times as far from 3.
    factor = stats.t.ppf(0.9975, 29) / stats.t.ppf(0.975, 29)
    assert factor == pytest.approx(1.4854, abs=1e-4)
    assert simultaneous(found, 10) == pytest.approx((3 - 2 * factor, 3 + factor))
    assert simultaneous(Comparison(3, None, None, 1, 0), 10) == (None, None)


def test_simultaneous_intervals_agree_with_bonferroni():
    rng = np.random.default_rng(4)
    for _ in range(50):
        found = difference(by_id(rng.normal(0.6, 1, 20)), by_id([0.0] * 20), seed=0, resamples=500)
        low, high = simultaneous(found, 7)
        assert (7 * found.p < 0.05) == (not low <= 0 <= high)


@pytest.mark.parametrize("n", [8, 32, 200])
def test_detectable_effects_have_that_power(n):
    # Student's interval of n differences with standard deviation 3.
    error = 3 / np.sqrt(n)
    critical = stats.t.ppf(0.975, n - 1)
    effect = detectable(-critical * error, critical * error, n)
    # The t statistic under a true effect has a noncentral t distribution.
    power = stats.nct.sf(critical, n - 1, effect / error)
    assert power == pytest.approx(0.8, abs=0.015)
    more = detectable(-critical * error, critical * error, n, power=0.9)
    assert stats.nct.sf(critical, n - 1, more / error) == pytest.approx(0.9, abs=0.015)
