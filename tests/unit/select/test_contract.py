"""The contract of every registered selection strategy, in loops over random pools."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from candidate_pools import candidate, choose, random_pool, scores_for, single

from heirloom.select.settings import Criteria
from heirloom.select.strategies import STRATEGIES, Strategy, control_of
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


@pytest.fixture(params=STRATEGIES.names())
def strategy(request: pytest.FixtureRequest) -> Strategy:
    """Every registered strategy."""
    return STRATEGIES.get(request.param)


def rows_of(
    strategy: Strategy, candidates: list[Record], scores: list[Record], *, seed: int = 0
) -> list[Record]:
    """Choices from the candidates that the strategy can have, for an objective if it serves one."""
    try:
        return _rows(strategy, candidates, scores, seed)
    except HeirloomError as error:  # a strategy of one teacher
        assert "one teacher" in str(error)
        first = [r for r in candidates if r["teacher"] == "t1"]
        return _rows(strategy, first, [r for r in scores if r["teacher"] == "t1"], seed)


def _rows(
    strategy: Strategy, candidates: list[Record], scores: list[Record], seed: int
) -> list[Record]:
    criteria: Criteria | None = None
    found: Mapping[str, list[Record]] = {}
    if strategy.needs_objective:
        criteria, found = single("maximise", strategy=strategy.name), {"metric": scores}
    return choose(strategy.name, candidates, found, criteria, seed=seed)


def test_it_says_what_it_is(strategy: Strategy) -> None:
    assert strategy.name in STRATEGIES
    assert strategy.label and strategy.summary.endswith(".")
    assert "\n" not in strategy.summary
    criteria = single("maximise") if strategy.needs_objective else None
    assert "5 candidates" in strategy.reason("5 candidates", criteria)


def test_the_control_of_a_strategy_is_itself_uncontrolled(strategy: Strategy) -> None:
    for one_teacher in (True, False):
        control = control_of(strategy.name, one_teacher=one_teacher)
        assert bool(control) == strategy.needs_objective
        assert not control or not STRATEGIES.get(control).needs_objective


@pytest.mark.parametrize("seed", range(30))
def test_the_order_of_candidates_changes_nothing(strategy: Strategy, seed: int) -> None:
    candidates, scores = random_pool(seed)
    first = rows_of(strategy, candidates, scores, seed=seed)
    rng = random.Random(seed)
    for _ in range(3):
        rng.shuffle(candidates)
        rng.shuffle(scores)
        assert rows_of(strategy, candidates, scores, seed=seed) == first


@pytest.mark.parametrize("seed", range(10))
def test_at_most_one_usable_candidate_per_prompt(strategy: Strategy, seed: int) -> None:
    candidates, scores = random_pool(seed)
    rows = rows_of(strategy, candidates, scores)
    prompts = [row["prompt_id"] for row in rows]
    assert len(set(prompts)) == len(prompts)
    assert all(row["completion"].strip() for row in rows)


def test_a_candidate_without_a_score_is_not_chosen_for_an_objective(strategy: Strategy) -> None:
    pool = [candidate("p", 0), candidate("p", 1), candidate("q", 0)]
    scores = scores_for(pool, [None, 0.0, None])  # zero is a score
    rows = [(row["prompt_id"], row["sample"]) for row in rows_of(strategy, pool, scores)]
    assert rows == [("p", 1)] if strategy.needs_objective else len(rows) == 2


@pytest.mark.parametrize("seed", range(5))
def test_best_of_one_is_that_one(strategy: Strategy, seed: int) -> None:
    pool = [candidate(f"p{number}", 3, f"text {number}") for number in range(5)]
    scores = scores_for(pool, [float(number) for number in range(5)])
    rows = rows_of(strategy, pool, scores, seed=seed)
    assert [(row["completion"], row["sample"]) for row in rows] == [
        (record["completion"], 3) for record in pool
    ]


def test_a_prompt_does_not_depend_on_the_others(strategy: Strategy) -> None:
    candidates, scores = random_pool(4)
    whole = rows_of(strategy, candidates, scores, seed=9)

    def only(records: list[Record], prompt: Any) -> list[Record]:
        return [record for record in records if record["prompt_id"] == prompt]

    for prompt in {row["prompt_id"] for row in whole}:
        own = rows_of(strategy, only(candidates, prompt), only(scores, prompt), seed=9)
        assert own == only(whole, prompt)
