"""Candidates that selection had to choose from, and those that it chose."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results, chosen_scores
from heirloom.analyse.tables import table
from heirloom.statistics.estimates import mean
from heirloom.study.plan import Dataset, Plan

_QUANTILES = (10, 50, 90)


@dataclass(frozen=True)
class Selected:
    """A row of `selection`: one selected training set on one metric of its objective."""

    dataset: str
    pool: str
    objective: str
    metric: str
    direction: str
    n: int
    n_scored: int
    spread: float | None
    mean_lowest: float | None
    mean_pool: float | None
    mean_control: float | None
    mean_chosen: float | None
    mean_highest: float | None
    realised: float | None
    pool_p10: float | None
    pool_p50: float | None
    pool_p90: float | None
    chosen_p10: float | None
    chosen_p50: float | None
    chosen_p90: float | None


@dataclass(frozen=True)
class Winner:
    """A row of `winners`: one teacher of one selected training set."""

    dataset: str
    objective: str
    teacher: str
    n: int
    n_won: int
    share: float
    share_low: float
    share_high: float
    expected_share: float


def selects(plan: Plan) -> bool:
    """Tell if a study has training sets that were selected for an objective."""
    return any(data.objective is not None for data in plan.datasets.values())


@table(
    "selection",
    title="Selection",
    order=30,
    applies=selects,
    text=text_of(Selected),
    headings={
        "mean_lowest": "Lowest, mean",
        "mean_pool": "Pool, mean",
        "mean_control": "Control, mean",
        "mean_chosen": "Chosen, mean",
        "mean_highest": "Highest, mean",
    },
)
def selection(results: Results) -> pd.DataFrame:
    """One row per selected set and metric of its objective: its candidates and its choice.

    `pool` is the pool's name, or that of the one teacher for single-source. All numbers are over
    the `n` prompts of the set, in the unit of the metric, and over candidates
    that are not empty and have a score, whether or not they keep the objective's bounds.

    - `mean_pool`, `mean_chosen`, `mean_control`: mean over prompts of the mean candidate of the
      set's pool, which is what a random choice has on average, of the chosen one, and of the one
      that the control has (prompts where that one has a score).
    - `mean_lowest`, `mean_highest`: mean over prompts of the extreme candidate of all teachers and
      samples that the study has for these prompts: no selection can go beyond.
    - `realised`: 100 * (chosen - pool) / (reachable - pool), where reachable is the highest or the
      lowest, depending on the direction of the objective.
    - `spread`: the standard deviation between candidates of a prompt, from the mean variance over
      prompts that have two or more: where it is small there is nothing to choose.
    - `pool_p10` to `chosen_p90`: quantiles over the `n_scored` candidates, and over the chosen.
    """
    rows = [
        _selected(results, data, objective, metric, criterion.direction)
        for data, objective in _selected_sets(results.plan)
        for metric, criterion in results.plan.objectives[objective].criteria.items()
    ]
    return frame(rows, Selected)


def _selected(
    results: Results,
    data: Dataset,
    objective: str,
    metric: str,
    direction: Literal["maximise", "minimise"],
) -> Selected:
    prompts = [row["prompt_id"] for row in results.training[data.id]]
    pool = _scores(results, data, metric, prompts)
    everything = _scores(results, _everyone(results, data), metric, prompts)
    candidates = [score for scores in pool.values() for score in scores]
    chosen = [s for s in chosen_scores(results, data.id, metric).values() if s is not None]
    control = chosen_scores(results, data.control, metric) if data.control else {}
    average, average_chosen = mean(mean(scores) for scores in pool.values()), mean(chosen)
    lowest, highest = mean(map(min, everything.values())), mean(map(max, everything.values()))
    pool_p10, pool_p50, pool_p90 = _quantiles(candidates)
    chosen_p10, chosen_p50, chosen_p90 = _quantiles(chosen)
    return Selected(
        dataset=data.id,
        pool=data.pool,
        objective=objective,
        metric=metric,
        direction=direction,
        n=len(prompts),
        n_scored=len(candidates),
        spread=_spread(pool),
        mean_lowest=lowest,
        mean_pool=average,
        mean_control=mean(control.get(prompt) for prompt in prompts),
        mean_chosen=average_chosen,
        mean_highest=highest,
        realised=_realised(average, average_chosen, highest if direction == "maximise" else lowest),
        pool_p10=pool_p10,
        pool_p50=pool_p50,
        pool_p90=pool_p90,
        chosen_p10=chosen_p10,
        chosen_p50=chosen_p50,
        chosen_p90=chosen_p90,
    )


def _selected_sets(plan: Plan) -> Iterator[tuple[Dataset, str]]:
    """Training sets that were selected for an objective, with its name."""
    return ((data, data.objective) for data in plan.datasets.values() if data.objective is not None)


def _everyone(results: Results, data: Dataset) -> Dataset:
    """The set as if its pool had all teachers and samples that the study has for its prompts."""
    teachers = tuple(t for t, prompts in results.candidates if prompts == data.prompts)
    return replace(data, teachers=teachers, k=None)


def _usable(results: Results, data: Dataset) -> dict[str, dict[str, list[int]]]:
    """Prompt id to teacher to the samples of a set's pool that could be chosen."""
    found: dict[str, dict[str, list[int]]] = {}
    for teacher in data.teachers:
        for row in results.candidates[teacher, data.prompts]:
            if (row["completion"] or "").strip() and (data.k is None or row["sample"] < data.k):
                samples = found.setdefault(row["prompt_id"], {}).setdefault(teacher, [])
                samples.append(row["sample"])
    return found


def _scores(
    results: Results, data: Dataset, metric: str, prompts: list[str]
) -> dict[str, list[float]]:
    """Prompt id to the scores in a set's pool; without prompts that have none."""
    usable = _usable(results, data)
    found = {
        prompt: [
            score
            for teacher, samples in usable.get(prompt, {}).items()
            for sample in samples
            if (score := results.scores[teacher, data.prompts][metric][prompt, sample]) is not None
        ]
        for prompt in prompts
    }
    return {prompt: scores for prompt, scores in found.items() if scores}


def _spread(pool: Mapping[str, list[float]]) -> float | None:
    variance = mean(float(np.var(s, ddof=1)) for s in pool.values() if len(s) > 1)
    return None if variance is None else variance**0.5


def _realised(average: float | None, chosen: float | None, reachable: float | None) -> float | None:
    if average is None or chosen is None or reachable is None or reachable == average:
        return None
    return 100 * (chosen - average) / (reachable - average)


def _quantiles(values: list[float]) -> list[float | None]:
    if not values:
        return [None] * len(_QUANTILES)
    return [float(value) for value in np.percentile(values, _QUANTILES)]


@table("winners", title="Winners", order=40, applies=selects, text=text_of(Winner))
def winners(results: Results) -> pd.DataFrame:
    """One row per teacher of a set selected from several: how often its candidate was chosen.

    `share` is in percent of the `n` prompts of the set, with Wilson's 95 % interval;
    `expected_share` is what a random choice gives on average: the mean over prompts of the
    teacher's share of the candidates that are not empty.
    """
    from scipy.stats import binomtest

    rows = []
    for data, objective in _selected_sets(results.plan):
        if len(data.teachers) < 2:
            continue
        usable = _usable(results, data)
        chosen = results.training[data.id]
        for teacher in data.teachers:
            won = sum(row["teacher"] == teacher for row in chosen)
            expected = [
                len(usable[row["prompt_id"]].get(teacher, []))
                / sum(map(len, usable[row["prompt_id"]].values()))
                for row in chosen
            ]
            interval = binomtest(won, len(chosen)).proportion_ci(method="wilson")
            rows.append(
                Winner(
                    dataset=data.id,
                    objective=objective,
                    teacher=teacher,
                    n=len(chosen),
                    n_won=won,
                    share=100 * (won / len(chosen)),
                    share_low=100 * interval.low,
                    share_high=100 * interval.high,
                    expected_share=100 * sum(expected) / len(expected),
                )
            )
    return frame(rows, Winner)
