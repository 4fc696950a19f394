"""Agreement of judges: of models with each other, with humans, and of humans with each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.profiling.data.preferences import majority
from heirloom.statistics.agreement import Verdicts, compare_judges

#: Name of the annotators' majority as a judge. With a space: no model has such a name.
HUMAN = "human majority"


@dataclass(frozen=True)
class Agreeing:
    """A row of the table: two judges of the same pairs."""

    judge: str
    other: str
    n: int
    n_ties: int
    n_missing: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    agreement_with_ties: float | None
    agreement_with_ties_low: float | None
    agreement_with_ties_high: float | None
    kappa_with_ties: float | None
    kappa_with_ties_low: float | None
    kappa_with_ties_high: float | None


@table(
    "agreement",
    title="Agreement",
    order=90,
    applies=lambda plan: "judge" in plan.benchmarks,
    text=text_of(Agreeing),
    headings={
        "n_missing": "Missing",
        "agreement": "Same answer, %",
        "agreement_with_ties": "Same verdict, ties counted, %",
        "kappa_with_ties": "Kappa, ties counted",
    },
)
def agreement(results: Results) -> pd.DataFrame:
    """One row per two judges of the same pairs: every two models, models and humans, annotators.

    `agreement`, in percent, is the share of pairs for which both pick the same answer, of the `n`
    for which both pick one; `kappa` is Cohen's over the same pairs. `n_ties` pairs are left out
    because one of them gave a tie, `n_missing` because one gave no verdict; the columns that end in
    `_with_ties` count the former in, a tie being a verdict of its own. Intervals are 95 %
    bootstrap intervals over pairs.

    A model is compared with the majority of a pair's annotators. "human 1" is the first label of
    every pair: one person where the data keep people apart (PandaLM), otherwise not.
    """
    judges = {model: verdicts_of(results, model) for model in results.plan.models}
    labels = {r["id"]: r["labels"] for m in judges for r in results.records[m]["judge"]}
    judges[HUMAN] = {key: majority(given) for key, given in labels.items() if given}
    annotators: dict[str, Verdicts] = {
        f"human {number + 1}": {
            key: given[number] for key, given in labels.items() if len(given) > number
        }
        for number in range(max(map(len, labels.values()), default=0))
    }
    seed = results.plan.seed
    return frame([*_rows(judges, seed), *_rows(annotators, seed)], Agreeing)


def verdicts_of(results: Results, model: str) -> Verdicts:
    """Verdicts of a model as a judge."""
    return {row["id"]: row["preference"] for row in results.records[model]["judge"]}


def _rows(verdicts: Mapping[str, Verdicts], seed: int) -> Iterator[Agreeing]:
    """Every two judges that were shown the same pairs."""
    for one, other in combinations(verdicts, 2):
        found = compare_judges(verdicts[one], verdicts[other], seed=seed)
        share, kappa = found.share, found.kappa
        share_with_ties, kappa_with_ties = found.share_with_ties, found.kappa_with_ties
        if found.n_ties + found.n_missing + share.n == 0:
            continue
        yield Agreeing(
            judge=one,
            other=other,
            n=share.n,
            n_ties=found.n_ties,
            n_missing=found.n_missing,
            agreement=_percent(share.value),
            agreement_low=_percent(share.low),
            agreement_high=_percent(share.high),
            kappa=kappa.value,
            kappa_low=kappa.low,
            kappa_high=kappa.high,
            agreement_with_ties=_percent(share_with_ties.value),
            agreement_with_ties_low=_percent(share_with_ties.low),
            agreement_with_ties_high=_percent(share_with_ties.high),
            kappa_with_ties=kappa_with_ties.value,
            kappa_with_ties_low=kappa_with_ties.low,
            kappa_with_ties_high=kappa_with_ties.high,
        )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
