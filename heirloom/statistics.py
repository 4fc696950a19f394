"""Paired bootstrap intervals for means, differences and relative changes.

All intervals are percentile intervals of the nonparametric bootstrap: draw n examples with
replacement, recompute the statistic, repeat, and report the quantiles (1 - level) / 2 and
(1 + level) / 2 of the results (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter
13). Two conditions are compared on the same examples, so one draw of examples serves both: what
makes an example easy or hard for either cancels out.

They describe the sampling of examples only. The seed of a training run, the choice of prompts for
the training set and the sampling of candidates are other sources of variation that they do not see.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heirloom.errors import HeirloomError

Values = Mapping[str, float | None]
Array = NDArray[np.float64]

# 2^20 indices of 8 bytes, gathered once or twice: some 25 MB, whatever the number of examples.
_INDICES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """A number and its percentile bootstrap interval.

    Attributes:
        value: the statistic; None where `reason` says why it is undefined.
        low: lower end of the interval, or None.
        high: upper end of the interval, or None.
        n: examples that entered.
        n_missing: examples dropped because a value was missing.
        reason: why `value`, or else the interval, is None; None when both are there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int
    reason: str | None = None


@dataclass(frozen=True)
class Comparison(Estimate):
    """An estimate that compares two conditions on the same examples.

    Attributes:
        treated: mean of the treated condition over the `n` common examples, None when n is 0.
        reference: mean of the reference over the same examples, None when n is 0.
    """

    treated: float | None = None
    reference: float | None = None


def mean_interval(
    values: Iterable[float | None],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Estimate:
    """The mean of `values`, in their own unit, with its bootstrap interval.

    Args:
        values: one number an example; None (or NaN) is missing and is dropped and counted. Their
            order does not matter.
        seed: of the resampling; the same seed and values give the same interval.
        level: coverage of the interval, strictly between 0 and 1.
        resamples: number of bootstrap samples.

    Returns:
        The mean. No value when nothing is left, no interval below two examples.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds.
    """
    table = np.array([[_number(value) for value in values]], dtype=np.float64)
    present = np.sort(table[:, ~np.isnan(table[0])], axis=1)
    value, low, high, reason = _bootstrap(
        present, lambda means: means[0], seed=seed, level=level, resamples=resamples
    )
    n = present.shape[1]
    return Estimate(value, low, high, n, table.shape[1] - n, reason)


def difference(
    treated: Values,
    reference: Values,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Comparison:
    """mean(treated) - mean(reference) over the examples both have, in the metric's own unit.

    Args:
        treated: example id to value; None is missing.
        reference: the same examples under the reference condition.
        seed: of the resampling.
        level: coverage of the interval, strictly between 0 and 1.
        resamples: number of bootstrap samples.

    Returns:
        The difference with its paired interval; `n_missing` counts the ids that either side lacks
        or has as None.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds.
    """
    return _compare(
        treated,
        reference,
        lambda means: means[0] - means[1],
        seed=seed,
        level=level,
        resamples=resamples,
    )


def relative_change(
    treated: Values,
    reference: Values,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Comparison:
    """100 * (mean(treated) / mean(reference) - 1) over the examples both have, in percent.

    A ratio of means, not a mean of ratios: examples whose reference is 0 take part. It is undefined
    where the mean of the reference is not positive, because a percentage of zero or of a negative
    number says nothing; `difference` is the way out. The interval is None as well when so many
    resamples have no positive reference mean that one of its ends is undefined.

    Args:
        treated: example id to value; None is missing.
        reference: the same examples under the reference condition.
        seed: of the resampling.
        level: coverage of the interval, strictly between 0 and 1.
        resamples: number of bootstrap samples.

    Returns:
        The change with its paired interval; identical inputs give exactly 0.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds.
    """
    return _compare(
        treated, reference, _percent_change, seed=seed, level=level, resamples=resamples
    )


def _percent_change(means: Array) -> Array:
    """Shape (2, ...) to (...), in percent; NaN where the reference is not positive."""
    reference = np.where(means[1] > 0, means[1], np.nan)
    return np.asarray(100 * (means[0] / reference - 1), dtype=np.float64)


def _compare(
    treated: Values,
    reference: Values,
    statistic: Callable[[Array], Any],
    *,
    seed: int,
    level: float,
    resamples: int,
) -> Comparison:
    # Sorted, so that the order of records in a file never decides which examples a draw picks.
    ids = sorted(treated.keys() | reference.keys())
    table = np.array(
        [[_number(side.get(key)) for key in ids] for side in (treated, reference)],
        dtype=np.float64,
    )
    present = table[:, ~np.isnan(table).any(axis=0)]
    n = present.shape[1]
    value, low, high, reason = _bootstrap(
        present, statistic, seed=seed, level=level, resamples=resamples
    )
    means = present.mean(axis=1).tolist() if n else [None, None]
    return Comparison(value, low, high, n, len(ids) - n, reason, means[0], means[1])


def _bootstrap(
    rows: Array,
    statistic: Callable[[Array], Any],
    *,
    seed: int,
    level: float,
    resamples: int,
) -> tuple[float | None, float | None, float | None, str | None]:
    """value, low, high, reason of `statistic`, a function of the row means of `rows` (c, n)."""
    if not 0 < level < 1:
        raise HeirloomError(f"level is {level}; give a coverage strictly between 0 and 1.")
    if resamples < 1:
        raise HeirloomError(f"resamples is {resamples}; give 1 or more.")
    if seed < 0:
        raise HeirloomError(f"seed is {seed}; give 0 or more.")
    n = rows.shape[1]
    if n == 0:
        return None, None, None, "no example has a value"
    value = float(statistic(rows.mean(axis=1)))
    if np.isnan(value):
        return None, None, None, "the mean of the reference is not positive"
    if n < 2:
        return value, None, None, "one example has no interval"
    draws = np.concatenate([statistic(means) for means in _resampled(rows, seed, resamples)])
    # An undefined resample could lie anywhere: it pushes both ends outwards.
    undefined = np.isnan(draws)
    with np.errstate(invalid="ignore"):
        low = float(np.quantile(np.where(undefined, -np.inf, draws), (1 - level) / 2))
        high = float(np.quantile(np.where(undefined, np.inf, draws), (1 + level) / 2))
    if not (np.isfinite(low) and np.isfinite(high)):
        return value, None, None, "the mean of the reference is too close to zero for an interval"
    return value, low, high, None


def _resampled(rows: Array, seed: int, resamples: int) -> Iterator[Array]:
    """Row means of the bootstrap samples, in chunks of shape (c, some); one draw for all rows."""
    n = rows.shape[1]
    generator = np.random.default_rng(seed)
    size = max(1, _INDICES_AT_ONCE // n)
    for start in range(0, resamples, size):
        picks = generator.integers(0, n, size=(min(size, resamples - start), n))
        yield np.stack([row[picks].mean(axis=1) for row in rows])


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
