"""Selection: each rule, what is refused, and the invariants in loops over random pools."""

import hashlib
import random
from typing import Any

import pytest

from heirloom.errors import HeirloomError
from heirloom.files import Record
from heirloom.selection import select_best, select_passive, select_random, training_set


def candidate(
    prompt: str, sample: int, completion: str = "text", *, teacher: str = "t", finish: str = "stop"
) -> Record:
    return {
        "teacher": teacher,
        "prompt_id": prompt,
        "sample": sample,
        "completion": completion,
        "n_tokens": 3,
        "finish_reason": finish,
    }


def scores_for(candidates: list[Record], values: list[float | None]) -> list[Record]:
    return [
        {
            "teacher": record["teacher"],
            "prompt_id": record["prompt_id"],
            "sample": record["sample"],
            "score": value,
        }
        for record, value in zip(candidates, values, strict=True)
    ]


def draw(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def random_pool(seed: int) -> tuple[list[Record], list[Record]]:
    """A pool with empty completions, null scores, ties, and prompts of different k."""
    rng = random.Random(seed)
    candidates = [
        candidate(f"p{prompt}", sample, rng.choice(["", " \n", "a", "b"]), teacher=teacher)
        for prompt in range(6)
        for teacher in ("t1", "t2")
        for sample in range(rng.randint(1, 4))
    ]
    values: list[float | None] = [rng.choice([None, 0.0, 1.0, 2.0]) for _ in candidates]
    return candidates, scores_for(candidates, values)


# Best


@pytest.mark.parametrize(("direction", "sample"), [("maximise", 1), ("minimise", 2)])
def test_best_follows_the_direction(direction: Any, sample: int) -> None:
    pool = [candidate("p", number, finish="length") for number in range(4)]
    scores = scores_for(pool, [0.5, 3.0, -1.0, None])
    assert select_best(pool, scores, direction=direction, seed=0) == [
        {
            "prompt_id": "p",
            "completion": "text",
            "teacher": "t",
            "sample": sample,
            "finish_reason": "length",
            "score": [0.5, 3.0, -1.0][sample],
            "n_candidates": 4,
            "n_unscored": 1,
            "n_tied": 0,
        }
    ]


def test_an_empty_completion_is_never_best() -> None:
    # Of length, minimised, the empty completion would win with 0.
    pool = [candidate("p", 0, ""), candidate("p", 1, " \n"), candidate("p", 2, "a word")]
    scores = scores_for(pool, [0.0, 0.0, 2.0])
    (row,) = select_best(pool, scores, direction="minimise", seed=0)
    assert (row["sample"], row["n_candidates"], row["n_unscored"]) == (2, 3, 0)


def test_a_null_score_is_never_best_and_zero_is_a_score() -> None:
    pool = [candidate("p", 0), candidate("p", 1), candidate("q", 0)]
    rows = select_best(pool, scores_for(pool, [None, 0.0, None]), direction="maximise", seed=0)
    assert [(row["prompt_id"], row["sample"], row["score"]) for row in rows] == [("p", 1, 0.0)]


@pytest.mark.parametrize("seed", range(20))
def test_ties_go_to_the_smallest_hash(seed: int) -> None:
    pool = [candidate("p", sample, teacher=teacher) for teacher in "ab" for sample in range(3)]
    pool.append(candidate("p", 3, "", teacher="a"))  # not usable, so no part of the tie
    scores = scores_for(pool, [7.0, 7.0, 1.0, 7.0, 7.0, 2.0, 7.0])
    tied = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    winner = min(tied, key=lambda key: draw(f"{seed}/p/{key[0]}/{key[1]}"))
    (row,) = select_best(pool, scores, direction="maximise", seed=seed)
    assert (row["teacher"], row["sample"]) == winner
    assert row["n_tied"] == 3


def test_the_seed_decides_ties() -> None:
    pool = [candidate("p", sample) for sample in range(5)]
    scores = scores_for(pool, [1.0] * 5)
    winners = {
        select_best(pool, scores, direction="maximise", seed=seed)[0]["sample"]
        for seed in range(40)
    }
    assert winners == set(range(5))


# Random and passive


@pytest.mark.parametrize("seed", range(20))
def test_random_is_the_smallest_hash_among_the_usable(seed: int) -> None:
    pool = [candidate("p", sample, "" if sample == 2 else "a") for sample in range(5)]
    usable = [sample for sample in range(5) if sample != 2]
    winner = min(usable, key=lambda sample: draw(f"{seed}/random/p/t/{sample}"))
    (row,) = select_random(pool, seed=seed)
    assert (row["sample"], row["score"], row["n_candidates"]) == (winner, None, 5)
    assert (row["n_unscored"], row["n_tied"]) == (0, 0)


def test_random_draws_are_spread_evenly() -> None:
    pool = [candidate(f"p{prompt}", sample) for prompt in range(2000) for sample in range(4)]
    drawn = [row["sample"] for row in select_random(pool, seed=1)]
    # 2000 draws of 4: 500 expected each, standard deviation sqrt(2000 * 3/16) = 19.4.
    assert all(abs(drawn.count(sample) - 500) < 5 * 19.4 for sample in range(4))


@pytest.mark.parametrize("seed", range(20))
def test_random_draws_are_nested(seed: int) -> None:
    pool = [candidate(f"p{prompt}", sample) for prompt in range(5) for sample in range(8)]
    large = {row["prompt_id"]: row for row in select_random(pool, seed=seed)}
    few = [record for record in pool if record["sample"] < 4]
    for row in select_random(few, seed=seed):
        drawn = large[row["prompt_id"]]["sample"]
        assert drawn == row["sample"] or drawn >= 4


def test_passive_takes_the_first_usable_sample() -> None:
    pool = [candidate("p", 2), candidate("p", 1), candidate("p", 0, "\t"), candidate("q", 0)]
    rows = select_passive(pool)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("p", 1), ("q", 0)]


def test_passive_has_one_teacher() -> None:
    with pytest.raises(HeirloomError, match="one teacher, but its pool has a, b"):
        select_passive([candidate("p", 0, teacher="a"), candidate("p", 0, teacher="b")])


# Invariants


@pytest.mark.parametrize("seed", range(50))
def test_order_changes_nothing(seed: int) -> None:
    candidates, scores = random_pool(seed)
    single = [record for record in candidates if record["teacher"] == "t1"]
    best = select_best(candidates, scores, direction="maximise", seed=seed)
    drawn = select_random(candidates, seed=seed)
    passive = select_passive(single)
    rng = random.Random(seed)
    for _ in range(5):
        for records in (candidates, scores, single):
            rng.shuffle(records)
        assert select_best(candidates, scores, direction="maximise", seed=seed) == best
        assert select_random(candidates, seed=seed) == drawn
        assert select_passive(single) == passive


@pytest.mark.parametrize("seed", range(50))
def test_what_is_chosen_may_be_chosen(seed: int) -> None:
    candidates, scores = random_pool(seed)
    value = {(s["teacher"], s["prompt_id"], s["sample"]): s["score"] for s in scores}
    usable = [record for record in candidates if record["completion"].strip()]
    for row in select_best(candidates, scores, direction="minimise", seed=seed):
        assert row["completion"].strip()
        own = [
            value[record["teacher"], record["prompt_id"], record["sample"]]
            for record in usable
            if record["prompt_id"] == row["prompt_id"]
        ]
        assert row["score"] == min(score for score in own if score is not None)
    drawn = select_random(candidates, seed=seed)
    assert {row["prompt_id"] for row in drawn} == {record["prompt_id"] for record in usable}


@pytest.mark.parametrize("seed", range(20))
def test_best_of_one_is_that_one(seed: int) -> None:
    pool = [candidate(f"p{number}", 3, f"text {number}") for number in range(5)]
    scores = scores_for(pool, [float(number) for number in range(5)])
    best = select_best(pool, scores, direction="maximise", seed=seed)
    assert [row["completion"] for row in best] == [record["completion"] for record in pool]
    assert [row["sample"] for row in select_random(pool, seed=seed)] == [3] * 5


def test_a_prompt_does_not_depend_on_the_others() -> None:
    candidates, scores = random_pool(4)
    whole = select_random(candidates, seed=9)
    best = select_best(candidates, scores, direction="maximise", seed=9)
    for prompt in {record["prompt_id"] for record in candidates}:
        own = [record for record in candidates if record["prompt_id"] == prompt]
        own_scores = [record for record in scores if record["prompt_id"] == prompt]
        assert select_random(own, seed=9) == [row for row in whole if row["prompt_id"] == prompt]
        assert select_best(own, own_scores, direction="maximise", seed=9) == [
            row for row in best if row["prompt_id"] == prompt
        ]


# What is refused


def test_candidates_that_repeat_are_refused() -> None:
    pool = [candidate("p", 0), candidate("p", 1), candidate("p", 1, "other")]
    message = "2 candidates for teacher t, prompt p, sample 1"
    with pytest.raises(HeirloomError, match=message):
        select_random(pool, seed=0)
    with pytest.raises(HeirloomError, match=message):
        select_passive(pool)
    with pytest.raises(HeirloomError, match=message):
        select_best(pool, scores_for(pool, [1.0, 1.0, 1.0]), direction="maximise", seed=0)


def test_scores_of_other_candidates_are_refused() -> None:
    pool = [candidate("p", 0), candidate("p", 1)]
    scores = scores_for(pool, [1.0, 2.0])
    for bad, message in (
        (scores[:1], "1 candidates have no score, such as teacher t, prompt p, sample 1"),
        (
            [*scores, {**scores[0], "prompt_id": "z"}],
            "1 scores have no candidate, such as teacher t, prompt z, sample 0",
        ),
        ([*scores, scores[0]], "2 scores for teacher t, prompt p, sample 0"),
        ([scores[0], {**scores[1], "score": float("nan")}], "sample 1 is nan; it must be"),
        ([scores[0], {**scores[1], "score": "2"}], "sample 1 is '2'; it must be"),
    ):
        with pytest.raises(HeirloomError, match=message):
            select_best(pool, bad, direction="maximise", seed=0)


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(HeirloomError, match='"maximise" or "minimise", not \'up\''):
        select_best([], [], direction="up", seed=0)  # type: ignore[arg-type]


# The training set

PROMPTS: list[Record] = [{"id": name, "text": f"Say {name}."} for name in ("z", "b", "a")]
SETTINGS: dict[str, Any] = {
    "dataset": "d",
    "pool": "multi",
    "prompt_set": "instructions",
    "seed": 3,
}
BEST: dict[str, Any] = {
    **SETTINGS,
    "selection": "best",
    "objective": "length",
    "metric": "length",
    "direction": "maximise",
}
NO_OBJECTIVE: dict[str, Any] = {
    **SETTINGS,
    "objective": None,
    "metric": None,
    "direction": None,
}


def without_teacher(records: list[Record]) -> list[Record]:
    return [{key: value for key, value in r.items() if key != "teacher"} for r in records]


def test_rows_in_the_order_of_the_prompts_and_a_card() -> None:
    one = [candidate("a", 0, "x"), candidate("z", 0, "x"), candidate("b", 0, "")]
    two = [candidate("a", 0, "x y"), candidate("z", 0, "y", finish="length"), candidate("b", 0, "")]
    three = [candidate("z", 0, "z")]
    rows, card = training_set(
        PROMPTS,
        {"t1": without_teacher(one), "t2": without_teacher(two), "t3": without_teacher(three)},
        {
            "t1": without_teacher(scores_for(one, [1.0, 1.0, 0.0])),
            "t2": without_teacher(scores_for(two, [2.0, 5.0, 0.0])),
            "t3": without_teacher(scores_for(three, [None])),
        },
        **BEST,
    )
    assert rows == [
        {
            "prompt_id": "z",
            "prompt": "Say z.",
            "completion": "y",
            "teacher": "t2",
            "sample": 0,
            "finish_reason": "length",
            "score": 5.0,
            "n_candidates": 3,
            "n_unscored": 1,
            "n_tied": 0,
        },
        {
            "prompt_id": "a",
            "prompt": "Say a.",
            "completion": "x y",
            "teacher": "t2",
            "sample": 0,
            "finish_reason": "stop",
            "score": 2.0,
            "n_candidates": 2,
            "n_unscored": 0,
            "n_tied": 0,
        },
    ]
    assert card == {
        "dataset": "d",
        "selection": "best",
        "pool": "multi",
        "teachers": ["t1", "t2", "t3"],
        "prompts": "instructions",
        "objective": "length",
        "metric": "length",
        "direction": "maximise",
        "seed": 3,
        "n": 2,
        "n_missing": 1,
        "n_tied": 0,
        "n_truncated": 1,
        "teacher_counts": {"t1": 0, "t2": 2, "t3": 0},
    }


def test_a_card_counts_the_prompts_with_ties() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(3)]
    values: list[float | None] = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0, 3.0]
    rows, card = training_set(PROMPTS, {"t": pool}, {"t": scores_for(pool, values)}, **BEST)
    assert [row["n_tied"] for row in rows] == [2, 1, 0]
    assert card["n_tied"] == 2


def test_random_and_passive_sets() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(4)]
    rows, card = training_set(PROMPTS, {"t": pool}, None, selection="passive", **NO_OBJECTIVE)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("z", 0), ("b", 0), ("a", 0)]
    assert (card["n"], card["n_missing"], card["objective"]) == (3, 0, None)
    rows, _ = training_set(PROMPTS, {"t": pool}, None, selection="random", **NO_OBJECTIVE)
    by_hash = [
        min((draw(f"3/random/{name}/t/{sample}"), sample) for sample in range(4))[1]
        for name in "zba"
    ]
    assert [row["sample"] for row in rows] == by_hash


def test_a_training_set_refuses_what_does_not_fit() -> None:
    pool = [candidate("a", 0)]
    scores = scores_for(pool, [1.0])
    random_set: dict[str, Any] = {**NO_OBJECTIVE, "selection": "random"}
    with pytest.raises(
        HeirloomError, match=r"Teacher t .*'y', which the prompt set 'instructions'"
    ):
        training_set(PROMPTS, {"t": [candidate("y", 0)]}, None, **random_set)
    with pytest.raises(HeirloomError, match="prompt id 'a' occurs twice"):
        training_set([*PROMPTS, PROMPTS[2]], {"t": pool}, None, **random_set)
    with pytest.raises(HeirloomError, match="needs scores and a direction"):
        training_set(PROMPTS, {"t": pool}, None, **BEST)
    with pytest.raises(HeirloomError, match="takes no scores and no direction"):
        training_set(PROMPTS, {"t": pool}, {"t": scores}, **random_set)
    with pytest.raises(HeirloomError, match="no selection 'worst'"):
        training_set(PROMPTS, {"t": pool}, None, **{**random_set, "selection": "worst"})
    with pytest.raises(HeirloomError, match="none of 3 prompts has a completion that is not empty"):
        training_set(PROMPTS, {"t": [candidate("a", 0, " ")]}, None, **random_set)
    with pytest.raises(HeirloomError, match="not empty with a score"):
        training_set(PROMPTS, {"t": pool}, {"t": scores_for(pool, [None])}, **BEST)
