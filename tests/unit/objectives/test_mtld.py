"""MTLD against hand counts; tests/parity has lexicalrichness."""

import time

import pytest

from heirloom.objectives.mtld import mtld, tokens
from heirloom.support.errors import HeirloomError


def test_a_factor_closes_at_the_threshold() -> None:
    # Threshold 0.75. Forwards: a b c a has 3 types in 4 tokens, 0.75 <= 0.75, one factor closes at
    # the 4th token and d e are left, all different: partial factor 0. 6 / 1 = 6.
    # Backwards: e d a c b a: 1, 1, 1, 1, 1, 5/6. 5/6 > 0.75: partial factor
    # (1 - 5/6) / (1 - 0.75) = 2/3. 6 / (2/3) = 9. Mean 7.5.
    assert mtld(["a b c a d e"], threshold=0.75) == [pytest.approx(7.5, abs=1e-12)]


def test_both_directions_with_partial_factors() -> None:
    # Threshold 0.72. Forwards: a a: 1, 1/2 <= 0.72, a factor; b c: partial 0. 4 / 1 = 4.
    # Backwards: c b a a: 1, 1, 1, 3/4 > 0.72: partial (1/4) / 0.28 = 25/28. 4 / (25/28) = 4.48.
    assert mtld(["a a b c"]) == [pytest.approx((4 + 4.48) / 2, abs=1e-12)]


@pytest.mark.parametrize("n", [1, 2, 7, 400])
def test_different_words_give_their_number(n: int) -> None:
    letters = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(n)]
    assert mtld([" ".join(letters)]) == [n]


def test_one_word_repeated() -> None:
    # a a closes a factor at 1/2, always: 6 words are 3 factors in both directions. 6 / 3 = 2.
    assert mtld(["la la la la la la"]) == [2.0]


@pytest.mark.parametrize("text", ["", " \n", "...", "12 - 34", "\u2014"])
def test_no_words_have_no_score(text: str) -> None:
    assert mtld([text]) == [None]


def test_tokens_lose_case_digits_and_dashes_and_split_at_punctuation() -> None:
    assert tokens("Well-Being, don't; 2nd\u2014over") == ["wellbeing", "don", "t", "ndover"]


def test_short_texts_can_be_left_out() -> None:
    assert mtld(["a b c", "a b c d"], min_words=4) == [None, 4.0]


@pytest.mark.parametrize("threshold", [0.0, 1.0, 72])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(HeirloomError, match="threshold must lie between 0 and 1"):
        mtld(["a"], threshold=threshold)


def test_time_is_linear() -> None:
    # Quadratic time would need minutes for 200,000 words that never close a factor.
    words = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(200_000)]
    start = time.perf_counter()
    assert mtld([" ".join(words)]) == [200_000]
    assert time.perf_counter() - start < 5
