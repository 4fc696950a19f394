"""Selection: each strategy, what is refused, and training sets with their cards."""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from candidate_pools import (
    best_of,
    by_teacher,
    candidate,
    choose,
    draw,
    random_pool,
    scores_for,
    single,
)
from pydantic import ValidationError

from heirloom.select.settings import Criteria, Objective
from heirloom.select.strategies import STRATEGIES
from heirloom.select.training_set import (
    Sources,
    TrainingSet,
    build_training_set,
    read_sources,
)
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_jsonl
from heirloom.support.plugins import load_plugins

# Best


@pytest.mark.parametrize(("direction", "sample"), [("maximise", 1), ("minimise", 2)])
def test_best_follows_the_direction(direction: Any, sample: int) -> None:
    pool = [candidate("p", number) for number in range(4)]
    scores = scores_for(pool, [0.5, 3.0, -1.0, None])
    assert best_of(pool, scores, direction=direction, seed=0) == [
        {
            "prompt_id": "p",
            "completion": "text",
            "teacher": "t",
            "sample": sample,
            "finish_reason": "stop",
            "score": [0.5, 3.0, -1.0][sample],
            "n_candidates": 4,
            "n_excluded": 0,
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


def test_a_completion_without_an_answer_is_never_chosen_and_counted() -> None:
    absent = [("p", 0, "filtered"), ("p", 2, "too_long"), ("q", 0, "filtered")]
    pool = [candidate(prompt, n, None, finish=reason) for prompt, n, reason in absent]
    pool.append(candidate("p", 1, "a word"))
    described = TrainingSet("d", "passive", "t", "prompts")
    sources = Sources([{"id": p, "text": "Say."} for p in "pq"], by_teacher(pool))
    rows, card = build_training_set(described, sources, seed=0)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("p", 1)]
    assert (card["n_missing"], card["unanswered"]) == (1, {"filtered": 2, "too_long": 1})


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


# Truncated candidates


LONGEST = TrainingSet("d", "best", "t", "set", "o", single("maximise"))
FIRST = TrainingSet("d", "passive", "t", "set")


@pytest.mark.parametrize(
    ("described", "samples"),
    [
        # Of p the longest is truncated and the first as well; of q all are.
        (LONGEST, {"p": 2}),
        (FIRST, {"p": 1}),
        (replace(LONGEST, truncated=True), {"p": 3, "q": 0}),
        (replace(FIRST, truncated=True), {"p": 0, "q": 0}),
    ],
)
def test_truncated_candidates_are_chosen_only_where_they_are_admitted(
    described: TrainingSet, samples: dict[str, int]
) -> None:
    ends = ["length", "stop", "stop", "length"]
    pool = [candidate("p", sample, finish=end) for sample, end in enumerate(ends)]
    pool.append(candidate("q", 0, finish="length"))
    sources = Sources(
        [{"id": prompt, "text": "Say."} for prompt in "pq"],
        by_teacher(pool),
        {"metric": by_teacher(scores_for(pool, [1.0, 2.0, 3.0, 4.0, 5.0]))},
    )
    rows, card = build_training_set(described, sources, seed=0)
    assert {row["prompt_id"]: row["sample"] for row in rows} == samples
    # Two of p and one of q are truncated, and q has no other.
    assert (card["n_excluded"], card["n_all_truncated"], card["n_missing"]) == (
        (0, 0, 0) if described.truncated else (3, 1, 1)
    )
    assert rows[0]["n_excluded"] == (0 if described.truncated else 2)


def test_a_random_draw_is_among_the_complete_candidates() -> None:
    pool = [candidate("p", n, finish="length" if n % 2 else "stop") for n in range(10)]
    drawn = {choose("random", pool, seed=seed)[0]["sample"] for seed in range(60)}
    assert drawn == {0, 2, 4, 6, 8}


def test_a_training_set_of_truncated_completions_alone_is_refused() -> None:
    pool = [candidate("p", 0, finish="length")]
    sources = Sources([{"id": "p", "text": "Say."}], by_teacher(pool))
    way_out = "Raise prompts.set.max_new_tokens, or admit them by prompts.set.truncated"
    with pytest.raises(HeirloomError, match=f"all completions of 1 of 1 prompts are .*{way_out}"):
        build_training_set(FIRST, sources, seed=0)


# Random and passive


@pytest.mark.parametrize("seed", range(20))
def test_random_is_the_smallest_hash_among_the_usable(seed: int) -> None:
    pool = [candidate("p", sample, "" if sample == 2 else "a") for sample in range(5)]
    usable = [sample for sample in range(5) if sample != 2]
    winner = min(usable, key=lambda sample: draw(f"{seed}/random/p/t/{sample}"))
    (row,) = choose("random", pool, seed=seed)
    assert (row["sample"], row["score"], row["n_candidates"]) == (winner, None, 5)
    assert (row["n_unscored"], row["n_ineligible"], row["n_tied"]) == (0, 0, 0)


def test_random_draws_are_spread_evenly() -> None:
    pool = [candidate(f"p{prompt}", sample) for prompt in range(2000) for sample in range(4)]
    drawn = [row["sample"] for row in choose("random", pool, seed=1)]
    # 2000 draws of 4: 500 expected each, standard deviation sqrt(2000 * 3/16) = 19.4.
    assert all(abs(drawn.count(sample) - 500) < 5 * 19.4 for sample in range(4))


@pytest.mark.parametrize("seed", range(20))
def test_random_draws_are_nested(seed: int) -> None:
    pool = [candidate(f"p{prompt}", sample) for prompt in range(5) for sample in range(8)]
    large = {row["prompt_id"]: row for row in choose("random", pool, seed=seed)}
    few = [record for record in pool if record["sample"] < 4]
    for row in choose("random", few, seed=seed):
        drawn = large[row["prompt_id"]]["sample"]
        assert drawn == row["sample"] or drawn >= 4


def test_passive_takes_the_first_usable_sample() -> None:
    pool = [candidate("p", 2), candidate("p", 1), candidate("p", 0, "\t"), candidate("q", 0)]
    rows = choose("passive", pool, seed=0)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("p", 1), ("q", 0)]


def test_passive_has_one_teacher() -> None:
    with pytest.raises(HeirloomError, match="one teacher, but its pool has a, b"):
        choose("passive", [candidate("p", 0, teacher="a"), candidate("p", 0, teacher="b")], seed=0)


# Invariants


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
    drawn = choose("random", candidates, seed=seed)
    assert {row["prompt_id"] for row in drawn} == {record["prompt_id"] for record in usable}


# What is refused


def test_candidates_that_repeat_are_refused() -> None:
    pool = [candidate("p", 0), candidate("p", 1), candidate("p", 1, "other")]
    message = "2 candidates for teacher t, prompt p, sample 1"
    with pytest.raises(HeirloomError, match=message):
        choose("random", pool, seed=0)
    with pytest.raises(HeirloomError, match=message):
        choose("passive", pool, seed=0)
    with pytest.raises(HeirloomError, match=message):
        best_of(pool, scores_for(pool, [1.0, 1.0, 1.0]), direction="maximise", seed=0)


def test_scores_of_other_candidates_are_refused() -> None:
    pool = [candidate("p", 0), candidate("p", 1)]
    scores = scores_for(pool, [1.0, 2.0])
    for bad, message in (
        (scores[:1], "1 candidates have no score, such as teacher t, prompt p, sample 1"),
        (
            [*scores, {**scores[0], "sample": 5}],
            "1 scores have no candidate, such as teacher t, prompt p, sample 5",
        ),
        ([*scores, scores[0]], "2 scores for teacher t, prompt p, sample 0"),
        ([scores[0], {**scores[1], "score": float("nan")}], "sample 1 is nan; it must be"),
        ([scores[0], {**scores[1], "score": "2"}], "sample 1 is '2'; it must be"),
    ):
        with pytest.raises(HeirloomError, match=message):
            best_of(pool, bad, direction="maximise", seed=0)


# The training set

PROMPTS: list[Record] = [{"id": name, "text": f"Say {name}."} for name in ("z", "b", "a")]
BEST = TrainingSet(
    "d", "best", "multi", "instructions", "length", single("maximise", "length"), truncated=True
)
RANDOM = TrainingSet("d", "random", "multi", "instructions")


def build(
    described: TrainingSet,
    candidates: dict[str, list[Record]],
    scores: dict[str, dict[str, list[Record]]] | None = None,
    **sources: Any,
) -> tuple[list[Record], Record]:
    """A training set of `PROMPTS` at seed 3."""
    found = Sources(**{"prompts": PROMPTS, **sources}, candidates=candidates, scores=scores or {})
    return build_training_set(described, found, seed=3)


def test_rows_in_the_order_of_the_prompts_and_a_card() -> None:
    # A record names no teacher: its file does.
    one = [candidate("a", 0, "x"), candidate("z", 0, "x"), candidate("b", 0, "")]
    two = [candidate("a", 0, "x y"), candidate("z", 0, "y", finish="length"), candidate("b", 0, "")]
    three = [candidate("z", 0, "z")]
    scores = {
        "t1": scores_for(one, [1.0, 1.0, 0.0]),
        "t2": scores_for(two, [2.0, 5.0, 0.0]),
        "t3": scores_for(three, [None]),
    }
    rows, card = build(BEST, {"t1": one, "t2": two, "t3": three}, {"length": scores})
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
            "n_excluded": 0,
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
            "n_excluded": 0,
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
        "n_all_truncated": 0,
        "n_ineligible": 0,
        "n_excluded": 0,
        "n_dropped": 0,
        "n_tied": 0,
        "n_truncated": 1,
        "unanswered": {},
        "teacher_counts": {"t1": 0, "t2": 2, "t3": 0},
    }


def test_a_card_counts_the_prompts_with_ties() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(3)]
    values: list[float | None] = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0, 3.0]
    rows, card = build(BEST, {"t": pool}, {"length": {"t": scores_for(pool, values)}})
    assert [row["n_tied"] for row in rows] == [2, 1, 0]
    assert card["n_tied"] == 2


def test_random_and_passive_sets() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(4)]
    rows, card = build(replace(RANDOM, selection="passive"), {"t": pool})
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("z", 0), ("b", 0), ("a", 0)]
    assert (card["n"], card["n_missing"], card["objective"]) == (3, 0, None)
    rows, _ = build(RANDOM, {"t": pool})
    by_hash = [
        min((draw(f"3/random/{name}/t/{sample}"), sample) for sample in range(4))[1]
        for name in "zba"
    ]
    assert [row["sample"] for row in rows] == by_hash


def test_a_training_set_refuses_what_does_not_fit() -> None:
    pool = [candidate("a", 0)]
    with pytest.raises(
        HeirloomError, match=r"Teacher t .*'y', which the prompt set 'instructions'"
    ):
        build(RANDOM, {"t": [candidate("y", 0)]})
    with pytest.raises(HeirloomError, match="prompt id 'a' occurs twice"):
        build(RANDOM, {"t": pool}, prompts=[*PROMPTS, PROMPTS[2]])
    with pytest.raises(HeirloomError, match="d: the strategy 'best' needs an objective"):
        replace(BEST, criteria=None)
    with pytest.raises(HeirloomError, match="'random' takes no objective"):
        replace(RANDOM, criteria=BEST.criteria)
    with pytest.raises(
        HeirloomError, match=r"no selection strategy 'worst'.*best, passive, random"
    ):
        replace(RANDOM, selection="worst")
    with pytest.raises(HeirloomError, match="no scores by length"):
        build(BEST, {"t": pool})
    with pytest.raises(HeirloomError, match="none of 3 prompts has a completion that is not empty"):
        build(RANDOM, {"t": [candidate("a", 0, " ")]})
    with pytest.raises(HeirloomError, match="not empty with a score"):
        build(BEST, {"t": pool}, {"length": {"t": scores_for(pool, [None])}})


# Several metrics, bounds, the best prompts only, fewer candidates


def both(first: float = 1, second: float = 1) -> Criteria:
    long, bad = {"direction": "maximise"}, {"direction": "minimise"}
    metrics = {"long": {**long, "weight": first}, "bad": {**bad, "weight": second}}
    return Criteria.model_validate({"metrics": metrics})


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
    (row,) = choose("best", pool, scores, both(), seed=0)
    assert (row["sample"], row["score"]) == (1, pytest.approx(7 / 12))
    (row,) = choose("best", pool, scores, both(3, 1), seed=0)
    assert (row["sample"], row["score"]) == (3, pytest.approx(3 / 4))
    # Only the ratio of the weights counts.
    assert choose("best", pool, scores, both(0.3, 0.1), seed=0) == [row]


def test_ranks_tie_exactly() -> None:
    # long: ranks 1, 2/3, 1/3, 0; bad, minimised: 0, 1/3, 2/3, 1. All have 1/2, which the floating-
    # point sums of 0.1 times these need not give.
    pool = [candidate("p", sample) for sample in range(4)]
    scores = {
        "long": scores_for(pool, [9.0, 2.0, 1.0, 0.0]),
        "bad": scores_for(pool, [9.0, 3.0, 2.0, 1.0]),
    }
    (row,) = choose("best", pool, scores, both(0.1, 0.1), seed=0)
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
    (row,) = choose("best", pool, scores, both(), seed=0)
    assert (row["score"], row["n_tied"], row["n_unscored"]) == (0.5, 1, 1)
    assert row["sample"] in (1, 2)


def test_a_candidate_alone_has_the_middle_rank() -> None:
    pool = [candidate("p", 0)]
    scores = {"long": scores_for(pool, [5.0]), "bad": scores_for(pool, [0.0])}
    (row,) = choose("best", pool, scores, both(), seed=0)
    assert row["score"] == 0.5


@pytest.mark.parametrize("seed", range(30))
def test_ranks_do_not_depend_on_the_order_or_the_scale(seed: int) -> None:
    candidates, long = random_pool(seed)
    rng = random.Random(seed)
    bad = scores_for(candidates, [rng.choice([None, 0.0, 0.5, 1.0]) for _ in candidates])
    chosen = choose("best", candidates, {"long": long, "bad": bad}, both(2, 1), seed=seed)
    # A monotone map of the scores keeps every rank.
    mapped = [
        {**record, "score": None if record["score"] is None else 1000 + record["score"] ** 3}
        for record in long
    ]
    rng.shuffle(candidates)
    rng.shuffle(bad)
    assert chosen == choose("best", candidates, {"bad": bad, "long": mapped}, both(2, 1), seed=seed)


LONG_BUT_CLEAN = single(
    "maximise", "long", where={"bad": {"at_most": 0.2}, "long": {"at_least": 20}}
)


def test_the_longest_among_the_clean() -> None:
    # p: 30 is too bad, 25 has no score, 10 too short: 20 at exactly 0.2 is chosen. q: none is left.
    pool = [candidate("p", sample) for sample in range(4)] + [candidate("q", 0), candidate("r", 0)]
    scores = {
        "long": scores_for(pool, [30.0, 25.0, 10.0, 20.0, 50.0, None]),
        "bad": scores_for(pool, [0.21, None, 0.0, 0.2, 0.9, 0.0]),
    }
    (row,) = choose("best", pool, scores, LONG_BUT_CLEAN, seed=0)
    assert (row["prompt_id"], row["sample"], row["score"]) == ("p", 3, 20.0)
    assert (row["n_candidates"], row["n_unscored"], row["n_ineligible"]) == (4, 0, 3)


def test_prompts_without_an_eligible_candidate_are_counted() -> None:
    pool = [candidate(name, 0) for name in "zba"]
    scores = {
        "long": {"t": scores_for(pool, [30.0, 40.0, None])},
        "bad": {"t": scores_for(pool, [0.1, 0.9, 0.0])},
    }
    described = replace(BEST, criteria=LONG_BUT_CLEAN)
    rows, card = build(described, {"t": pool}, scores)
    assert [row["prompt_id"] for row in rows] == ["z"]
    # b is ineligible, a has no score at all: both are missing, one because of the bounds.
    counts = [card[key] for key in ("n_prompts", "n", "n_missing", "n_ineligible", "n_dropped")]
    assert counts == [3, 1, 2, 1, 0]
    too_bad = {**scores, "bad": {"t": scores_for(pool, [1.0, 1.0, 1.0])}}
    with pytest.raises(HeirloomError, match="no candidate of 3 prompts is within the bounds"):
        build(described, {"t": pool}, too_bad)


def kept(values: list[float], criteria: Criteria, seed: int = 0) -> list[int]:
    """The prompts, by number, whose only candidate has one of these scores and is kept."""
    pool = [candidate(f"{number}", 0) for number in range(len(values))]
    rows = choose("best", pool, {"m": scores_for(pool, [*values])}, criteria, seed=seed)
    return [int(row["prompt_id"]) for row in rows]


def test_the_best_share_of_the_prompts() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    # A quarter of 5 is 1.25, rounded up 2. 0.4 of 5 is exactly 2, though 0.4 is a little more.
    assert kept(values, single("maximise", "m", keep={"fraction": 0.25})) == [0, 2]
    assert kept(values, single("maximise", "m", keep={"fraction": 0.4})) == [0, 2]
    assert kept(values, single("minimise", "m", keep={"fraction": 0.4})) == [1, 3]
    assert kept(values, single("maximise", "m")) == [0, 1, 2, 3, 4]


def test_ties_at_the_edge_of_a_share_go_to_the_smallest_hash() -> None:
    criteria = single("maximise", "m", keep={"fraction": 0.5})
    for seed in range(10):
        by_hash = sorted("1235", key=lambda prompt: draw(f"{seed}/{prompt}/t/0"))
        expected = sorted([0, *map(int, by_hash[:2])])
        assert kept([9.0, 1.0, 1.0, 1.0, 0.0, 1.0], criteria, seed) == expected


def test_scores_from_a_threshold_on() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert kept(values, single("maximise", "m", keep={"at_least": 4.0})) == [0, 2]
    assert kept(values, single("maximise", "m", keep={"at_most": 2.0})) == [1, 3]


def test_a_card_counts_what_was_not_kept() -> None:
    pool = [candidate(name, 0) for name in "zba"]
    scores = {"length": {"t": scores_for(pool, [1.0, 2.0, None])}}

    def keeping(**keep: float) -> TrainingSet:
        return replace(BEST, criteria=single("maximise", "length", keep=keep))

    rows, card = build(keeping(fraction=0.5), {"t": pool}, scores)
    assert [row["prompt_id"] for row in rows] == ["b"]
    counts = [card[key] for key in ("n_prompts", "n", "n_missing", "n_ineligible", "n_dropped")]
    assert counts == [3, 1, 1, 0, 1]
    assert card["criteria"]["keep"]["fraction"] == 0.5
    with pytest.raises(HeirloomError, match="keep drops all"):
        build(keeping(at_least=3.0), {"t": pool}, scores)


def test_a_control_has_the_prompts_of_its_steered_set() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(3)]
    whole, _ = build(RANDOM, {"t": pool})
    rows, card = build(RANDOM, {"t": pool}, kept={"b", "a"})
    # The same draws as for all prompts: a draw does not depend on the others.
    assert rows == [row for row in whole if row["prompt_id"] != "z"]
    assert (card["n_prompts"], card["n"], card["n_missing"]) == (2, 2, 0)


REDRAW = TrainingSet("d2", "redraw", "multi", "instructions")


def taken(rows: list[Record]) -> set[tuple[str, str, int]]:
    return {(row["teacher"], row["prompt_id"], row["sample"]) for row in rows}


def test_a_second_draw_is_the_smallest_hash_that_the_first_left() -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(4)]
    for first in (RANDOM, TrainingSet("d", "passive", "t", "instructions")):
        chosen = taken(build(first, {"t": pool}, kept={"b", "a"})[0])
        rows, card = build(REDRAW, {"t": pool}, kept={"b", "a"}, taken=chosen)
        for row in rows:
            left = [n for n in range(4) if ("t", row["prompt_id"], n) not in chosen]
            assert len(left) == 3
            smallest = min(left, key=lambda n: draw(f"3/random/{row['prompt_id']}/t/{n}"))
            assert row["sample"] == smallest
        assert (card["n"], card["n_repeated"], card["selection"]) == (2, 0, "redraw")


def test_second_draws_are_spread_evenly_over_what_the_first_left() -> None:
    prompts = [{"id": f"p{n}", "text": "Say."} for n in range(2000)]
    pool = [candidate(prompt["id"], sample) for prompt in prompts for sample in range(4)]
    first = {("t", prompt["id"], 0) for prompt in prompts}  # a passive set
    rows, _ = build(REDRAW, {"t": pool}, prompts=prompts, taken=first)
    drawn = [row["sample"] for row in rows]
    # 2000 draws of 3: 667 expected each, standard deviation sqrt(2000 * 2/9) = 21.1.
    assert drawn.count(0) == 0
    assert all(abs(drawn.count(sample) - 667) < 5 * 21.1 for sample in (1, 2, 3))


def test_a_second_draw_has_all_prompts_of_the_first() -> None:
    """Where the first left nothing that may be chosen, its candidate is chosen again."""
    pool = [candidate("a", 0), candidate("a", 1, ""), candidate("b", 0), candidate("b", 1)]
    first = {("t", "a", 0), ("t", "b", 0)}
    rows, card = build(REDRAW, {"t": pool}, kept={"a", "b"}, taken=first)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [("b", 1), ("a", 0)]
    assert (card["n_repeated"], card["n_missing"]) == (1, 0)


def test_the_first_draw_is_read_from_its_file(tmp_path: Path) -> None:
    pool = [candidate(name, sample) for name in "zba" for sample in range(2)]
    rows, card = build(RANDOM, {"t": pool}, kept={"b", "a"})
    assert "n_repeated" not in card  # no word of it where there is no second draw
    files = {"prompts": PROMPTS, "pool": pool, "first": rows}
    for name, records in files.items():
        write_jsonl(tmp_path / f"{name}.jsonl", records)
    found = read_sources(
        ["t"],
        prompts=tmp_path / "prompts.jsonl",
        candidates=[tmp_path / "pool.jsonl"],
        scores=[],
        kept=[tmp_path / "first.jsonl"],
    )
    again, _ = build_training_set(REDRAW, found, seed=3)
    # Of two candidates per prompt, the other one.
    other = {(t, prompt, 1 - sample) for t, prompt, sample in taken(rows)}
    assert taken(again) == other


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
        rows, card = build(replace(BEST, k=k), pools, scores)
        assert card["k"] == k
        assert [row["n_candidates"] for row in rows] == [2 * k] * 3
        assert all(row["sample"] < k for row in rows)
        # Nested: what was the best stays, unless one of the new is better.
        for old, new in zip(previous, rows, strict=bool(previous)):
            assert new["score"] >= old["score"]
            same = (new["teacher"], new["sample"]) == (old["teacher"], old["sample"])
            assert same or new["sample"] >= old["n_candidates"] / 2
        previous = rows
    assert build(BEST, pools, scores)[0] == previous


# What an objective says of the choice

OBJECTIVE: dict[str, Any] = {
    "metrics": {"long": {"direction": "maximise", "weight": 2}, "bad": {"direction": "minimise"}},
    "where": {"bad": {"at_most": 0.2}},
    "prompts": "own",
    "pools": ["multi"],
    "measured_by": "text.length",
}


def test_what_decides_is_read_back_from_json() -> None:
    objective = Objective.model_validate(OBJECTIVE)
    decides = json.loads(json.dumps(objective.decides()))
    criteria = Criteria.model_validate(decides)
    assert criteria.criteria == objective.criteria and criteria.where == objective.where
    assert (criteria.leading, criteria.direction_of_leading) == ("long", "maximise")
    assert criteria.scored_by == ["long", "bad"]
    dataset = {"id": "d", "selection": "best", "pool": "p", "prompts": "own", "control": "c"}
    assert TrainingSet.read({**dataset, "objective": "o"}, decides, truncated=True) == TrainingSet(
        "d", "best", "p", "own", "o", criteria, truncated=True
    )


@pytest.mark.parametrize("key", ["prompts", "pools", "measured_by"])
def test_what_decides_no_choice_is_left_out(key: str) -> None:
    changed = {**OBJECTIVE, key: ["other"] if key == "pools" else "other"}
    before, after = (Objective.model_validate(o).decides() for o in (OBJECTIVE, changed))
    assert before == after


def test_ranks_cannot_keep_prompts() -> None:
    with pytest.raises(ValidationError, match="ranks of several metrics are within one prompt"):
        Objective.model_validate({**OBJECTIVE, "keep": {"fraction": 0.5}})


def test_an_objective_names_a_strategy_that_serves_one() -> None:
    assert Objective.model_validate({**OBJECTIVE, "strategy": "best"}).strategy == "best"
    with pytest.raises(ValidationError, match="'random' cannot be used here; use best"):
        Objective.model_validate({**OBJECTIVE, "strategy": "random"})
    with pytest.raises(ValidationError, match=r"no selection strategy 'bast'.*mean 'best'"):
        Objective.model_validate({**OBJECTIVE, "strategy": "bast"})


# A strategy of a plugin

PLUGIN = """
from heirloom.select.pool import Choice
from heirloom.select.strategies import strategy

@strategy("second", label="second best", summary="The second best.", needs_objective=True)
def second(pool, criteria, *, seed):
    def rank(candidate):
        return candidate.scores[criteria.leading], candidate.draw(f"{seed}")
    groups = [sorted(group.candidates, key=rank) for group in pool.groups]
    return [Choice(group[-2], group[-2].scores[criteria.leading]) for group in groups if group[1:]]

@strategy("greedy", label="greedy", summary="Several per prompt.", needs_objective=True)
def greedy(pool, criteria, *, seed):
    return [Choice(candidate) for group in pool.groups for candidate in group.candidates]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin with two strategies, forgotten after the test."""
    STRATEGIES.names()
    for attribute in ("_components", "_sources"):
        monkeypatch.setattr(STRATEGIES, attribute, dict(getattr(STRATEGIES, attribute)))
    (tmp_path / "strategies_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HEIRLOOM_PLUGINS", "strategies_plugin")
    monkeypatch.delitem(sys.modules, "strategies_plugin", raising=False)
    load_plugins()


def test_a_plugin_brings_a_strategy(plugin: None) -> None:
    """Bounds and keep hold for it as for `best`: sample 3 is too bad, q has no second."""
    criteria = single(
        "maximise", "long", where={"bad": {"at_most": 0.2}}, keep={"at_least": 9}, strategy="second"
    )
    assert str(criteria).endswith(", chosen by second")
    assert STRATEGIES.get("second").control == "random"
    pool = [candidate("p", sample) for sample in range(4)]
    pool += [candidate("q", 0), candidate("r", 0), candidate("r", 1)]
    scores = {
        "long": scores_for(pool, [10.0, 30.0, 20.0, 90.0, 5.0, 8.0, 9.0]),
        "bad": scores_for(pool, [0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0]),
    }
    (row,) = choose("second", pool, scores, criteria, seed=0)
    assert (row["prompt_id"], row["sample"], row["score"]) == ("p", 2, 20.0)
    assert (row["n_candidates"], row["n_ineligible"]) == (4, 1)


def test_what_a_strategy_chooses_is_checked(plugin: None) -> None:
    pool = [candidate("p", 0), candidate("p", 1)]
    scores = {"long": scores_for(pool, [1.0, 2.0])}
    with pytest.raises(HeirloomError, match="'greedy' chose twice for this prompt: teacher t"):
        choose("greedy", pool, scores, single("maximise", "long"), seed=0)
    one = pool[:1]
    scores = {"long": scores_for(one, [1.0])}
    criteria = single("maximise", "long", keep={"fraction": 0.5}, strategy="greedy")
    with pytest.raises(HeirloomError, match=r"keep needs the score .* strategy 'greedy'"):
        choose("greedy", one, scores, criteria, seed=0)
