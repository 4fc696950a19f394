"""Readability: the rules one by one and the formulas by hand; tests/parity has the packages."""

import random
import time
from math import sqrt
from pathlib import Path

import pytest

from heirloom.objectives.words import words
from heirloom.profiling.engines import readability
from heirloom.profiling.engines.readability import describe, sentences, syllables

PROMPTS = Path(__file__).parents[3] / "resources" / "prompts" / "instructions.jsonl"

# 6 + 5 = 11 words, 2 sentences, 10 different words ("the" twice).
# Letters: The 3, cat 3, sat 3, on 2, the 3, mat 3 = 17; It 2, was 3, a 1, wonderful 9,
# afternoon 9 = 24; together 41, with the two full stops 43.
# Syllables: 6 in the first sentence; 1 + 1 + 1 + 3 + 3 = 9 in the second; together 15.
# Long and hard words: wonderful, afternoon.
TEXT = "The cat sat on the mat. It was a wonderful afternoon."
EXPECTED = {
    "n_words": 11,
    "n_sentences": 2,
    "n_characters": 43,
    "unique_words": 10,
    "type_token_ratio": 10 / 11,
    "mean_word_length": 41 / 11,
    "median_word_length": 3,  # of 1 2 2 3 3 3 3 3 3 9 9, the 6th
    "sd_word_length": sqrt(225 / 11 - (41 / 11) ** 2),  # 1 + 2 * 4 + 6 * 9 + 2 * 81 = 225
    "mean_sentence_length": 5.5,
    "median_sentence_length": 5.5,
    "sd_sentence_length": 0.5,
    "mean_syllables_per_word": 15 / 11,
    "median_syllables_per_word": 1,
    "sd_syllables_per_word": sqrt(27 / 11 - (15 / 11) ** 2),  # 9 * 1 + 2 * 9 = 27
    "long_word_share": 2 / 11,
    "gunning_fog": 9.472727272727273,  # 0.4 (5.5 + 200 / 11) = 0.4 * 23.681818...
    "rix": 1.0,  # 2 / 2
    "lix": 23.681818181818183,  # 5.5 + 200 / 11
    "flesch_reading_ease": 85.88886363636364,  # 206.835 - 5.5825 - 115.363636...
    "flesch_kincaid_grade": 2.6459090909090909,  # 2.145 + 16.090909... - 15.59
    "smog": 3.1291 + 1.043 * sqrt(30),  # 30 * 2 polysyllables / 2 sentences
    "coleman_liau": 0.7345454545454545,  # 21.916363... - 5.381818... - 15.8
    "automated_readability_index": -1.1245454545454545,  # 17.555454... + 2.75 - 21.43
}


def test_describe_by_hand() -> None:
    assert describe(TEXT) == pytest.approx(EXPECTED, abs=1e-9)


def test_every_formula_is_a_function_of_one_text() -> None:
    for name in list(EXPECTED)[list(EXPECTED).index("gunning_fog") :]:
        assert getattr(readability, name)(TEXT) == describe(TEXT)[name]


def test_the_sentences_share_out_the_words() -> None:
    text = "Well-\nknown facts, e.g. 3.5 a day. - one\n... No.\n\nIt's 9 o'clock!"
    shared_out = [word for sentence in sentences(text) for word in words(sentence)]
    assert shared_out == words(text)
    assert describe(text)["n_words"] == len(words(text))


@pytest.mark.parametrize("text", ["", "  \n", "?!", "\u2014 ... *"])
def test_no_words_have_no_values(text: str) -> None:
    assert describe(text) == dict.fromkeys(EXPECTED)
    assert readability.gunning_fog(text) is None


def test_a_compound_is_as_hard_as_its_longest_part() -> None:
    # One sentence of 3 words. "mother-in-law" has 2 + 1 + 1 = 4 syllables: a polysyllable for SMOG,
    # not hard for Gunning, because "mother" has 2. "understanding" has 4 and is hard.
    text = "Mother-in-law was understanding."
    assert readability.gunning_fog(text) == pytest.approx(0.4 * (3 + 100 / 3))
    assert readability.smog(text) == pytest.approx(3.1291 + 1.043 * sqrt(60))


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("cat", 1),
        ("Poem", 2),  # the dictionary has P OW1 AH0 M
        ("don't", 1),
        ("don\u2019t", 1),
        ("grandmother's", 3),
        ("well-being", 3),
        ("2024", 1),
        ("x", 1),
        # Not in the dictionary: groups of vowels, less a silent ending.
        ("zorped", 1),
        ("zorbed", 1),
        ("zorted", 2),
        ("blimbles", 2),
        ("blimble", 2),
        ("grufe", 1),
        ("grufes", 1),
        ("groshes", 2),
        ("bzzt", 1),
    ],
)
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count


@pytest.mark.parametrize(
    "expected",
    [
        ["One.", "Two!", "Three?"],
        ["Dr. Smith met Mrs. Jones.", "They left."],
        ["It cost $3.5 at example.com today.", "Fine."],
        ["J. K. Rowling lives in the U.S. Army town.", "So do I.", "She writes."],
        ["See Fig. 3 and No. 7.", "No.", "I will not."],
        ["Bring e.g. Apples, i.e. Fruit."],
        ["He left at 5 p.m. yesterday.", "She left at 5 p.m.", "They met etc. later."],
        ['"Why?" he asked.', '"Because."', "She smiled."],
        ["Well... maybe.", "Wait\u2026", "What?!", "(Really.)", "Yes."],
        ["all small letters.", "no capitals at all."],
        ["No full stop"],
    ],
)
def test_sentences_within_a_line(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


def test_sentences_across_lines() -> None:
    text = (
        "# A title\nHere is a list:\n1. Buy pears. Eat\nthem.\n2. sleep\n\n- one\n\nwrapped\nprose"
    )
    assert sentences(text) == [
        "# A title",
        "Here is a list:",
        "1. Buy pears.",
        "Eat them.",
        "2. sleep",
        "- one",
        "wrapped prose",
    ]


def test_a_thousand_texts_in_about_a_second() -> None:
    rng = random.Random(3)
    vocabulary = PROMPTS.read_text(encoding="utf-8").split()
    texts = [" ".join(rng.choices(vocabulary, k=100)) for _ in range(1000)]
    describe("Load the dictionary.")
    start = time.perf_counter()
    for text in texts:
        describe(text)
    assert time.perf_counter() - start < 3  # 0.1 s on an idle core
