"""Preference leakage: how far judges favour the students of their own completions."""

from functools import cache

import numpy as np

from heirloom.statistics.resampling import Array, Columns, Statistic


@cache
def preference_leakage(own: tuple[str, str], cross: tuple[str, str]) -> Statistic:
    """Return the preference leakage score of two students and their teachers, in percent.

    Of Li et al. 2025, Preference Leakage: A Contamination Problem in LLM-as-a-judge, arXiv
    2502.01534. With WR(i, j) the win rate of student i, which learnt from model i, as model j
    judges it against the other student,

        AVG(i, j) = (WR(i, i) + WR(i, j)) / 2
        PLS(i, j) = ((WR(i, i) - AVG(i, j)) / AVG(i, j) + (WR(j, j) - AVG(j, i)) / AVG(j, i)) / 2

    From -100, where each judge lets its student lose whenever the other lets it win, by 0, where
    judges agree on win rates, to 100. In their results on Arena-Hard, which has ties, a win rate is
    the share of wins among all pairs. Undefined where a student wins with neither judge.

    Args:
        own: Fields with the wins (1 or 0 per prompt) of each student by its own teacher: WR(i, i)
            and WR(j, j) are their means.
        cross: Likewise by the other teacher: WR(i, j) and WR(j, i).
    """

    def score(columns: Columns, weights: Array) -> Array:
        wins = np.stack([columns[field] for field in (*own, *cross)], axis=1)
        rates = weights @ wins / weights.sum(axis=1, keepdims=True)
        average = (rates[:, :2] + rates[:, 2:]) / 2
        return np.asarray(100 * ((rates[:, :2] - average) / average).mean(axis=1), np.float64)

    return score
