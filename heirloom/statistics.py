"""Paired bootstrap intervals for means, and for any other statistic of examples.

All intervals are percentile intervals of the nonparametric bootstrap: draw n examples with
replacement, recompute the statistic, repeat, and report the quantiles (1 - level) / 2 and
(1 + level) / 2 of the results (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter
13). Two conditions are compared on the same examples, so one draw of examples serves both: what
makes an example easy or hard for either cancels out.

A statistic is written in what they call the resampling form: a function of how often each example
was drawn. The same seed gives the same draws for the same number of examples, so that one set of
weights serves every statistic, and means under all resamples are one matrix product.

The intervals describe the sampling of examples only. The seed of a training run, the choice of
prompts for the training set and the sampling of candidates are other sources of variation that they
do not see.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heirloom.errors import HeirloomError

Values = Mapping[str, float | None]
Array = NDArray[np.float64]
Counts = NDArray[np.uint8]
Columns = Mapping[str, NDArray[Any]]
"""Field name to its values over n examples: float64 [n], or text [n] for groups."""

Statistic = Callable[[Columns, Array], Array]
"""`statistic(columns, weights)`: weights [b, n], how often each resample drew each example; the
result is [b], NaN where a resample leaves it undefined (0 / 0 needs no guard). It must be a
function of its arguments alone and may see the resamples in several parts."""

_NOTHING = "no example has a value"
_UNDEFINED = "it is undefined for these examples"
_ALONE = "one example has no interval"

# 2^17 weights of 8 bytes: 1 MB, which a statistic passes over inside a processor's cache.
_WEIGHTS_AT_ONCE = 1 << 17
# Counts of one byte that are kept for the next statistic of as many examples: 32 MB at most.
_COUNTS_KEPT = 1 << 25


@cache
def mean_of(field: str) -> Statistic:
    """The mean of one field over the examples."""

    def mean(columns: Columns, weights: Array) -> Array:
        values = columns[field]
        # Both sums in one pass over the weights, which is what takes the time.
        sums = weights @ np.stack([values, np.ones_like(values)], axis=1)
        return np.asarray(sums[:, 0] / sums[:, 1], dtype=np.float64)

    return mean


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
        treated: the statistic of the treated condition over the `n` common examples; None when n is
            0 or it is undefined for them.
        reference: the same of the reference.
    """

    treated: float | None = None
    reference: float | None = None


def estimate(
    examples: Sequence[Mapping[str, Any]],
    statistic: Statistic,
    fields: Sequence[str],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Estimate:
    """A statistic of `examples` with its bootstrap interval.

    Args:
        examples: one mapping an example, with `fields`.
        statistic: what to compute.
        fields: what the statistic uses. An example without a value for one of them (None or NaN)
            is dropped and counted.
        seed: of the resampling; the same seed and examples give the same interval.
        level: coverage of the interval, strictly between 0 and 1.
        resamples: number of bootstrap samples.

    Returns:
        The statistic. No value when nothing is left or it is undefined, no interval below two
        examples or where so many resamples leave it undefined that an end of the interval is.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds.
    """
    _check(seed, level, resamples)
    complete = [e for e in examples if not any(_missing(e.get(field)) for field in fields)]
    columns = _columns(complete, fields)
    n, n_missing = len(complete), len(examples) - len(complete)
    if n == 0:
        return Estimate(None, None, None, 0, n_missing, _NOTHING)
    value = _value(statistic, columns, n)
    if value is None:
        return Estimate(None, None, None, n, n_missing, _UNDEFINED)
    if n < 2:
        return Estimate(value, None, None, n, n_missing, _ALONE)
    low, high, reason = _interval(_resampled(statistic, columns, n, seed, resamples), level)
    return Estimate(value, low, high, n, n_missing, reason)


def compare(
    treated: Mapping[str, Mapping[str, Any]],
    reference: Mapping[str, Mapping[str, Any]],
    statistic: Statistic,
    fields: Sequence[str],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> tuple[Comparison, Comparison]:
    """The difference treated - reference of a statistic, and the same in percent.

    Args:
        treated: example id to fields.
        reference: the same examples under the reference condition.
        statistic: what to compute.
        fields: what it uses; an example that either side lacks a value for is dropped and counted.
        seed: of the resampling.
        level: coverage of the intervals, strictly between 0 and 1.
        resamples: number of bootstrap samples.

    Returns:
        The difference in the statistic's own unit, and 100 * (treated / reference - 1). The second
        is undefined where the reference is not positive, because a percentage of zero or of a
        negative number says nothing.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds.
    """
    _check(seed, level, resamples)
    # Sorted, so that the order of records in a file never decides which examples a draw picks.
    ids = sorted(treated.keys() | reference.keys())
    sides = [[side.get(key, {}) for key in ids] for side in (treated, reference)]
    kept = [
        index
        for index in range(len(ids))
        if not any(_missing(side[index].get(field)) for side in sides for field in fields)
    ]
    n, n_missing = len(kept), len(ids) - len(kept)
    columns = [_columns([side[index] for index in kept], fields) for side in sides]
    treated_value, reference_value = (_value(statistic, side, n) if n else None for side in columns)

    def comparison(value: float | None, draws: Array | None, reason: str | None) -> Comparison:
        low = high = None
        if draws is not None:
            low, high, reason = _interval(draws, level)
        return Comparison(value, low, high, n, n_missing, reason, treated_value, reference_value)

    if treated_value is None or reference_value is None:
        nothing = comparison(None, None, _UNDEFINED if n else _NOTHING)
        return nothing, nothing
    gap = percent = None
    if n > 1:
        treated_draws, reference_draws = (
            _resampled(statistic, side, n, seed, resamples) for side in columns
        )
        gap = treated_draws - reference_draws
        percent = 100 * (treated_draws / np.where(reference_draws > 0, reference_draws, np.nan) - 1)
    difference = comparison(treated_value - reference_value, gap, _ALONE)
    if reference_value <= 0:
        return difference, comparison(None, None, "the reference is not positive")
    return difference, comparison(100 * (treated_value / reference_value - 1), percent, _ALONE)


def mean_interval(
    values: Iterable[float | None],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Estimate:
    """The mean of `values`, in their own unit, with its bootstrap interval; see `estimate`."""
    # Sorted, so that the order of the values decides nothing.
    examples = sorted(
        ({"value": v} for v in values), key=lambda e: (_missing(e["value"]), e["value"] or 0)
    )
    return estimate(
        examples, mean_of("value"), ["value"], seed=seed, level=level, resamples=resamples
    )


def difference(
    treated: Values,
    reference: Values,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Comparison:
    """mean(treated) - mean(reference) over the examples both have; see `compare`."""
    return _compare_means(treated, reference, seed, level, resamples)[0]


def relative_change(
    treated: Values,
    reference: Values,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Comparison:
    """100 * (mean(treated) / mean(reference) - 1) over the examples both have; see `compare`.

    A ratio of means, not a mean of ratios: examples whose reference is 0 take part.
    """
    return _compare_means(treated, reference, seed, level, resamples)[1]


def _compare_means(
    treated: Values, reference: Values, seed: int, level: float, resamples: int
) -> tuple[Comparison, Comparison]:
    return compare(
        {key: {"value": value} for key, value in treated.items()},
        {key: {"value": value} for key, value in reference.items()},
        mean_of("value"),
        ["value"],
        seed=seed,
        level=level,
        resamples=resamples,
    )


def _check(seed: int, level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise HeirloomError(f"level is {level}; give a coverage strictly between 0 and 1.")
    if resamples < 1:
        raise HeirloomError(f"resamples is {resamples}; give 1 or more.")
    if seed < 0:
        raise HeirloomError(f"seed is {seed}; give 0 or more.")


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _columns(examples: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Columns:
    columns = {}
    for field in fields:
        values = [example[field] for example in examples]
        text = any(isinstance(value, str) for value in values)
        columns[field] = np.array(values, dtype=str if text else np.float64)
    return columns


def _value(statistic: Statistic, columns: Columns, n: int) -> float | None:
    """The statistic of the examples as they are: each drawn once."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(columns, np.ones((1, n)))[0])
    return value if np.isfinite(value) else None


def _resampled(statistic: Statistic, columns: Columns, n: int, seed: int, resamples: int) -> Array:
    """The statistic [resamples] under every resample of the n examples."""
    contents = tuple((name, str(c.dtype), c.tobytes()) for name, c in columns.items())
    return _resampled_contents(statistic, contents, n, seed, resamples)


# A base and a control are compared with many students: what their resamples give is kept, found
# again by what the columns hold.
@lru_cache(maxsize=128)
def _resampled_contents(
    statistic: Statistic,
    contents: tuple[tuple[str, str, bytes], ...],
    n: int,
    seed: int,
    resamples: int,
) -> Array:
    columns = {name: np.frombuffer(data, dtype=dtype) for name, dtype, data in contents}
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([statistic(columns, w) for w in _weights(n, seed, resamples)])


def _weights(n: int, seed: int, resamples: int) -> Iterator[Array]:
    """How often each of n examples is drawn, in parts of shape (some, n)."""
    rows = max(1, _WEIGHTS_AT_ONCE // n)
    parts = (
        _kept_counts(n, seed, resamples, rows)
        if n * resamples <= _COUNTS_KEPT
        else _counts(n, seed, resamples, rows)
    )
    for counts in parts:
        yield counts.astype(np.float64)


@lru_cache(maxsize=16)
def _kept_counts(n: int, seed: int, resamples: int, rows: int) -> list[Counts]:
    return list(_counts(n, seed, resamples, rows))


def _counts(n: int, seed: int, resamples: int, rows: int) -> Iterator[Counts]:
    """How often each of n examples is drawn, `rows` resamples at a time."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        picks = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        # A byte is enough: the chance that one of more than 255 examples is drawn more than 255
        # times is below 1 / 256! (choose the draws, each hits it with probability 1 / n).
        yield np.bincount(picks.ravel(), minlength=size * n).reshape(size, n).astype(np.uint8)


def _interval(draws: Array, level: float) -> tuple[float | None, float | None, str | None]:
    """The ends of the interval, or why there is none."""
    # An undefined resample could lie anywhere: it pushes both ends outwards.
    undefined = np.isnan(draws)
    with np.errstate(invalid="ignore"):  # Between two infinities; the result is not finite.
        low = float(np.quantile(np.where(undefined, -np.inf, draws), (1 - level) / 2))
        high = float(np.quantile(np.where(undefined, np.inf, draws), (1 + level) / 2))
    if np.isfinite(low) and np.isfinite(high):
        return low, high, None
    return None, None, "too many resamples leave it undefined for an interval"
