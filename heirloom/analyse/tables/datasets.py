"""Training sets and the candidates that they were chosen from."""

from collections import Counter
from typing import Any

import pandas as pd

from heirloom.analyse.frames import unique
from heirloom.analyse.results import Results, chosen_scores
from heirloom.analyse.tables import table
from heirloom.statistics.comparisons import Comparison, difference
from heirloom.statistics.estimates import mean
from heirloom.study.plan import Dataset, Plan

_MEANS = {"mean_*": "Mean {}"}


@table(
    "training_sets",
    title="Training sets",
    order=20,
    text=("dataset", "selection", "pool", "prompts", "objective", "control"),
    headings={
        "n_missing": "Missing",
        "n_tied": "Tied",
        "n_truncated": "Truncated",
        "n_excluded": "Truncated candidates left out",
        "share_*": "From {}, %",
        "difference_n": "Prompts compared",
        **_MEANS,
    },
)
def training_sets(results: Results) -> pd.DataFrame:
    """One row per training set: size, origin of its examples, effect of the selection.

    `share_<teacher>` is the share of its examples in percent; `mean_<metric>` the mean score of its
    completions (null where none was scored). A selected set is compared with the training set of
    its control by its own metric (the first, of several): `difference` is in that metric's unit,
    with a paired 95 % interval over the `difference_n` prompts both have.

    `n_missing` prompts had no candidate to choose. `n_truncated` of the chosen completions are
    truncated; `n_excluded` truncated candidates could not be chosen. Where an objective has bounds
    or keeps the best prompts only, `n_ineligible` of the missing had none within the bounds, and
    `n_dropped` prompts were not kept.
    """
    plan = results.plan
    teachers = unique(teacher for data in plan.datasets.values() for teacher in data.teachers)
    rows = [_training_set(results, data, teachers) for data in plan.datasets.values()]
    return pd.DataFrame(rows, columns=None if rows else ["dataset"])


def _training_set(results: Results, data: Dataset, teachers: list[str]) -> dict[str, Any]:
    plan, card = results.plan, results.cards[data.id]
    limited = any(objective.own_prompts for objective in plan.objectives.values())
    counts = card["teacher_counts"]
    compared = _against_control(results, data)
    return {
        "dataset": data.id,
        "selection": data.selection,
        "pool": data.pool,
        "prompts": data.prompts,
        "objective": data.objective or "",
        "n": card["n"],
        "n_missing": card["n_missing"],
        **({key: card[key] for key in ("n_ineligible", "n_dropped")} if limited else {}),
        "n_tied": card["n_tied"],
        "n_truncated": card["n_truncated"],
        "n_excluded": card["n_excluded"],
        **{
            f"share_{teacher}": 100 * counts.get(teacher, 0) / card["n"] if card["n"] else None
            for teacher in teachers
        },
        **{
            f"mean_{metric}": mean(chosen_scores(results, data.id, metric).values())
            for metric in _metrics(plan)
        },
        "control": data.control or "",
        "difference": compared.value,
        "difference_low": compared.low,
        "difference_high": compared.high,
        "difference_n": compared.n,
    }


def _metrics(plan: Plan) -> list[str]:
    """Every metric that an objective chooses by."""
    return unique(metric for o in plan.objectives.values() for metric in o.scored_by)


def _against_control(results: Results, data: Dataset) -> Comparison:
    if data.objective is None or data.control is None:
        return Comparison(None, None, None, 0, 0)
    metric = results.plan.objectives[data.objective].leading
    return difference(
        chosen_scores(results, data.id, metric),
        chosen_scores(results, data.control, metric),
        seed=results.plan.seed,
    )


@table(
    "candidates",
    title="Candidates",
    order=60,
    text=("teacher", "prompts"),
    headings={
        "n_prompts": "Prompts with candidates",
        "truncated": "Truncated, %",
        "tokens": "Tokens, mean",
        "unscored_*": "Unscored, {}",
        **_MEANS,
    },
)
def candidates(results: Results) -> pd.DataFrame:
    """One row per teacher and prompt set: number of candidates, how they ended, their scores.

    `truncated` is the share of candidates that reached the token limit, in percent; `tokens` the
    mean number of tokens; `empty` counts candidates without text, and `unanswered` those of them
    that are no answer at all: too long, filtered, refused or empty behind an endpoint.
    `mean_<metric>` is over the candidates that have a score and `unscored_<metric>` counts the
    others.
    """
    metrics = _metrics(results.plan)
    columns = ["teacher", "prompts", "n_prompts", "k", "n", "empty"]
    columns += ["unanswered", "truncated", "tokens"]
    columns += [f"{prefix}_{metric}" for metric in metrics for prefix in ("mean", "unscored")]
    rows = []
    for (teacher, prompts), pool in results.candidates.items():
        n = len(pool)
        per_prompt = Counter(row["prompt_id"] for row in pool)
        truncated = sum(row["finish_reason"] == "length" for row in pool)
        row = {
            "teacher": teacher,
            "prompts": prompts,
            "n_prompts": len(per_prompt),
            "k": max(per_prompt.values(), default=0),
            "n": n,
            "empty": sum(not (row["completion"] or "").strip() for row in pool),
            "unanswered": sum(row["completion"] is None for row in pool),
            "truncated": 100 * truncated / n if n else None,
            "tokens": mean(row["n_tokens"] for row in pool),
        }
        for metric in metrics:
            scores = results.scores[teacher, prompts].get(metric)
            values = [] if scores is None else list(scores.values())
            row[f"mean_{metric}"] = mean(values)
            row[f"unscored_{metric}"] = None if scores is None else values.count(None)
        rows.append(row)
    return pd.DataFrame(rows, columns=columns)
