"""The contract of every registered scorer: what it says of itself, and what it owes its callers."""

import inspect
import math
from pathlib import Path
from typing import Any

import pytest

from heirloom.objectives import SCORERS, Scorer
from heirloom.objectives.scoring import score

TEXTS = [
    "A wren sings.",
    "",
    "  \n",
    "?!",
    "You damn fool, go away.",
    "one two " * 60,
    "Wren wren.",
]


@pytest.fixture(params=SCORERS.names())
def scorer(request: pytest.FixtureRequest) -> Scorer:
    """Every registered scorer, if the packages that it needs are here."""
    found = SCORERS.get(request.param)
    modules = {"alt-profanity-check": "profanity_check", "detoxify": "torch"}
    for package in found.needs:
        pytest.importorskip(modules.get(package, package))
    return found


@pytest.fixture
def options(scorer: Scorer, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options with which a scorer needs no download."""
    if scorer.name in ("detoxify", "tox_block"):
        return dict(request.getfixturevalue(f"tiny_{scorer.name}"))
    return {}


def test_it_says_what_it_is(scorer: Scorer) -> None:
    assert scorer.name in SCORERS
    assert scorer.label and scorer.unit
    assert scorer.summary.endswith(".") and len(scorer.summary) < 100
    assert scorer.summary.split()[0] not in ("What", "Which", "Whether", "How")
    assert scorer.parameters >= 0
    assert scorer.same_as == "" or scorer.same_as.count(".") == 1
    assert scorer.caveat is None or all(scorer.caveat)
    assert scorer.source == Path(inspect.getfile(scorer.function)).resolve()
    assert scorer.source == SCORERS.source(scorer.name)
    # Every option has a default, but for the name of a file.
    required = [o for o, value in scorer.options.items() if value is inspect.Parameter.empty]
    assert set(required) <= scorer.named.keys()


def test_a_batch_of_one_is_the_batch(scorer: Scorer, options: dict[str, Any]) -> None:
    together = score(scorer.name, TEXTS, options)
    alone = [score(scorer.name, [text], options)[0] for text in TEXTS]
    assert together == pytest.approx(alone, abs=1e-6)
    for batch_size in (1, 3) if "batch_size" in scorer.options else ():
        batched = score(scorer.name, TEXTS, {**options, "batch_size": batch_size})
        assert batched == pytest.approx(alone, abs=1e-6)


def test_a_permutation_of_texts_permutes_scores(scorer: Scorer, options: dict[str, Any]) -> None:
    order = [4, 0, 6, 2, 5, 1, 3]
    permuted = score(scorer.name, [TEXTS[i] for i in order], options)
    scores = score(scorer.name, TEXTS, options)
    assert permuted == pytest.approx([scores[i] for i in order], abs=1e-6)


def test_a_text_scores_the_same_again(scorer: Scorer, options: dict[str, Any]) -> None:
    first, other, again = score(scorer.name, [TEXTS[0], TEXTS[4], TEXTS[0]], options)
    assert first is not None and other is not None
    assert first == pytest.approx(again, abs=1e-6)


def test_null_and_zero_are_not_the_same(scorer: Scorer, options: dict[str, Any]) -> None:
    """A text without words has no score, unless 0 is a true value, as of a count."""
    empty, blank, signs = score(scorer.name, ["", " \n", "?!"], options)
    assert empty == blank == signs
    if scorer.unit == "probability":
        assert empty is None
    assert empty is None or math.isfinite(empty)
    assert score(scorer.name, [], options) == []
