"""The bootstrap behind every interval: resamples of examples, and quantiles of a statistic of them.

docs/statistics.md gives the reason for every choice here.

Intervals are expanded percentile intervals of the nonparametric bootstrap: draw n examples with
replacement, recompute the statistic, repeat (Efron & Tibshirani 1993, An Introduction to the
Bootstrap, chapter 13), and report those quantiles of the results that make the interval of a mean
as wide as Student's instead of sqrt((n - 1) / n) z / t times as wide (Hesterberg 2015, What
Teachers Should Know About the Bootstrap). Two conditions are compared on the same examples, so one
draw of examples serves both: what makes an example easy or hard for both cancels.

A statistic is written in what they call the resampling form: a function of the number of times
that each example was drawn. The same seed gives the same draws for the same number of examples, so
that one set of weights serves every statistic, and means under all resamples are one matrix
product.

Where a condition was trained with several seeds, these are a second level: its statistic is the
mean over seeds, and the interval is widened by the variance between them. With one seed, intervals
describe the sampling of examples only. The choice of prompts for the training set and the sampling
of candidates are other sources of variation that they never see.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heirloom.support.errors import HeirloomError

Array = NDArray[np.float64]
Counts = NDArray[np.uint8]
Columns = Mapping[str, NDArray[Any]]
"""Field name to its values over n examples: float64 [n], or text [n] for groups."""

Statistic = Callable[[Columns, Array], Array]
"""`statistic(columns, weights)`: weights [b, n], the number of times that each resample drew each
example; the result is [b], NaN where a resample leaves it undefined (0 / 0 needs no guard). It must
be a function of its arguments alone and may see the resamples in several chunks."""

NOTHING = "no example has a value"
UNDEFINED = "it is undefined for these examples"
ALONE = "one example has no interval"

# 2^17 weights of 8 bytes: 1 MB, which a statistic passes over inside a processor's cache.
_WEIGHTS_AT_ONCE = 1 << 17
# Counts of one byte that are kept for the next statistic of as many examples: 32 MB at most.
_COUNTS_KEPT = 1 << 25


@cache
def mean_of(field: str) -> Statistic:
    """Return the mean of one field over the examples, as a statistic."""

    def mean(columns: Columns, weights: Array) -> Array:
        values = columns[field]
        # Both sums in one pass over the weights, which is what takes the time.
        sums = weights @ np.stack([values, np.ones_like(values)], axis=1)
        return np.asarray(sums[:, 0] / sums[:, 1], dtype=np.float64)

    return mean


def check_options(seed: int, level: float, resamples: int) -> None:
    """Refuse options of the resampling that are out of bounds.

    Raises:
        HeirloomError: `level` is not strictly between 0 and 1, `resamples` below 1 or `seed` below
            0.
    """
    if not 0 < level < 1:
        raise HeirloomError(f"level is {level}; give a coverage strictly between 0 and 1.")
    if resamples < 1:
        raise HeirloomError(f"resamples is {resamples}; give 1 or more.")
    if seed < 0:
        raise HeirloomError(f"seed is {seed}; give 0 or more.")


def is_missing(value: Any) -> bool:
    """Return True for None and NaN."""
    return value is None or (isinstance(value, float) and value != value)


def columns_of(examples: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Columns:
    """Return the fields of examples as arrays: of text if any value is text, else float64."""
    columns = {}
    for field in fields:
        values = [example[field] for example in examples]
        text = any(isinstance(value, str) for value in values)
        columns[field] = np.array(values, dtype=str if text else np.float64)
    return columns


def value_of(statistic: Statistic, columns: Columns, n: int) -> float | None:
    """Return the statistic of the examples as they are, each drawn once; None if undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(columns, np.ones((1, n)))[0])
    return value if np.isfinite(value) else None


def resampled(statistic: Statistic, columns: Columns, n: int, seed: int, resamples: int) -> Array:
    """Return the statistic [resamples] under every resample of the n examples."""
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
    """Yield the number of times that each of n examples is drawn, in chunks of shape (some, n)."""
    rows = max(1, _WEIGHTS_AT_ONCE // n)
    chunks = (
        _kept_counts(n, seed, resamples, rows)
        if n * resamples <= _COUNTS_KEPT
        else _counts(n, seed, resamples, rows)
    )
    for counts in chunks:
        yield counts.astype(np.float64)


@lru_cache(maxsize=16)
def _kept_counts(n: int, seed: int, resamples: int, rows: int) -> list[Counts]:
    return list(_counts(n, seed, resamples, rows))


def _counts(n: int, seed: int, resamples: int, rows: int) -> Iterator[Counts]:
    """Yield the number of times that each of n examples is drawn, `rows` resamples at a time."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        picks = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        # A byte is enough: the chance that one of more than 255 examples is drawn more than 255
        # times is below 1 / 256! (choose the draws, each hits it with probability 1 / n).
        yield np.bincount(picks.ravel(), minlength=size * n).reshape(size, n).astype(np.uint8)


def t_quantile(df: float, probability: float) -> float:
    """Return the quantile of Student's t distribution with `df` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def percentile_interval(
    draws: Array, n: int, level: float
) -> tuple[float | None, float | None, str | None]:
    """Return the ends of the expanded percentile interval of n examples, or why there is none.

    Args:
        draws: The statistic under every resample.
        n: Number of examples, 2 or more.
        level: Coverage of the interval.

    Returns:
        Lower end, upper end and None; or None, None and the reason.
    """
    from scipy.special import ndtr

    tail = float(ndtr(-((n / (n - 1)) ** 0.5) * t_quantile(n - 1, (1 + level) / 2)))
    # An undefined resample could lie anywhere: it pushes both ends outwards.
    undefined = np.isnan(draws)
    with np.errstate(invalid="ignore"):  # Between two infinities; the result is not finite.
        low = float(np.quantile(np.where(undefined, -np.inf, draws), tail))
        high = float(np.quantile(np.where(undefined, np.inf, draws), 1 - tail))
    if np.isfinite(low) and np.isfinite(high):
        return low, high, None
    return None, None, "too many resamples leave it undefined for an interval"
