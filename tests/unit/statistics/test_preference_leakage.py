"""The preference leakage score against the numbers of the paper that defines it."""

import numpy as np
import pytest

from heirloom.statistics.preference_leakage import preference_leakage
from heirloom.statistics.resampling import value_of

SCORE = preference_leakage(("ii", "jj"), ("ij", "ji"))

# Figures 2 and 3 of Li et al. 2025 (arXiv 2502.01534): shares of wins in percent of two students, i
# and j, by the judge that i learnt from and by the one that j did; and the scores of their Table 1.
PUBLISHED = [
    # Arena-Hard, with ties. Mistral-7B: GPT-4o and Gemini-1.5, GPT-4o and LLaMA-3.3, LLaMA and
    # Gemini; then Qwen-2.5-14B.
    ((38.4, 27.0), (18.2, 42.0), 28.7),
    ((55.8, 17.2), (50.4, 14.6), -1.5),
    ((14.6, 55.4), (9.2, 59.4), 13.1),
    ((49.8, 21.2), (22.0, 44.5), 37.1),
    ((57.4, 13.0), (39.0, 9.2), 1.0),
    ((16.4, 35.2), (10.0, 60.6), 25.4),
    # AlpacaEval 2.0, without ties.
    ((55.1, 44.9), (36.8, 63.2), 18.4),
    ((61.6, 38.4), (60.3, 39.7), 1.4),
    ((39.5, 60.5), (22.6, 77.4), 19.8),
    ((57.8, 42.2), (39.3, 60.7), 18.6),
    ((61.5, 38.5), (59.3, 40.7), 2.3),
    ((42.9, 57.1), (26.2, 73.8), 18.4),
]


def wins(share: float) -> np.ndarray:
    """A thousand prompts of which a student wins this share, in percent."""
    return np.repeat([1.0, 0.0], [round(10 * share), round(1000 - 10 * share)])


@pytest.mark.parametrize(("by_i", "by_j", "score"), PUBLISHED)
def test_the_published_scores_follow_from_the_published_win_rates(
    by_i: tuple[float, float], by_j: tuple[float, float], score: float
) -> None:
    columns = {"ii": wins(by_i[0]), "ji": wins(by_i[1]), "ij": wins(by_j[0]), "jj": wins(by_j[1])}
    assert value_of(SCORE, columns, 1000) == pytest.approx(score, abs=0.1)  # of rounded win rates


def test_bounds_and_what_is_undefined() -> None:
    always, never = np.ones(4), np.zeros(4)

    def score(ii: np.ndarray, ij: np.ndarray, jj: np.ndarray, ji: np.ndarray) -> float | None:
        return value_of(SCORE, {"ii": ii, "ij": ij, "jj": jj, "ji": ji}, 4)

    # (1 - 1/2) / (1/2) = 1 and (0 - 1/2) / (1/2) = -1.
    assert score(always, never, always, never) == 100
    assert score(never, always, never, always) == -100
    assert score(always, never, never, always) == 0
    assert score(always, always, never, never) is None  # the second student never wins


def test_resamples_are_weighted() -> None:
    # Twice the first of two prompts, then twice the second: 1 against 0 is 1, 1 against 1 is 0.
    columns = {"ii": np.ones(2), "ij": np.array([0.0, 1.0]), "jj": np.ones(2), "ji": np.ones(2)}
    assert SCORE(columns, np.array([[2.0, 0.0], [0.0, 2.0]])).tolist() == [50.0, 0.0]
