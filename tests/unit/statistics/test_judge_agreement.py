"""Agreement of judges: kappa against scikit-learn and against a published matrix, ties."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from heirloom.profiling.data.preferences import read_pairs
from heirloom.statistics.agreement import compare_judges, kappa_of
from heirloom.statistics.estimates import estimate

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "preferences"


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.choice(["first", "second", "tie"], 50, p=[0.6, 0.3, 0.1])
    other = np.where(rng.random(50) < 0.5, one, rng.choice(["first", "second"], 50))
    counts = rng.multinomial(50, [1 / 50] * 50, size=3)
    weights = np.vstack([np.ones(50), counts]).astype(np.float64)
    found = kappa_of("a", "b")({"a": one, "b": other}, weights)
    assert found[0] == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    for drawn, kappa in zip(counts, found[1:], strict=True):
        expected = cohen_kappa_score(np.repeat(one, drawn), np.repeat(other, drawn))
        assert kappa == pytest.approx(expected, abs=1e-12)


def test_kappa_by_hand_and_undefined() -> None:
    # Equal in 3 of 4; chance 3/4 * 2/4 + 1/4 * 2/4 = 1/2; (3/4 - 1/2) / (1 - 1/2) = 1/2.
    rows = [{"a": a, "b": b} for a, b in ("xx", "xx", "xy", "yy")]
    assert estimate(rows, kappa_of("a", "b"), ["a", "b"], seed=1).value == 0.5
    same = estimate([{"a": "x", "b": "x"}] * 4, kappa_of("a", "b"), ["a", "b"], seed=1)
    assert same.value is None and same.reason == "it is undefined for these examples"


def test_ties_and_missing_verdicts() -> None:
    one = {"1": "first", "2": "first", "3": "tie", "4": "tie", "5": None, "6": "second", "7": "tie"}
    other = {"1": "first", "2": "second", "3": "tie", "4": "first", "5": "first", "6": "second"}
    found = compare_judges(one, {**other, "8": "first"}, seed=1)
    # Both were shown 1 to 6; 5 has one verdict; 3 and 4 have a tie; of 1, 2 and 6 two are equal.
    assert (found.n_missing, found.n_ties, found.share.n) == (1, 2, 3)
    assert found.share.value == pytest.approx(2 / 3)
    assert (found.share_with_ties.n, found.share_with_ties.value) == (5, 3 / 5)
    decided = (["first", "first", "second"], ["first", "second", "second"])
    assert found.kappa.value == pytest.approx(cohen_kappa_score(*decided))
    counted = (
        ["first", "first", "tie", "tie", "second"],
        ["first", "second", "tie", "first", "second"],
    )
    assert found.kappa_with_ties.value == pytest.approx(cohen_kappa_score(*counted))
    low, high = found.share.low, found.share.high
    assert low is not None and high is not None and 0 <= low < 2 / 3 < high <= 1
    assert compare_judges(other, one, seed=1).share == found.share
    assert compare_judges({}, other, seed=1).share.value is None


def test_the_published_agreement_of_pandalms_annotators() -> None:
    """The matrix in the README of WeOpenML/PandaLM, which it calls inter-annotator agreement."""
    path = SHARED / "pandalm_testset-v1.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    pairs = read_pairs(path, "pandalm")
    people = [{pair.id: pair.labels[number] for pair in pairs} for number in range(3)]
    kappas = [
        compare_judges(people[a], people[b], seed=1).kappa_with_ties.value
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    assert [round(kappa or 0, 2) for kappa in kappas] == [0.85, 0.88, 0.86]
