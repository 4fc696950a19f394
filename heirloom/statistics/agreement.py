"""Agreement of two judges of the same pairs.

A verdict is "first", "second" or "tie", and None where a judge gave none. Two conventions are in
use, and both are reported (Zheng et al. 2023, Judging LLM-as-a-Judge, arXiv 2306.05685, section
4.2): agreement over the pairs on which both judges pick an answer (their setup S2), and over all
pairs with a tie as a verdict of its own (S1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from heirloom.statistics.comparisons import Comparison, compare
from heirloom.statistics.estimates import Estimate, estimate
from heirloom.statistics.resampling import Array, Columns, Statistic, mean_of

Verdicts = Mapping[str, str | None]
"""Pair id to verdict."""
_Same = dict[str, dict[str, float]]
"""Pair id to {"same": 1 where two verdicts are equal, else 0}."""


@cache
def kappa_of(first: str, second: str) -> Statistic:
    """Return Cohen's kappa of two fields with the categories that two judges gave.

    (p_o - p_e) / (1 - p_e) with p_o the share of equal categories and p_e the sum over the
    categories of the product of both judges' shares (Cohen 1960, A Coefficient of Agreement for
    Nominal Scales). Undefined where both judges always give one and the same category.
    """

    def kappa(columns: Columns, weights: Array) -> Array:
        one, other = columns[first], columns[second]
        categories = np.union1d(one, other)
        indicators = [side == category for category in categories for side in (one, other)]
        # All sums in one pass over the weights, which is what takes the time.
        sums = weights @ np.stack([one == other, *indicators], axis=1).astype(np.float64)
        total = weights.sum(axis=1)
        equal = sums[:, 0] / total
        chance = (sums[:, 1::2] * sums[:, 2::2]).sum(axis=1) / total**2
        return np.asarray((equal - chance) / (1 - chance), dtype=np.float64)

    return kappa


@dataclass(frozen=True)
class Agreement:
    """Agreement of two judges.

    Attributes:
        n_ties: Pairs on which both gave a verdict and one of them, or both, a tie.
        n_missing: Pairs on which a judge gave no verdict.
        share: Share of equal verdicts over the `share.n` pairs on which both pick an answer.
        kappa: Cohen's kappa over the same pairs.
        share_with_ties: Share of equal verdicts over all pairs with two verdicts.
        kappa_with_ties: Cohen's kappa over the same pairs, a tie being a category.
    """

    n_ties: int
    n_missing: int
    share: Estimate
    kappa: Estimate
    share_with_ties: Estimate
    kappa_with_ties: Estimate


def compare_judges(one: Verdicts, other: Verdicts, *, seed: int) -> Agreement:
    """Compare two judges on the pairs that both were shown.

    Args:
        one: The verdicts of a judge.
        other: Those of the other.
        seed: Seed of the resampling of pairs; see `heirloom.statistics.estimates.estimate`.
    """
    # Sorted, so that the order of records in a file never decides which pairs a draw picks.
    shown = sorted(one.keys() & other.keys())
    examples = [
        {"one": one[key], "other": other[key], "same": float(one[key] == other[key])}
        for key in shown
        if one[key] is not None and other[key] is not None
    ]
    decided = [e for e in examples if "tie" not in (e["one"], e["other"])]
    kappa, share = kappa_of("one", "other"), mean_of("same")
    return Agreement(
        n_ties=len(examples) - len(decided),
        n_missing=len(shown) - len(examples),
        share=estimate(decided, share, ["same"], seed=seed),
        kappa=estimate(decided, kappa, ["one", "other"], seed=seed),
        share_with_ties=estimate(examples, share, ["same"], seed=seed),
        kappa_with_ties=estimate(examples, kappa, ["one", "other"], seed=seed),
    )


@dataclass(frozen=True)
class Gain:
    """A student's agreement with a judge, next to that of its base with the same judge.

    Attributes:
        n_ties: Pairs on which all gave a verdict and one of them, or more, a tie.
        n_missing: Pairs on which one gave no verdict.
        gain: Share of verdicts equal to the judge's, the student's minus the base's.
        base_lead: Share of the student's verdicts equal to its base's, minus that equal to the
            judge's.
    """

    n_ties: int
    n_missing: int
    gain: Comparison
    base_lead: Comparison


def agreement_gain(
    students: Sequence[Verdicts],
    base: Verdicts,
    judge: Verdicts,
    *,
    seed: int,
    resamples: int = 10_000,
) -> Gain:
    """Compare a student with its base by how often each agrees with another judge.

    Both shares, and that of the student's agreement with its base, are over the pairs on which all
    of them pick an answer, so that they are paired.

    Args:
        students: The verdicts of a student, one mapping per seed of training.
        base: Those of its base.
        judge: Those of the judge.
        seed: Seed of the resampling of pairs; see `heirloom.statistics.comparisons.compare`.
        resamples: Number of bootstrap samples.
    """
    everyone = [*students, base, judge]
    shown = set.intersection(*(set(verdicts) for verdicts in everyone))
    given = [key for key in shown if all(verdicts[key] is not None for verdicts in everyone)]
    decided = [key for key in given if all(verdicts[key] != "tie" for verdicts in everyone)]

    def same(one: Verdicts, other: Verdicts) -> _Same:
        return {key: {"same": float(one[key] == other[key])} for key in decided}

    with_judge = [same(student, judge) for student in students]
    with_base = [same(student, base) for student in students]

    def compared(one: list[_Same], other: list[_Same]) -> Comparison:
        share = mean_of("same"), ["same"]
        return compare(one, other, *share, seed=seed, resamples=resamples)[0]

    return Gain(
        n_ties=len(given) - len(decided),
        n_missing=len(shown) - len(given),
        gain=compared(with_judge, [same(base, judge)]),
        base_lead=compared(with_base, with_judge),
    )
