"""Estimate one statistic of one set of examples, with its bootstrap interval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heirloom.statistics.resampling import (
    ALONE,
    NOTHING,
    UNDEFINED,
    Statistic,
    check_options,
    columns_of,
    is_missing,
    percentile_interval,
    resampled,
    value_of,
)


@dataclass(frozen=True)
class Estimate:
    """A number and its expanded percentile bootstrap interval.

    Attributes:
        value: The statistic; None where `reason` says why it is undefined.
        low: Lower end of the interval, or None.
        high: Upper end of the interval, or None.
        n: Number of examples that entered.
        n_missing: Number of examples dropped because a value was missing.
        reason: Why `value`, or else the interval, is None; None when both are there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int
    reason: str | None = None


def estimate(
    examples: Sequence[Mapping[str, Any]],
    statistic: Statistic,
    fields: Sequence[str],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Estimate:
    """Return a statistic of `examples` with its bootstrap interval.

    Args:
        examples: One mapping per example, with `fields`.
        statistic: The statistic.
        fields: The fields that it uses. An example without a value for one of them (None or NaN) is
            dropped and counted.
        seed: Seed of the resampling; the same seed and examples give the same interval.
        level: Coverage of the interval, strictly between 0 and 1.
        resamples: Number of bootstrap samples.

    Returns:
        The statistic. No value when nothing is left or it is undefined, no interval below two
        examples or where so many resamples leave it undefined that an end of the interval is.

    Raises:
        HeirloomError: `level`, `resamples` or `seed` is out of its bounds.
    """
    check_options(seed, level, resamples)
    complete = [e for e in examples if not any(is_missing(e.get(field)) for field in fields)]
    columns = columns_of(complete, fields)
    n, n_missing = len(complete), len(examples) - len(complete)
    if n == 0:
        return Estimate(None, None, None, 0, n_missing, NOTHING)
    value = value_of(statistic, columns, n)
    if value is None:
        return Estimate(None, None, None, n, n_missing, UNDEFINED)
    if n < 2:
        return Estimate(value, None, None, n, n_missing, ALONE)
    draws = resampled(statistic, columns, n, seed, resamples)
    low, high, reason = percentile_interval(draws, n, level)
    return Estimate(value, low, high, n, n_missing, reason)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None if there are none."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
