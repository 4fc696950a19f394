"""Texts in other languages than English, and texts that are no prose at all."""

import gc
import time

import pytest

from heirloom.profiling.engines.descriptives import describe, is_english
from heirloom.profiling.text import METRICS, TextOptions, _measure

FORMULAS = {
    *("gunning_fog", "rix", "lix", "flesch_reading_ease", "flesch_kincaid_grade", "smog"),
    *("coleman_liau", "automated_readability_index"),
}
ENGLISH_ONLY = FORMULAS | {f"{kind}_syllables_per_word" for kind in ("mean", "median", "sd")}
CHINESE = "我喜欢学习中文。今天天气好。" * 20  # 7 words and 14 characters in 2 sentences, 20 times
FRENCH = "Il fait beau. Nous partons demain matin."


def test_formulas_are_for_english() -> None:
    for text, language in ((CHINESE, "zh"), (CHINESE, "en"), (FRENCH, "fr"), (FRENCH, "fr-CA")):
        described = describe(text, language)
        assert {name for name, value in described.items() if value is None} == ENGLISH_ONLY
    assert None not in describe(FRENCH, "en-GB").values()  # stated, and in Latin letters


def test_words_and_sentences_of_chinese() -> None:
    described = describe(CHINESE, "zh")
    assert (described["type_token_ratio"], described["n_sentences"]) == (7 / 140, 40)
    assert (described["unique_words"], described["n_characters"]) == (7, 280)
    assert described["mean_sentence_length"] == 3.5
    assert describe(CHINESE)["n_sentences"] == 40
    assert described["sd_sentence_length"] == 0.5  # of 4 and 3
    # 2 words of 1 character and 5 of 2: 22 / 7 - (12 / 7)^2 = 10 / 49.
    assert described["sd_word_length"] == pytest.approx(10**0.5 / 7)


def test_sentences_of_other_languages() -> None:
    assert describe("यह एक है। यह दो है?", "hi")["n_sentences"] == 2
    assert describe("ما هذا؟ هذا بيت.", "ar")["n_sentences"] == 2
    assert describe("Half \ud83d here。", "ja")["n_sentences"] == 1


def test_a_text_is_english_by_half_of_its_words() -> None:
    assert is_english("The word мир means peace.")
    assert is_english("Say мир")  # one of two
    assert not is_english("Say мир вам")
    assert is_english("3 4 5") and is_english("")
    assert not is_english("The", "de")


def test_a_profile_states_null_for_what_is_not_english_and_for_no_text() -> None:
    answer = {"completion": FRENCH, "finish_reason": "stop", "n_tokens": 9}
    options = TextOptions(prompts="p")
    measured = _measure(answer, options, "fr")
    assert {name for name, value in measured.items() if value is None} == ENGLISH_ONLY | {"mtld"}
    assert measured["length"] == 7
    refused = answer | {"completion": None, "finish_reason": "too_long"}
    assert _measure(refused, options, "en") == dict.fromkeys(METRICS)


@pytest.mark.parametrize(
    "unit",
    [".", "! ", "a\n", "A b. ", '."', "((. ", "X.", "1. a\n", "字", "มา", "मैं ", "a'", "\u0301"],
)
def test_time_is_linear_in_the_length_of_a_text(unit: str) -> None:
    describe("Load the dictionary. 我们")
    short, long = (_seconds((unit * n)[:n]) for n in (4_000, 32_000))
    assert long < 36 * max(short, 1e-3)  # 8 times the text; quadratic would be 64 times the time


def _seconds(text: str) -> float:
    """Processor time of a description, the least of three that share no cached result."""
    taken = []
    gc.disable()  # its time depends on what other tests have left
    for number in range(3):
        start = time.process_time()
        describe(f"{text} {number}")
        taken.append(time.process_time() - start)
    gc.enable()
    return min(taken)
