"""Compare two conditions on the same examples: paired intervals, p values and their correction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heirloom.statistics.estimates import Estimate
from heirloom.statistics.resampling import (
    ALONE,
    NOTHING,
    UNDEFINED,
    Array,
    Columns,
    Statistic,
    check_options,
    columns_of,
    is_missing,
    mean_of,
    percentile_interval,
    resampled,
    t_quantile,
    value_of,
)
from heirloom.support.errors import HeirloomError

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Comparison(Estimate):
    """An estimate that compares two conditions on the same examples.

    Attributes:
        treated: The statistic of the treated condition over the `n` common examples, the mean over
            its seeds; None when n is 0 or it is undefined for them.
        reference: The same of the reference.
        n_seeds: Pairs of treated and reference that were compared.
        seed_sd: Standard deviation of `value` between them; None below two.
        df: Degrees of freedom of the interval: n - 1, fewer where seeds widen it; None without one.
        p: Two-sided p value of no difference, from the interval; None without one.
    """

    treated: float | None = None
    reference: float | None = None
    n_seeds: int = 0
    seed_sd: float | None = None
    df: float | None = None
    p: float | None = None


def compare(
    treated: Sequence[Mapping[str, Mapping[str, Any]]],
    reference: Sequence[Mapping[str, Mapping[str, Any]]],
    statistic: Statistic,
    fields: Sequence[str],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> tuple[Comparison, Comparison]:
    """Compare a statistic of two conditions: treated - reference, and the same in percent.

    Args:
        treated: Example id to fields, one mapping per seed.
        reference: The same examples under the reference condition: one mapping, with which every
            seed is compared, or one for each, in the same order.
        statistic: The statistic.
        fields: The fields that it uses; an example that any mapping lacks a value for is dropped
            and counted.
        seed: Seed of the resampling.
        level: Coverage of the intervals, strictly between 0 and 1.
        resamples: Number of bootstrap samples.

    Returns:
        The difference in the statistic's own unit, and 100 * (treated / reference - 1), both of
        means over seeds. The second is undefined where the reference is not positive, because a
        percentage of zero or of a negative number is meaningless.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds, or the numbers of seeds
            do not fit.
    """
    check_options(seed, level, resamples)
    if not treated or len(reference) not in (1, len(treated)):
        raise HeirloomError(
            f"{len(treated)} seeds cannot be compared with {len(reference)}: give one reference, "
            "or one for each of one seed or more."
        )
    n_seeds = len(treated)
    paired = pair([*treated, *reference], statistic, fields, seed=seed, resamples=resamples)
    of_treated, of_reference = paired.every[:n_seeds], paired.every[n_seeds:]
    sides = Sides(paired, n_seeds, mean_value(of_treated), mean_value(of_reference), level)
    if sides.treated is None or sides.reference is None:
        nothing = sides.comparison(None, reason=UNDEFINED if paired.n else NOTHING)
        return nothing, nothing
    gaps = of_treated - of_reference
    difference = sides.pooled(gaps, gaps.mean(axis=0))
    if sides.reference <= 0:
        return difference, sides.comparison(None, reason="the reference is not positive")
    return difference, sides.pooled(*_percent(of_treated, of_reference))


@dataclass(frozen=True)
class Paired:
    """A statistic of several conditions over the examples that all of them have values for.

    Attributes:
        n: Number of these examples.
        n_missing: Number of examples dropped because a condition lacks a value.
        every: [conditions, 1 + resamples], the statistic of the examples as they are, then of every
            resample of them, the same for all conditions. NaN where it is undefined; without
            resamples below two examples or where it is undefined for the examples as they are.
    """

    n: int
    n_missing: int
    every: Array


def pair(
    conditions: Sequence[Mapping[str, Mapping[str, Any]]],
    statistic: Statistic,
    fields: Sequence[str],
    *,
    seed: int,
    resamples: int,
) -> Paired:
    """Return a statistic of several conditions on common examples; see `compare` for arguments."""
    columns, n, n_missing = common_columns(conditions, fields)
    values = [value_of(statistic, side, n) if n else None for side in columns]
    every = np.array(values, dtype=np.float64)[:, None]
    if n > 1 and None not in values:
        draws = [resampled(statistic, side, n, seed, resamples) for side in columns]
        every = np.concatenate([every, draws], axis=1)
    return Paired(n, n_missing, every)


def mean_value(every: Array) -> float | None:
    """Return the mean over conditions of the statistic of all examples; None if undefined.

    Args:
        every: [conditions, 1 + resamples], of `Paired`.
    """
    value = float(every[:, 0].mean())
    return value if np.isfinite(value) else None


def common_columns(
    sides: Sequence[Mapping[str, Mapping[str, Any]]], fields: Sequence[str]
) -> tuple[list[Columns], int, int]:
    """Return columns per side of the examples that all have values for, and both numbers.

    Returns:
        The columns, the number of examples that all have values for, and of those dropped.
    """
    # Sorted, so that the order of records in a file never decides which examples a draw picks.
    ids = sorted(set().union(*sides))
    kept = [
        key
        for key in ids
        if not any(is_missing(side.get(key, {}).get(field)) for side in sides for field in fields)
    ]
    columns = [columns_of([side[key] for key in kept], fields) for side in sides]
    return columns, len(kept), len(ids) - len(kept)


def _percent(of_treated: Array, of_reference: Array) -> tuple[Array, Array]:
    """Changes in percent by seed, and of the means over seeds; the references are positive.

    Args:
        of_treated: [seeds, 1 + resamples].
        of_reference: The same, or [1, 1 + resamples].
    """
    below = of_reference.mean(axis=0)
    below = np.where(below > 0, below, np.nan)
    ratio = of_treated.mean(axis=0) / below
    # What a seed adds to the ratio of means, to first order: no seed's own ratio, whose reference
    # may come close to zero.
    by_seed = 100 * (ratio - 1 + (of_treated - ratio * of_reference) / below)
    return by_seed, 100 * (ratio - 1)


@dataclass(frozen=True)
class Sides:
    """Attributes that all comparisons of the same two conditions share; see `Comparison`."""

    paired: Paired
    n_seeds: int
    treated: float | None
    reference: float | None
    level: float

    def comparison(
        self,
        value: float | None,
        low: float | None = None,
        high: float | None = None,
        **more: Any,
    ) -> Comparison:
        """The comparison with this value and these ends."""
        return Comparison(
            value,
            low,
            high,
            self.paired.n,
            self.paired.n_missing,
            treated=self.treated,
            reference=self.reference,
            n_seeds=self.n_seeds,
            **more,
        )

    def pooled(self, by_seed: Array, pooled: Array) -> Comparison:
        """The comparison of which `by_seed` [seeds, 1 + resamples] has the mean `pooled`."""
        value = float(pooled[0])
        spread = float(by_seed[:, 0].std(ddof=1)) if self.n_seeds > 1 else None
        if self.paired.n < 2:
            return self.comparison(value, reason=ALONE, seed_sd=spread)
        low, high, reason = percentile_interval(pooled[1:], self.paired.n, self.level)
        if low is None or high is None:
            return self.comparison(value, reason=reason, seed_sd=spread)
        low, high, df = _widened(value, low, high, by_seed, self.paired.n, self.level)
        p = _p_value(value, low, high, self.paired.n, df, self.level)
        return self.comparison(value, low, high, seed_sd=spread, df=df, p=p)


def difference(
    treated: Values,
    reference: Values,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Comparison:
    """Return mean(treated) - mean(reference) over the examples that both have; see `compare`."""
    return compare(
        [{key: {"value": value} for key, value in treated.items()}],
        [{key: {"value": value} for key, value in reference.items()}],
        mean_of("value"),
        ["value"],
        seed=seed,
        level=level,
        resamples=resamples,
    )[0]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return step-down corrected p values of one family, in the order given (Holm 1979).

    The probability that at least one true null hypothesis has a p value below 0.05 is at most 5 %,
    however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def simultaneous(
    found: Comparison, tests: int, *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Move the ends of a comparison's interval outwards, so that `tests` intervals hold together.

    Bonferroni's correction: by the ratio of the t quantiles for 1 - (1 - level) / tests and for
    `level`.
    """
    if found.value is None or found.low is None or found.high is None or found.df is None:
        return None, None
    far = t_quantile(found.df, 1 - (1 - level) / (2 * tests))
    further = far / t_quantile(found.df, (1 + level) / 2) - 1
    return (
        found.low - further * max(found.value - found.low, 0.0),
        found.high + further * max(found.high - found.value, 0.0),
    )


def detectable(
    low: float, high: float, n: int, *, power: float = 0.8, level: float = 0.95
) -> float:
    """Return the smallest true effect that a study with such an interval finds with this power.

    `smallest_effect`, where the standard error is half the interval over its t quantile. It is
    about another study of the same kind, and says nothing about whether this one's effect is real.

    Args:
        low: Lower end of the interval.
        high: Upper end.
        n: Number of examples, 2 or more.
        power: Chance to find the effect.
        level: Coverage of the interval.
    """
    error = (high - low) / 2 / t_quantile(n - 1, (1 + level) / 2)
    return smallest_effect(error, n, power=power, level=level)


def smallest_effect(
    standard_error: float, n: int, *, tests: int = 1, power: float = 0.8, level: float = 0.95
) -> float:
    """Return the smallest true effect that a two-sided test finds with this power.

    t for 1 - (1 - level) / (2 tests) plus t for `power`, in standard errors, at n - 1 degrees of
    freedom (Bloom 1995, Minimum Detectable Effects).

    Args:
        standard_error: Standard error of the effect.
        n: Number of examples, 2 or more.
        tests: Number of tests in the family: the first of Holm's steps compares p with
            (1 - level) / tests.
        power: Chance to find the effect.
        level: 1 - the chance of a false finding.
    """
    critical = t_quantile(n - 1, 1 - (1 - level) / (2 * tests))
    return standard_error * (critical + t_quantile(n - 1, power))


def _widened(
    value: float, low: float, high: float, by_seed: Array, n: int, level: float
) -> tuple[float, float, float]:
    """Widen an interval over examples by the seeds: its ends, and its degrees of freedom.

    Seeds and examples are crossed random effects. The variance of a mean over both is that between
    the means of seeds, plus that between the means of examples, minus that of what neither
    explains, which is in both (Cameron, Gelbach & Miller 2011, Robust Inference With Multiway
    Clustering). The first is known from the values of the seeds, the other two from their
    resamples. The squared distances of an end from the value add up, both with the t quantile of
    the degrees of freedom that are left (Satterthwaite 1946).

    Args:
        value: The mean over seeds.
        low: Lower end of the interval over examples.
        high: Upper end.
        by_seed: [seeds, 1 + resamples], each seed's value: of the examples, then of resamples.
        n: Number of examples.
        level: Coverage of the interval.
    """
    seeds = len(by_seed)
    if seeds == 1:
        return low, high, n - 1
    of_resamples = by_seed[:, 1:][:, ~np.isnan(by_seed[:, 1:]).any(axis=0)]
    pooled = of_resamples.mean(axis=0)
    of_examples = float(pooled.var()) * n / (n - 1)
    of_neither = (
        float((of_resamples - pooled).var(axis=1).sum()) * n / (n - 1) / (seeds - 1) / seeds
    )
    of_seeds = max(0.0, float(by_seed[:, 0].var(ddof=1)) / seeds - of_neither)
    if of_seeds == 0:
        return low, high, n - 1
    both = of_seeds + of_examples
    # At most n - 1: an interval over few examples must not become narrower than without seeds.
    df = min(n - 1, both**2 / (of_seeds**2 / (seeds - 1) + of_examples**2 / (n - 1)))
    quantile = t_quantile(df, (1 + level) / 2)
    wider = quantile / t_quantile(n - 1, (1 + level) / 2)

    def outwards(half: float) -> float:
        """Distance that an end moves which lies `half` from the value."""
        half = max(half, 0.0)
        return float(np.hypot(half * wider, quantile * of_seeds**0.5)) - half

    return low - outwards(value - low), high + outwards(high - value), df


def _p_value(value: float, low: float, high: float, n: int, df: float, level: float) -> float:
    """The two-sided p value that belongs to an interval (Altman & Bland 2011, BMJ 343:d2304).

    They divide the distance of the value from zero by that from its nearer end, in normal standard
    errors. Here these are Student's, as in the interval. Rounding aside, p is below 1 - level where
    the interval excludes zero; but no p value is below 2^(1 - n), the least that flipping the signs
    of n pairs could give.
    """
    from scipy.special import stdtr

    if value == 0:
        return 1.0
    gap = abs(value - (low if value > 0 else high))
    quantiles = abs(value) / gap * t_quantile(df, (1 + level) / 2) if gap else np.inf
    least = 1 - level if low <= 0 <= high else 2.0 ** (1 - n)
    return max(2 * float(stdtr(df, -quantiles)), least)
