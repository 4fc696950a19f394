"""How often judges agree: models with each other, with humans, and humans with each other."""

from itertools import combinations
from typing import Any

import pandas as pd

from heirloom.analyse.results import Results
from heirloom.analyse.tables.frames import frame
from heirloom.profiling.data.preferences import majority
from heirloom.statistics.agreement import Verdicts, compare_judges

#: What the majority of the annotators is called as a judge. With a space: no model has such a name.
HUMAN = "human majority"

AGREEMENT = [
    "judge",
    "other",
    "n",
    "n_ties",
    "n_missing",
    *(
        f"{measure}{ties}{end}"
        for ties in ("", "_with_ties")
        for measure in ("agreement", "kappa")
        for end in ("", "_low", "_high")
    ),
]


def agreement(study: Results) -> pd.DataFrame:
    """One row per two judges of the same pairs: every two models, models and humans, annotators.

    `agreement`, in percent, is the share of pairs for which both pick the same answer, of the `n`
    for which both pick one; `kappa` is Cohen's over the same pairs. `n_ties` pairs are left out
    because one of them gave a tie, `n_missing` because one gave no verdict; the columns that end in
    `_with_ties` count the former in, a tie being a verdict of its own. Intervals are 95 %
    bootstrap intervals over pairs.

    A model is compared with the majority of a pair's annotators. "human 1" is the first label of
    every pair: one person where the data keep people apart (PandaLM), otherwise not.
    """
    judges: dict[str, Verdicts] = {
        model: {r["id"]: r["preference"] for r in study.records[model]["judge"]}
        for model in study.plan.models
    }
    labels = {r["id"]: r["labels"] for m in judges for r in study.records[m]["judge"]}
    judges[HUMAN] = {key: majority(given) for key, given in labels.items() if given}
    annotators: dict[str, Verdicts] = {
        f"human {number + 1}": {
            key: given[number] for key, given in labels.items() if len(given) > number
        }
        for number in range(max(map(len, labels.values()), default=0))
    }
    rows: list[list[Any]] = []
    for group in (judges, annotators):
        for one, other in combinations(group, 2):
            found = compare_judges(group[one], group[other], seed=study.plan.seed)
            if found.n_ties + found.n_missing + found.share.n == 0:
                continue  # no pair that both were shown
            rows.append(
                [
                    *(one, other, found.share.n, found.n_ties, found.n_missing),
                    *_percent(found.share.value, found.share.low, found.share.high),
                    *(found.kappa.value, found.kappa.low, found.kappa.high),
                    *_percent(
                        found.share_with_ties.value,
                        found.share_with_ties.low,
                        found.share_with_ties.high,
                    ),
                    *(
                        found.kappa_with_ties.value,
                        found.kappa_with_ties.low,
                        found.kappa_with_ties.high,
                    ),
                ]
            )
    return frame(rows, AGREEMENT)


def _percent(*shares: float | None) -> list[float | None]:
    return [None if share is None else 100 * share for share in shares]
