"""A p value from swapping the conditions of examples, which needs no interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from heirloom.statistics.comparisons import common_columns


def permutation_p(
    treated: Sequence[Mapping[str, Mapping[str, Any]]],
    reference: Sequence[Mapping[str, Mapping[str, Any]]],
    field: str,
    *,
    seed: int,
    resamples: int = 9_999,
) -> float | None:
    """Return the two-sided p value of a paired permutation test of the difference of two means.

    Each example's values under the two conditions, means over seeds, are swapped or not (Fisher
    1935, The Design of Experiments, section 21). With up to 13 examples all 2^n swaps are made and
    p is exact; with more, it is that of `resamples` random ones, never below 2 / (resamples + 1).

    Args:
        treated: Example id to fields, one mapping per seed.
        reference: The same examples under the reference condition, one mapping or more.
        field: The field whose means are compared.
        seed: Seed of the random swaps.
        resamples: Number of random swaps.

    Returns:
        The p value; None below two examples that all mappings have a value for.
    """
    import numpy as np
    from scipy.stats import permutation_test

    columns, n, _ = common_columns([*treated, *reference], [field])
    if n < 2:
        return None
    values = np.array([side[field] for side in columns])
    sides = values[: len(treated)].mean(axis=0), values[len(treated) :].mean(axis=0)
    found = permutation_test(
        sides,
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=1_000,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
