"""Selection: each rule, what is refused, and the invariants in loops over random pools."""

import hashlib
import random
from typing import Any

import pytest

from heirloom.select.strategies import (
    Bounds,
    Criteria,
    Criterion,
    Keep,
    keep_best,
    select_best,
    select_passive,
    select_random,
)
from heirloom.select.training_set import training_set
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


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


def best_of(
    candidates: list[Record], scores: list[Record], *, direction: Any, seed: int
) -> list[Record]:
    """The best by one metric."""
    criteria = Criteria({"metric": Criterion(direction)})
    return select_best(candidates, {"metric": scores}, criteria, seed=seed)


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
    assert best_of(pool, scores, direction=direction, seed=0) == [
        {
            "prompt_id": "p",
            "completion": "text",
            "teacher": "t",
            "sample": sample,
            "finish_reason": "length",
            "score": [0.5, 3.0, -1.0][sample],
            "n_candidates": 4,
            "n_unscored": 1,
            "n_ineligible": 0,
            "n_tied": 0,
        }
    ]


def test_an_empty_completion_is_never_best() -> None:
    # Of length, minimised, the empty completion would win with 0.
    pool = [candidate("p", 0, ""), candidate("p", 1, " \n"), candidate("p", 2, "a word")]
    scores = scores_for(pool, [0.0, 0.0, 2.0])
    (row,) = best_of(pool, scores, direction="minimise", seed=0)
    assert (row["sample"], row["n_candidates"], row["n_unscored"]) == (2, 3, 0)


def test_a_null_score_is_never_best_and_zero_is_a_score() -> None:
    pool = [candidate("p", 0), candidate("p", 1), candidate("q", 0)]
    rows = best_of(pool, scores_for(pool, [None, 0.0, None]), direction="maximise", seed=0)
    assert [(row["prompt_id"], row["sample"], row["score"]) for row in rows] == [("p", 1, 0.0)]


@pytest.mark.parametrize("seed", range(20))
def test_ties_go_to_the_smallest_hash(seed: int) -> None:
    pool = [candidate("p", sample, teacher=teacher) for teacher in "ab" for sample in range(3)]
    pool.append(candidate("p", 3, "", teacher="a"))  # not usable, so no part of the tie
    scores = scores_for(pool, [7.0, 7.0, 1.0, 7.0, 7.0, 2.0, 7.0])
    tied = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    winner = min(tied, key=lambda key: draw(f"{seed}/p/{key[0]}/{key[1]}"))
    (row,) = best_of(pool, scores, direction="maximise", seed=seed)
    assert (row["teacher"], row["sample"]) == winner
    assert row["n_tied"] == 3


def test_the_seed_decides_ties() -> None:
    pool = [candidate("p", sample) for sample in range(5)]
    scores = scores_for(pool, [1.0] * 5)
    winners = {
        best_of(pool, scores, direction="maximise", seed=seed)[0]["sample"] for seed in range(40)
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
    assert (row["n_unscored"], row["n_ineligible"], row["n_tied"]) == (0, 0, 0)


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
    best = best_of(candidates, scores, direction="maximise", seed=seed)
    drawn = select_random(candidates, seed=seed)
    passive = select_passive(single)
    rng = random.Random(seed)
    for _ in range(5):
        for records in (candidates, scores, single):
            rng.shuffle(records)
        assert best_of(candidates, scores, direction="maximise", seed=seed) == best
        assert select_random(candidates, seed=seed) == drawn
        assert select_passive(single) == passive


@pytest.mark.parametrize("seed", range(50))
def test_what_is_chosen_may_be_chosen(seed: int) -> None:
    candidates, scores = random_pool(seed)
    value = {(s["teacher"], s["prompt_id"], s["sample"]): s["score"] for s in scores}
    usable = [record for record in candidates if record["completion"].strip()]
    for row in best_of(candidates, scores, direction="minimise", seed=seed):
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
    best = best_of(pool, scores, direction="maximise", seed=seed)
    assert [row["completion"] for row in best] == [record["completion"] for record in pool]
    assert [row["sample"] for row in select_random(pool, seed=seed)] == [3] * 5


def test_a_prompt_does_not_depend_on_the_others() -> None:
    candidates, scores = random_pool(4)
    whole = select_random(candidates, seed=9)
    best = best_of(candidates, scores, direction="maximise", seed=9)
    for prompt in {record["prompt_id"] for record in candidates}:
        own = [record for record in candidates if record["prompt_id"] == prompt]
        own_scores = [record for record in scores if record["prompt_id"] == prompt]
        assert select_random(own, seed=9) == [row for row in whole if row["prompt_id"] == prompt]
        assert best_of(own, own_scores, direction="maximise", seed=9) == [
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
        best_of(pool, scores_for(pool, [1.0, 1.0, 1.0]), direction="maximise", seed=0)


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
            best_of(pool, bad, direction="maximise", seed=0)


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(HeirloomError, match='"maximise" or "minimise", not \'up\''):
        best_of([], [], direction="up", seed=0)


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
    "criteria": Criteria({"length": Criterion("maximise")}),
}
NO_OBJECTIVE: dict[str, Any] = {**SETTINGS, "objective": None, "criteria": None}


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
            "length": {
                "t1": without_teacher(scores_for(one, [1.0, 1.0, 0.0])),
                "t2": without_teacher(scores_for(two, [2.0, 5.0, 0.0])),
                "t3": without_teacher(scores_for(three, [None])),
            }
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
            "n_ineligible": 0,
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
            "n_ineligible": 0,
            "n_tied": 0,
        },
    ]
    assert card == {
        "dataset": "d",
        "selection": "best",
        "pool": "multi",
        "teachers": ["t1", "t2", "t3"],
        "prompts": "instructions",
        "k": None,
        "objective": "length",
        "criteria": {
            "metrics": {"length": {"direction": "maximise", "weight": 1}},
            "where": {},
            "keep": None,
        },
        "seed": 3,
        "n": 2,
        "n_prompts": 3,
        "n_missing": 1,
        "n_ineligible": 0,
        "n_dropped": 0,
        "n_tied": 0,
        "n_truncated": 1,
        "teacher_counts": {"t1": 0, "t2": 2, "t3": 0},
    }


def test_a_card_counts_the_prompts_with_ties() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(3)]
    values: list[float | None] = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0, 3.0]
    rows, card = training_set(
        PROMPTS, {"t": pool}, {"length": {"t": scores_for(pool, values)}}, **BEST
    )
    assert [row["n_tied"] for row in rows] == [2, 1, 0]
    assert card["n_tied"] == 2


def test_random_and_passive_sets() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(4)]
    rows, card = training_set(PROMPTS, {"t": pool}, {}, selection="passive", **NO_OBJECTIVE)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("z", 0), ("b", 0), ("a", 0)]
    assert (card["n"], card["n_missing"], card["objective"]) == (3, 0, None)
    rows, _ = training_set(PROMPTS, {"t": pool}, {}, selection="random", **NO_OBJECTIVE)
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
        training_set(PROMPTS, {"t": [candidate("y", 0)]}, {}, **random_set)
    with pytest.raises(HeirloomError, match="prompt id 'a' occurs twice"):
        training_set([*PROMPTS, PROMPTS[2]], {"t": pool}, {}, **random_set)
    with pytest.raises(HeirloomError, match="needs criteria"):
        training_set(PROMPTS, {"t": pool}, {}, **{**BEST, "criteria": None})
    with pytest.raises(HeirloomError, match="takes no criteria"):
        training_set(
            PROMPTS,
            {"t": pool},
            {"length": {"t": scores}},
            **{**random_set, "criteria": BEST["criteria"]},
        )
    with pytest.raises(HeirloomError, match="no selection 'worst'"):
        training_set(PROMPTS, {"t": pool}, {}, **{**random_set, "selection": "worst"})
    with pytest.raises(HeirloomError, match="none of 3 prompts has a completion that is not empty"):
        training_set(PROMPTS, {"t": [candidate("a", 0, " ")]}, {}, **random_set)
    with pytest.raises(HeirloomError, match="not empty with a score"):
        training_set(PROMPTS, {"t": pool}, {"length": {"t": scores_for(pool, [None])}}, **BEST)


# Several metrics, bounds, the best prompts only, fewer candidates


def both(first: float = 1, second: float = 1) -> Criteria:
    return Criteria({"long": Criterion("maximise", first), "bad": Criterion("minimise", second)})


def test_several_metrics_choose_by_weighted_ranks() -> None:
    # Four candidates a to d.  long: 10, 20, 30, 90 -> ranks 0, 1/3, 2/3, 1.
    # bad, minimised: 0.1, 0.1, 0.5, 0.9 -> of the ranks 2/3 and 1 both first have 5/6; then 1/3, 0.
    # Equal weights: a (0 + 5/6) / 2 = 5/12, b (1/3 + 5/6) / 2 = 7/12, c 1/2, d 1/2: b.
    # 3 to 1: a 5/24, b (1 + 5/6) / 4 = 11/24, c (2 + 1/3) / 4 = 7/12, d 3/4: d.
    pool = [candidate("p", sample) for sample in range(4)]
    scores = {
        "long": scores_for(pool, [10.0, 20.0, 30.0, 90.0]),
        "bad": scores_for(pool, [0.1, 0.1, 0.5, 0.9]),
    }
    (row,) = select_best(pool, scores, both(), seed=0)
    assert (row["sample"], row["score"]) == (1, pytest.approx(7 / 12))
    (row,) = select_best(pool, scores, both(3, 1), seed=0)
    assert (row["sample"], row["score"]) == (3, pytest.approx(3 / 4))
    # Only the ratio of the weights counts.
    assert select_best(pool, scores, both(0.3, 0.1), seed=0) == [row]


def test_ranks_tie_exactly() -> None:
    # long: ranks 1, 2/3, 1/3, 0; bad, minimised: 0, 1/3, 2/3, 1. All have 1/2, which the floating-
    # point sums of 0.1 times these need not give.
    pool = [candidate("p", sample) for sample in range(4)]
    scores = {
        "long": scores_for(pool, [9.0, 2.0, 1.0, 0.0]),
        "bad": scores_for(pool, [9.0, 3.0, 2.0, 1.0]),
    }
    (row,) = select_best(pool, scores, both(0.1, 0.1), seed=0)
    assert (row["score"], row["n_tied"]) == (0.5, 3)
    assert row["sample"] == min(range(4), key=lambda sample: draw(f"0/p/t/{sample}"))


def test_a_null_in_any_metric_is_never_chosen_and_takes_no_rank() -> None:
    # Without sample 0, which has no `bad`: ranks of long 0, 1; of bad 1, 0. A tie at 1/2. If sample
    # 0 took a rank, sample 1 would have long 0 and sample 2 long 1/2.
    pool = [candidate("p", sample) for sample in range(3)]
    scores = {
        "long": scores_for(pool, [99.0, 1.0, 2.0]),
        "bad": scores_for(pool, [None, 0.1, 0.2]),
    }
    (row,) = select_best(pool, scores, both(), seed=0)
    assert (row["score"], row["n_tied"], row["n_unscored"]) == (0.5, 1, 1)
    assert row["sample"] in (1, 2)


def test_a_candidate_alone_has_the_middle_rank() -> None:
    pool = [candidate("p", 0)]
    scores = {"long": scores_for(pool, [5.0]), "bad": scores_for(pool, [0.0])}
    (row,) = select_best(pool, scores, both(), seed=0)
    assert row["score"] == 0.5


@pytest.mark.parametrize("seed", range(30))
def test_ranks_do_not_depend_on_the_order_or_the_scale(seed: int) -> None:
    candidates, long = random_pool(seed)
    rng = random.Random(seed)
    bad = scores_for(candidates, [rng.choice([None, 0.0, 0.5, 1.0]) for _ in candidates])
    chosen = select_best(candidates, {"long": long, "bad": bad}, both(2, 1), seed=seed)
    # A monotone map of the scores keeps every rank.
    mapped = [
        {**record, "score": None if record["score"] is None else 1000 + record["score"] ** 3}
        for record in long
    ]
    rng.shuffle(candidates)
    rng.shuffle(bad)
    assert chosen == select_best(candidates, {"bad": bad, "long": mapped}, both(2, 1), seed=seed)


LONG_BUT_CLEAN = Criteria(
    {"long": Criterion("maximise")}, {"bad": Bounds(at_most=0.2), "long": Bounds(at_least=20)}
)


def test_the_longest_among_the_clean() -> None:
    # p: 30 is too bad, 25 has no score, 10 too short: 20 at exactly 0.2 is chosen. q: none is left.
    pool = [candidate("p", sample) for sample in range(4)] + [candidate("q", 0), candidate("r", 0)]
    scores = {
        "long": scores_for(pool, [30.0, 25.0, 10.0, 20.0, 50.0, None]),
        "bad": scores_for(pool, [0.21, None, 0.0, 0.2, 0.9, 0.0]),
    }
    (row,) = select_best(pool, scores, LONG_BUT_CLEAN, seed=0)
    assert (row["prompt_id"], row["sample"], row["score"]) == ("p", 3, 20.0)
    assert (row["n_candidates"], row["n_unscored"], row["n_ineligible"]) == (4, 0, 3)


def test_prompts_without_an_eligible_candidate_are_counted() -> None:
    pool = [candidate(name, 0) for name in "zba"]
    scores = {
        "long": {"t": scores_for(pool, [30.0, 40.0, None])},
        "bad": {"t": scores_for(pool, [0.1, 0.9, 0.0])},
    }
    settings = {**BEST, "criteria": LONG_BUT_CLEAN}
    rows, card = training_set(PROMPTS, {"t": pool}, scores, **settings)
    assert [row["prompt_id"] for row in rows] == ["z"]
    # b is ineligible, a has no score at all: both are missing, one because of the bounds.
    counts = [card[key] for key in ("n_prompts", "n", "n_missing", "n_ineligible", "n_dropped")]
    assert counts == [3, 1, 2, 1, 0]
    too_bad = {**scores, "bad": {"t": scores_for(pool, [1.0, 1.0, 1.0])}}
    with pytest.raises(HeirloomError, match="no candidate of 3 prompts is within the bounds"):
        training_set(PROMPTS, {"t": pool}, too_bad, **settings)


def kept(values: list[float], criteria: Criteria, seed: int = 0) -> list[int]:
    """The prompts, by number, whose only candidate has one of these scores and is kept."""
    pool = [candidate(f"{number}", 0) for number in range(len(values))]
    rows = select_best(pool, {"m": scores_for(pool, [*values])}, criteria, seed=seed)
    return [int(row["prompt_id"]) for row in keep_best(rows, criteria, seed=seed)]


def test_the_best_share_of_the_prompts() -> None:
    up, down = ({"m": Criterion(direction)} for direction in ("maximise", "minimise"))  # type: ignore[arg-type]
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    # A quarter of 5 is 1.25, rounded up 2. 0.4 of 5 is exactly 2, though 0.4 is a little more.
    assert kept(values, Criteria(up, keep=Keep(0.25))) == [0, 2]
    assert kept(values, Criteria(up, keep=Keep(0.4))) == [0, 2]
    assert kept(values, Criteria(down, keep=Keep(0.4))) == [1, 3]
    assert kept(values, Criteria(up)) == [0, 1, 2, 3, 4]


def test_ties_at_the_edge_of_a_share_go_to_the_smallest_hash() -> None:
    criteria = Criteria({"m": Criterion("maximise")}, keep=Keep(0.5))
    for seed in range(10):
        by_hash = sorted("1235", key=lambda prompt: draw(f"{seed}/{prompt}/t/0"))
        expected = sorted([0, *map(int, by_hash[:2])])
        assert kept([9.0, 1.0, 1.0, 1.0, 0.0, 1.0], criteria, seed) == expected


def test_scores_from_a_threshold_on() -> None:
    up = {"m": Criterion("maximise")}
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert kept(values, Criteria(up, keep=Keep(scores=Bounds(at_least=4.0)))) == [0, 2]
    assert kept(values, Criteria(up, keep=Keep(scores=Bounds(at_most=2.0)))) == [1, 3]


def test_a_card_counts_what_was_not_kept() -> None:
    pool = [candidate(name, 0) for name in "zba"]
    scores = {"length": {"t": scores_for(pool, [1.0, 2.0, None])}}

    def keeping(keep: Keep) -> dict[str, Any]:
        return {**BEST, "criteria": Criteria({"length": Criterion("maximise")}, keep=keep)}

    rows, card = training_set(PROMPTS, {"t": pool}, scores, **keeping(Keep(0.5)))
    assert [row["prompt_id"] for row in rows] == ["b"]
    counts = [card[key] for key in ("n_prompts", "n", "n_missing", "n_ineligible", "n_dropped")]
    assert counts == [3, 1, 1, 0, 1]
    assert card["criteria"]["keep"]["fraction"] == 0.5
    with pytest.raises(HeirloomError, match="keep drops all"):
        training_set(PROMPTS, {"t": pool}, scores, **keeping(Keep(scores=Bounds(at_least=3.0))))


def test_a_control_has_the_prompts_of_its_best_set() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(3)]
    random_set: dict[str, Any] = {**NO_OBJECTIVE, "selection": "random"}
    whole, _ = training_set(PROMPTS, {"t": pool}, {}, **random_set)
    rows, card = training_set(PROMPTS, {"t": pool}, {}, **random_set, prompt_ids={"b", "a"})
    # The same draws as for all prompts: a draw does not depend on the others.
    assert rows == [row for row in whole if row["prompt_id"] != "z"]
    assert (card["n_prompts"], card["n"], card["n_missing"]) == (2, 2, 0)


def test_fewer_candidates_are_the_first_of_every_teacher() -> None:
    pools = {
        teacher: [candidate(name, sample, teacher=teacher) for name in "zba" for sample in range(5)]
        for teacher in ("t1", "t2")
    }
    rng = random.Random(1)
    scores = {
        "length": {t: scores_for(pool, [rng.random() for _ in pool]) for t, pool in pools.items()}
    }
    previous: list[Record] = []
    for k in (1, 2, 5):
        rows, card = training_set(PROMPTS, pools, scores, **BEST, k=k)
        assert card["k"] == k
        assert [row["n_candidates"] for row in rows] == [2 * k] * 3
        assert all(row["sample"] < k for row in rows)
        # Nested: what was the best stays, unless one of the new is better.
        for old, new in zip(previous, rows, strict=bool(previous)):
            assert new["score"] >= old["score"]
            same = (new["teacher"], new["sample"]) == (old["teacher"], old["sample"])
            assert same or new["sample"] >= old["n_candidates"] / 2
        previous = rows
    assert training_set(PROMPTS, pools, scores, **BEST)[0] == previous


def test_an_objective_as_the_plan_holds_it() -> None:
    record = {
        "metrics": {"length": {"direction": "maximise", "weight": 1.0}},
        "where": {"bad": {"at_least": None, "at_most": 0.2}},
        "keep": {"fraction": 0.25, "at_least": None, "at_most": None},
    }
    assert Criteria.read(record) == Criteria(
        {"length": Criterion("maximise")}, {"bad": Bounds(at_most=0.2)}, Keep(0.25)
    )
    at_least = {**record, "keep": {"fraction": None, "at_least": 3.0, "at_most": None}}
    assert Criteria.read(at_least).keep == Keep(scores=Bounds(at_least=3.0))
    assert Criteria.read({**record, "keep": None}).keep is None


def test_ranks_cannot_keep_prompts() -> None:
    with pytest.raises(HeirloomError, match="exactly one to keep the best prompts by; it has long"):
        Criteria(both().metrics, keep=Keep(0.5))
