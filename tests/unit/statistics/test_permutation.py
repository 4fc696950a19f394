"""The paired permutation test, by hand."""

from itertools import product

import numpy as np
import pytest

from heirloom.statistics.permutation import permutation_p


def examples(values: list[float | None]) -> dict[str, dict[str, float | None]]:
    return {f"e{index}": {"value": value} for index, value in enumerate(values)}


def test_few_examples_are_exact() -> None:
    # Differences 1, 2, 3: of 8 signs one gives a sum of 6 and one of -6.
    p = permutation_p([examples([2, 4, 6])], [examples([1, 2, 3])], "value", seed=1)
    assert p == pytest.approx(2 / 8)


def test_all_signs_of_thirteen_examples() -> None:
    differences = np.random.default_rng(2).normal(0.6, 1, 13)
    sums = np.array(list(product([-1, 1], repeat=13))) @ differences
    expected = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9)
    zeros = [0.0] * 13
    p = permutation_p([examples([*differences])], [examples([*zeros])], "value", seed=1)
    assert p == pytest.approx(expected)


def test_seeds_are_averaged_and_missing_examples_dropped() -> None:
    # Means over seeds 2, 4, 6 and, for the fourth, no value under one seed.
    treated = [examples([1, 3, 5, 9]), examples([3, 5, 7, None])]
    assert permutation_p(treated, [examples([1, 2, 3, 0])], "value", seed=1) == 2 / 8


def test_many_examples_depend_on_the_seed_alone() -> None:
    rng = np.random.default_rng(3)
    one, other = examples([*rng.normal(1, 1, 40)]), examples([*rng.normal(0, 1, 40)])
    first = permutation_p([one], [other], "value", seed=1)
    assert first == permutation_p([one], [other], "value", seed=1)
    assert first is not None and 2 / 10_000 <= first < 0.01


def test_one_example_has_no_p_value() -> None:
    assert permutation_p([examples([1])], [examples([0])], "value", seed=1) is None
