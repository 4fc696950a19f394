"""Position of a student between its base and its teacher, with an interval for the ratio.

The coefficient is (student - base) / (teacher - base), a ratio of two differences that share the
base and the examples. Its interval follows Fieller (1954, Some Problems in Interval Estimation): c
is in it unless the contrast student - base - c (teacher - base) is clearly not zero. Here the
contrast has the same interval as every other difference, so that of the coefficient excludes 0
where student - base is clearly not zero, and 1 where student - teacher is. It contains the
uncertainty of the denominator, and is bounded where teacher - base is clearly not zero.

Where no resample has another sign of teacher - base than the examples, this is the percentile
interval of the resampled ratio: c is above a ratio where the contrast is below zero.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from heirloom.statistics.comparisons import Comparison, Sides, mean_value, pair
from heirloom.statistics.estimates import Estimate
from heirloom.statistics.resampling import NOTHING, UNDEFINED, Statistic, check_options
from heirloom.support.errors import HeirloomError

#: Coverage of all intervals.
LEVEL = 0.95
UNCLEAR = "teacher and base do not differ clearly on these examples"


@dataclass(frozen=True, kw_only=True)
class Coefficient(Estimate):
    """(student - base) / (teacher - base): 0 is at the base, 1 at the teacher.

    Attributes:
        moved: student - base, over the same examples.
        apart: teacher - base, over the same examples.
    """

    moved: Comparison
    apart: Comparison


def coefficient(
    students: Sequence[Mapping[str, Mapping[str, Any]]],
    base: Mapping[str, Mapping[str, Any]],
    teacher: Mapping[str, Mapping[str, Any]],
    statistic: Statistic,
    fields: Sequence[str],
    *,
    seed: int,
    resamples: int = 10_000,
) -> Coefficient:
    """Return the position of a student between its base and its teacher.

    Args:
        students: Example id to fields, one mapping per seed of training.
        base: The same examples under the base.
        teacher: The same examples under the teacher.
        statistic: The statistic that the three are compared by.
        fields: The fields that it uses; an example that any mapping lacks a value for is dropped
            and counted.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.

    Returns:
        The ratio of two differences, that of the student being the mean over seeds. It has no value
        where the p value of teacher - base is 0.05 or more: the denominator could be zero then.

    Raises:
        HeirloomError: `resamples` or `seed` is out of its bounds, or there is no student.
    """
    check_options(seed, LEVEL, resamples)
    if not students:
        raise HeirloomError("no student is given to compare with its base and its teacher.")
    conditions = [*students, base, teacher]
    paired = pair(conditions, statistic, fields, seed=seed, resamples=resamples)
    of_students, of_base, of_teacher = paired.every[:-2], paired.every[-2:-1], paired.every[-1:]
    ends = mean_value(of_students), mean_value(of_base), mean_value(of_teacher)
    sides = Sides(paired, len(students), ends[0], ends[1], LEVEL)
    others = Sides(paired, 1, ends[2], ends[1], LEVEL)
    if None in ends:
        reason = UNDEFINED if paired.n else NOTHING
        moved, apart = (side.comparison(None, reason=reason) for side in (sides, others))
        return _found(None, None, None, reason, moved=moved, apart=apart)
    gap, distance = of_students - of_base, of_teacher - of_base

    @cache
    def contrast(c: float) -> Comparison:
        by_seed = gap - c * distance
        return sides.pooled(by_seed, by_seed.mean(axis=0))

    moved, apart = contrast(0.0), others.pooled(distance, distance[0])
    return _found(*_solved(moved, apart, contrast), moved=moved, apart=apart)


def _found(
    value: float | None,
    low: float | None,
    high: float | None,
    reason: str | None,
    *,
    moved: Comparison,
    apart: Comparison,
) -> Coefficient:
    return Coefficient(value, low, high, moved.n, moved.n_missing, reason, moved=moved, apart=apart)


def _solved(
    moved: Comparison,
    apart: Comparison,
    contrast: Callable[[float], Comparison],
) -> tuple[float | None, float | None, float | None, str | None]:
    """Return the coefficient, the ends of its interval, and the reason why one is None."""
    if moved.value is None or apart.value is None or apart.p is None:
        return None, None, None, apart.reason
    if apart.p >= 1 - LEVEL:
        return None, None, None, UNCLEAR
    value = moved.value / apart.value
    # What leaves the contrast without an interval does so for every c.
    if (reason := contrast(value).reason) is not None:
        return value, None, None, reason
    return value, _end(contrast, value, -1.0), _end(contrast, value, 1.0), None


def _end(contrast: Callable[[float], Comparison], value: float, step: float) -> float:
    """Return the c nearest to `value`, on the side of `step`, that the interval ends at."""
    from scipy.optimize import brentq

    def inside(c: float) -> float:
        """Distance by which the interval of the contrast includes zero, negative if it does not."""
        found = contrast(c)
        assert found.low is not None and found.high is not None
        return min(found.high, -found.low)

    if inside(value) <= 0:
        return value
    # It ends: the further away c is, the more the contrast is that of teacher and base.
    while inside(value + step) > 0:
        step *= 2
    return float(brentq(inside, value, value + step, xtol=1e-12))
