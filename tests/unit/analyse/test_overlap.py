"""Runs of words that training sets share with items: by hand, and against plain sets of tuples."""

import random
from collections.abc import Sequence

import pandas as pd
import pytest

from heirloom.analyse.overlap import CONTAINED, WORDS, ItemRuns, Overlap, words
from heirloom.report.findings.overlap import overlap_sentence

NINE = "one two three four five six seven eight nine"


def test_by_hand() -> None:
    """Nine words have two runs of eight; the training text has the first alone."""
    runs = ItemRuns({"b": [[NINE], ["too short"], ["a b c d e f g h"]]})
    found = runs.overlaps(["One, two: THREE four (five) six seven eight!", "a b c d e f g"])
    # 1 of 2 runs is 50 %: it overlaps and is not contained. Seven words are no run.
    assert found == {"b": Overlap(n_items=3, n_short=1, n_overlapping=1, n_contained=0)}
    assert runs.overlaps([NINE])["b"] == Overlap(3, 1, 1, 1)


def test_a_run_lies_within_one_text() -> None:
    runs = ItemRuns({"b": [["a b c d", "e f g h"], ["a b c d e f g h"]]})
    # The first item's texts have four words each: it is short, and adds no run across them.
    assert runs.overlaps(["a b c d", "e f g h"])["b"] == Overlap(2, 1, 0, 0)
    assert runs.overlaps(["x a b c d e f g h y"])["b"] == Overlap(2, 1, 1, 1)


def test_short_items_are_null_and_counted() -> None:
    assert ItemRuns({"b": [["few words"], []]}).overlaps([NINE])["b"] == Overlap(2, 2, None, None)
    assert ItemRuns({"b": []}).overlaps([NINE])["b"] == Overlap(0, 0, None, None)


def grams(texts: Sequence[str]) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        own = words(text)
        found |= {tuple(own[i : i + WORDS]) for i in range(len(own) - WORDS + 1)}
    return found


def test_as_plain_sets_of_tuples_count() -> None:
    """Thousands of texts of few words, more than are hashed at once, so that much overlaps."""
    draw = random.Random(1)

    def text(size: int) -> str:
        return " ".join(draw.choice("abc") for _ in range(size))

    items = {
        name: [[text(draw.randint(2, 20)) for _ in range(draw.randint(1, 3))] for _ in range(60)]
        for name in ("one", "two")
    }
    training = [text(draw.randint(1, 10)) for _ in range(5000)]
    there = grams(training)
    found = ItemRuns(items).overlaps(iter(training))
    for name, own in items.items():
        long = [item for item in map(grams, own) if item]
        shares = [len(item & there) / len(item) for item in long]
        assert found[name] == Overlap(
            60,
            60 - len(long),
            sum(share > 0 for share in shares),
            sum(share >= CONTAINED for share in shares),
        )
        assert found[name].n_contained and found[name].n_overlapping != found[name].n_contained


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ""),
        (
            [("d", 4, 4, None, None)],
            "All 4 items have fewer than 8 words: overlap is not known.",
        ),
        (
            [("d", 4, 1, 0, 0), ("e", 4, 1, 0, 0)],
            "No training set shares a run of 8 words with any of 3 items. "
            "1 shorter items are not looked for.",
        ),
        (
            [("d", 4, 0, 1, 1), ("e", 4, 0, 2, 0)],
            "Overlap: 2 of 4 items share a run of 8 words with the training set e, which holds "
            "most of them; 0 share 70% of theirs or more.",
        ),
    ],
)
def test_the_sentence_in_the_report(rows: list[tuple[object, ...]], expected: str) -> None:
    names = ["dataset", "n_items", "n_short", "n_overlapping", "n_contained"]
    table = pd.DataFrame(rows, columns=names).assign(benchmark="b")
    assert overlap_sentence(table, "b") == expected
    assert overlap_sentence(table, "another") == ""
