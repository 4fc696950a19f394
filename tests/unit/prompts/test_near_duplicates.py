"""Near-duplicate prompts: similarity by hand, what is kept, and where they are left out."""

import json
from pathlib import Path

import pytest

from heirloom.prompts.near_duplicates import NearDuplicate, without_near_duplicates
from heirloom.prompts.read import near_duplicates, read_source
from heirloom.prompts.settings import Reading
from heirloom.support.files import Record, write_text


def prompts(*texts: str) -> list[Record]:
    return [{"id": str(number), "text": text} for number, text in enumerate(texts)]


def test_by_hand() -> None:
    """`abcdefghij` has 6 runs of five characters, `abcdefghik` 5 of those and one of its own.

    5 in common of 7 in all.
    """
    given = prompts("abcdefghij", "zyxwvutsrq", "ABCDEFGHIK ", "abcd")
    kept, left_out = without_near_duplicates(given, 0.7)
    assert [prompt["id"] for prompt in kept] == ["0", "1", "3"]
    assert left_out == [NearDuplicate("2", "ABCDEFGHIK ", "0", 5 / 7)]
    assert without_near_duplicates(given, 0.72) == (given, [])


def test_the_most_similar_prompt_is_named_and_chains_do_not_grow() -> None:
    """One and two share 60 of 70 runs, two and three 68 of 95, one and three 60 of 95.

    The third is like the second, which is left out: it is compared with kept ones alone.
    """
    long = "Write a short poem about the first day of spring in a small town"
    one, two, three = f"{long}.", f"{long}, please.", f"{long}, please, and thank you very much."
    kept, left_out = without_near_duplicates(prompts(one, two, three), 0.7)
    assert [prompt["id"] for prompt in kept] == ["0", "2"]
    assert [(found.id, found.like) for found in left_out] == [("1", "0")]
    # With both kept, the nearer of the two is named; of equal ones the first.
    kept, left_out = without_near_duplicates(
        prompts(one, three, f"{long}, please, and thank you very much!"), 0.7
    )
    assert [(found.id, found.like) for found in left_out] == [("2", "1")]


def test_texts_of_any_length() -> None:
    assert without_near_duplicates(prompts("", "a", "A", "ab"), 1.0)[1] == [
        NearDuplicate("2", "A", "1", 1.0)
    ]


def test_a_set_that_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    texts = ["Name three birds of the sea.", "Name three birds of the sea!", "What is rain?"]
    write_text(path, "".join(json.dumps({"instruction": text}) + "\n" for text in texts))
    every = read_source(path, Reading())
    assert [prompt["text"] for prompt in every] == texts
    thin = Reading(near_duplicates=0.8, template="Answer: {prompt}")
    assert [p["text"] for p in read_source(path, thin)] == [
        f"Answer: {texts[0]}",
        f"Answer: {texts[2]}",
    ]
    (found,) = near_duplicates(path, thin)
    # Without the template: 24 runs each, one of them another.
    assert (found.text, found.like) == (texts[1], every[0]["id"])
    assert found.similarity == pytest.approx(23 / 25)
    assert near_duplicates(path, Reading()) == []


def test_a_study_without_it_has_no_other_parameters() -> None:
    """Snakemake runs finished jobs again for a parameter that is new."""
    assert "near_duplicates" not in Reading().model_dump()
    assert Reading(near_duplicates=0.8).model_dump()["near_duplicates"] == 0.8
