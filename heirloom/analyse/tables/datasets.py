"""Training sets and the candidates that they were chosen from."""

from collections import Counter
from typing import Any

import pandas as pd

from heirloom.analyse.results import Results, chosen_scores, metrics_of
from heirloom.analyse.tables.frames import frame, mean, unique
from heirloom.statistics.comparisons import Comparison, difference
from heirloom.study.plan import Plan


def training_sets(study: Results) -> pd.DataFrame:
    """One row per data set: its size, where its examples come from, and what selection did to it.

    `share_<teacher>` is the share of its examples in percent; `mean_<metric>` the mean score of its
    completions (null where none was scored). A best set is compared with the training set of its
    control by its own metric (the first, of several): `difference` is in that metric's unit, with a
    paired 95 % interval over the `difference_n` prompts both have.

    `n_missing` prompts had no candidate to choose. Where an objective has bounds or keeps the best
    prompts only, `n_ineligible` of them had none within the bounds, and `n_dropped` prompts were
    not kept.
    """
    plan = study.plan
    teachers = unique(teacher for data in plan.datasets.values() for teacher in data.teachers)
    metrics = _metrics(plan)
    limited = any(o["where"] or o["keep"] for o in plan.objectives.values())
    rows = []
    for name, data in plan.datasets.items():
        card = study.cards[name]
        row = {
            "dataset": name,
            "selection": data.selection,
            "pool": data.pool,
            "prompts": data.prompts,
            "objective": data.objective or "",
            "n": card["n"],
            "n_missing": card["n_missing"],
            **({key: card[key] for key in ("n_ineligible", "n_dropped")} if limited else {}),
            "n_tied": card["n_tied"],
            "n_truncated": card["n_truncated"],
        }
        for teacher in teachers:
            count = card["teacher_counts"].get(teacher, 0)
            row[f"share_{teacher}"] = 100 * count / card["n"] if card["n"] else None
        for metric in metrics:
            row[f"mean_{metric}"] = mean(chosen_scores(study, name, metric).values())
        compared = _against_control(study, name)
        row |= {
            "control": data.control or "",
            "difference": compared.value,
            "difference_low": compared.low,
            "difference_high": compared.high,
            "difference_n": compared.n,
        }
        rows.append(row)
    return frame([list(row.values()) for row in rows], list(rows[0]) if rows else ["dataset"])


def _metrics(plan: Plan) -> list[str]:
    return unique(metric for o in plan.objectives.values() for metric in metrics_of(o))


def _against_control(study: Results, dataset: str) -> Comparison:
    data = study.plan.datasets[dataset]
    if data.selection != "best" or not data.control:
        return Comparison(None, None, None, 0, 0)
    metric = study.plan.objectives[data.objective]["metric"]
    return difference(
        chosen_scores(study, dataset, metric),
        chosen_scores(study, data.control, metric),
        seed=study.plan.seed,
    )


def candidates(study: Results) -> pd.DataFrame:
    """One row per teacher and prompt set: how many candidates, how they ended, what they score.

    `truncated` is the share of candidates cut by the token cap, in percent; `tokens` the mean
    number of tokens; `mean_<metric>` is over the candidates that have a score and
    `unscored_<metric>` counts the others.
    """
    metrics = _metrics(study.plan)
    rows: list[list[Any]] = []
    for (teacher, prompts), pool in study.candidates.items():
        n = len(pool)
        per_prompt = Counter(row["prompt_id"] for row in pool)
        cut = sum(row["finish_reason"] == "length" for row in pool)
        row = [
            teacher,
            prompts,
            len(per_prompt),
            max(per_prompt.values(), default=0),
            n,
            sum(not row["completion"].strip() for row in pool),
            100 * cut / n if n else None,
            mean(row["n_tokens"] for row in pool),
        ]
        for metric in metrics:
            scores = study.scores[teacher, prompts].get(metric)
            values = [] if scores is None else list(scores.values())
            row += [mean(values), None if scores is None else values.count(None)]
        rows.append(row)
    columns = ["teacher", "prompts", "n_prompts", "k", "n", "empty", "truncated", "tokens"]
    columns += [f"{prefix}_{metric}" for metric in metrics for prefix in ("mean", "unscored")]
    return frame(rows, columns)
