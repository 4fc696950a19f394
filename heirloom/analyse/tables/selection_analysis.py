"""What selection had to choose from, what it made of that, and how much of it students inherit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from heirloom.analyse.results import Results, chosen_scores
from heirloom.analyse.tables.calibration import wilson
from heirloom.analyse.tables.frames import frame, mean, rows_of
from heirloom.analyse.tables.models import changes, steers
from heirloom.statistics.comparisons import Comparison, compare
from heirloom.statistics.resampling import mean_of
from heirloom.study.plan import Plan
from heirloom.support.files import Record

#: The scorer of candidates to the profile metric that is the same number for a student's answers.
SAME_NUMBER = {"length": "text.length", "mtld": "text.mtld"}
QUANTILES = (10, 50, 90)
SELECTION = [
    "dataset",
    "objective",
    "metric",
    "direction",
    "n",
    "n_scored",
    "spread",
    "mean_lowest",
    "mean_pool",
    "mean_control",
    "mean_chosen",
    "mean_highest",
    "realised",
    *(f"{which}_p{q}" for which in ("pool", "chosen") for q in QUANTILES),
]
WINNERS = [
    "dataset",
    "objective",
    "teacher",
    "n",
    "n_won",
    "share",
    "share_low",
    "share_high",
    "expected_share",
]
INHERITANCE = [
    "student",
    "dataset",
    "source",
    "objective",
    "benchmark",
    "metric",
    "unit",
    "n_prompts",
    "data_shift",
    "data_shift_low",
    "data_shift_high",
    "n",
    "student_shift",
    "student_shift_low",
    "student_shift_high",
    "efficiency",
    "efficiency_low",
    "efficiency_high",
]


def selection(study: Results) -> pd.DataFrame:
    """One row per best set and metric of its objective: what there was, and what was chosen.

    All numbers are over the `n` prompts of the set, in the unit of the metric, and over candidates
    that are not empty and have a score, whether or not they keep the objective's bounds.

    - `mean_pool`, `mean_chosen`, `mean_control`: mean over prompts of the mean candidate of the
      set's pool, which is what a random choice has on average, of the chosen one, and of the one
      that the control has (prompts where that one has a score).
    - `mean_lowest`, `mean_highest`: mean over prompts of the extreme candidate of all teachers and
      samples that the study has for these prompts: no selection can go beyond.
    - `realised`: 100 * (chosen - pool) / (reachable - pool), where reachable is the highest or the
      lowest, whichever the objective wants.
    - `spread`: the standard deviation between candidates of a prompt, from the mean variance over
      prompts that have two or more: where it is small there is nothing to choose.
    - `pool_p10` to `chosen_p90`: quantiles over the `n_scored` candidates, and over the chosen.
    """
    rows: list[list[Any]] = []
    for name, data in _best_sets(study.plan).items():
        prompts = [row["prompt_id"] for row in study.training[name]]
        for metric, criterion in study.plan.objectives[data.objective]["metrics"].items():
            pool = _scores(study, data, metric, prompts)
            everything = _scores(study, _everyone(study, data), metric, prompts)
            candidates = [score for scores in pool.values() for score in scores]
            chosen = [s for s in chosen_scores(study, name, metric).values() if s is not None]
            control = chosen_scores(study, data.control, metric)
            average = mean(mean(scores) for scores in pool.values())
            lowest, highest = (mean(map(end, everything.values())) for end in (min, max))
            reachable = highest if criterion["direction"] == "maximise" else lowest
            rows.append(
                [
                    *(name, data.objective, metric, criterion["direction"]),
                    *(len(prompts), len(candidates), _spread(pool), lowest, average),
                    mean(control.get(prompt) for prompt in prompts),
                    mean(chosen),
                    highest,
                    _realised(average, mean(chosen), reachable),
                    *_quantiles(candidates),
                    *_quantiles(chosen),
                ]
            )
    return frame(rows, SELECTION)


def _best_sets(plan: Plan) -> dict[str, Record]:
    return {name: data for name, data in plan.datasets.items() if data.selection == "best"}


def _everyone(study: Results, data: Record) -> Record:
    """The pool of all teachers and all samples that the study has for a set's prompts."""
    teachers = [teacher for teacher, prompts in study.candidates if prompts == data.prompts]
    return {**data, "teachers": teachers, "k": None}


def _usable(study: Results, data: Record) -> dict[str, dict[str, list[int]]]:
    """Prompt id to teacher to the samples of a set's pool that could be chosen."""
    found: dict[str, dict[str, list[int]]] = {}
    for teacher in data.teachers:
        for row in study.candidates[teacher, data.prompts]:
            if row["completion"].strip() and (data.k is None or row["sample"] < data.k):
                samples = found.setdefault(row["prompt_id"], {}).setdefault(teacher, [])
                samples.append(row["sample"])
    return found


def _scores(
    study: Results, data: Record, metric: str, prompts: list[str]
) -> dict[str, list[float]]:
    """Prompt id to the scores in a set's pool; without prompts that have none."""
    usable = _usable(study, data)
    found = {
        prompt: [
            score
            for teacher, samples in usable.get(prompt, {}).items()
            for sample in samples
            if (score := study.scores[teacher, data.prompts][metric][prompt, sample]) is not None
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
        return [None] * len(QUANTILES)
    return [float(value) for value in np.percentile(values, QUANTILES)]


def winners(study: Results) -> pd.DataFrame:
    """One row per best set of several teachers and teacher: how often its candidate was chosen.

    `share` is in percent of the `n` prompts of the set, with Wilson's 95 % interval;
    `expected_share` is what a random choice gives on average: the mean over prompts of the
    teacher's share of the candidates that are not empty.
    """
    rows: list[list[Any]] = []
    for name, data in _best_sets(study.plan).items():
        if len(data.teachers) < 2:
            continue
        usable = _usable(study, data)
        chosen = study.training[name]
        for teacher in data.teachers:
            won = sum(row["teacher"] == teacher for row in chosen)
            shares = [
                len(usable[row["prompt_id"]].get(teacher, []))
                / sum(map(len, usable[row["prompt_id"]].values()))
                for row in chosen
            ]
            rows.append(
                [
                    *(name, data.objective, teacher, len(chosen), won),
                    *(
                        100 * end
                        for end in (won / len(chosen), *wilson(won / len(chosen), len(chosen)))
                    ),
                    100 * sum(shares) / len(shares),
                ]
            )
    return frame(rows, WINNERS)


def inheritance(study: Results) -> pd.DataFrame:
    """One row per steered student: how far it followed what selection did to its training set.

    `data_shift` is how far the chosen completions are from the control's on the metric that they
    were chosen by (the first, of several), paired over the `n_prompts` prompts both have;
    `student_shift` how far the student's own answers are from the control student's on what
    measures the objective. `efficiency` is student_shift / data_shift: 1 where the student moved as
    far as its training set, 0 where it did not move, negative where it moved the other way.

    Both shifts are differences in `unit` where the two metrics are the same number (see
    SAME_NUMBER), and changes in percent of the control elsewhere. The interval of the efficiency is
    that of the student's shift divided by the data's shift: it does not contain the uncertainty
    of the latter, which is smaller because candidates of one prompt are compared. There is no
    efficiency where the interval of the data's shift includes zero, or is missing.
    """
    plan = study.plan
    rows: list[list[Any]] = []
    for row in rows_of(_measured(study)):
        if not row.control or not steers(plan, row.student, row.benchmark, row.metric):
            continue
        data = plan.datasets[row.dataset]
        objective = plan.objectives[data.objective]
        function = plan.config["metrics"][objective["metric"]]["function"]
        same = SAME_NUMBER.get(function) == objective.measured_by
        kind = "difference" if same else "change"
        shift = [getattr(row, f"{kind}_vs_control{end}") for end in ("", "_low", "_high")]
        moved = _data_shift(study, row.dataset, objective["metric"], relative=not same)
        rows.append(
            [
                *(row.student, row.dataset, data.source, data.objective),
                *(row.benchmark, row.metric, row.unit if same else "percent"),
                *(moved.n, moved.value, moved.low, moved.high),
                *(row.n_vs_control, *shift, *_efficiency(shift, moved)),
            ]
        )
    return frame(rows, INHERITANCE)


def _measured(study: Results) -> pd.DataFrame:
    """The table of changes, of what measures an objective alone: the rest takes much longer."""
    plan = study.plan
    measured = [o.measured_by.split(".", 1) for o in plan.objectives.values()]
    metrics: dict[str, set[str]] = {}
    for benchmark, metric in measured:
        metrics.setdefault(benchmark, set()).add(metric)
    profiles = {
        model: {
            benchmark: {
                **profile,
                "metrics": {
                    name: entry
                    for name, entry in profile["metrics"].items()
                    if name in metrics[benchmark]
                },
            }
            for benchmark, profile in of_model.items()
            if benchmark in metrics
        }
        for model, of_model in study.profiles.items()
    }
    benchmarks = [name for name in plan.benchmarks if name in metrics]
    return changes(replace(study, plan={**plan, "benchmarks": benchmarks}, profiles=profiles))


def _data_shift(study: Results, dataset: str, metric: str, *, relative: bool) -> Comparison:
    """A best set's chosen scores against its control's, as a difference or in percent."""
    chosen, control = (
        [{key: {"value": score} for key, score in chosen_scores(study, name, metric).items()}]
        for name in (dataset, study.plan.datasets[dataset].control)
    )
    mean_value = mean_of("value")
    return compare(chosen, control, mean_value, ["value"], seed=study.plan.seed)[relative]


def _efficiency(shift: list[float], moved: Comparison) -> list[float | None]:
    """The student's shift and its ends, as multiples of the data's."""
    if moved.value is None or moved.low is None or moved.high is None:
        return [None] * 3
    if moved.low <= 0 <= moved.high:
        return [None] * 3
    value, *ends = (end / moved.value for end in shift)
    return [value, *sorted(ends)]
