"""Preference leakage: how far judges favour the students that learnt from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.profiling.compare_answers import Contest
from heirloom.statistics.estimates import Estimate, estimate, mean
from heirloom.statistics.preference_leakage import preference_leakage
from heirloom.study.contests import Rivals, rivals

#: Wins of the first student by the first judge and of the second by the second, then crosswise.
_OWN, _CROSS = ("first by first", "second by second"), ("first by second", "second by first")
_FIELDS = (*_OWN, *_CROSS)


@dataclass(frozen=True)
class Leakage:
    """A row of the table: two students, each with its teacher as a judge."""

    student: str
    other: str
    judge: str
    other_judge: str
    n: int
    n_missing: int
    wins_by_judge: float | None
    wins_by_other_judge: float | None
    losses_by_judge: float | None
    losses_by_other_judge: float | None
    leakage: float | None
    leakage_low: float | None
    leakage_high: float | None
    balanced_leakage: float | None
    balanced_leakage_low: float | None
    balanced_leakage_high: float | None


@table(
    "preference_leakage",
    title="Preference leakage",
    order=94,
    applies=lambda plan: bool(rivals(plan)),
    text=text_of(Leakage),
    headings={
        "other": "Other student",
        "judge": "Judge, teacher of the student",
        "other_judge": "Other judge, teacher of the other",
        "n_missing": "Missing",
        "wins_by_judge": "Student wins by the judge, %",
        "wins_by_other_judge": "Student wins by the other judge, %",
        "losses_by_judge": "Other student wins by the judge, %",
        "losses_by_other_judge": "Other student wins by the other judge, %",
        "leakage": "Leakage, %",
        "balanced_leakage": "Leakage by both orders together, %",
    },
)
def leakage(results: Results) -> pd.DataFrame:
    """One row per two students that differ only in their teacher, whose judges are their teachers.

    `leakage`, in percent, is the preference leakage score of Li et al. 2025 (arXiv 2502.01534): the
    win rate that a judge gives the student of its own completions in excess of the average of both
    judges, relative to that average, and the mean of this over the two. A positive score means that
    judges favour their own students. Wins are those of the table of win rates, in both orders of
    the answers, so that the rates of both students and the ties add up to 100 %; for
    `balanced_leakage` pairs are decided by the mean log-odds of both orders, so that there are next
    to no ties.

    The 95 % bootstrap intervals are over the `n` prompts that both judges decided, or called a
    draw, for every seed; seeds are averaged within a prompt, and their variance is not in the
    interval. There is no score where a student wins with neither judge.
    """
    return frame(list(_rows(results)), Leakage)


def _rows(results: Results) -> Iterator[Leakage]:
    for pair in rivals(results.plan):
        examples = _wins(results, pair, "verdict")
        score = _score(examples, results.plan.seed)
        balanced = _score(_wins(results, pair, "preference"), results.plan.seed)
        rates = {field: mean(example[field] for example in examples) for field in _FIELDS}
        yield Leakage(
            student=pair.students[0],
            other=pair.students[1],
            judge=pair.judges[0],
            other_judge=pair.judges[1],
            n=score.n,
            n_missing=score.n_missing,
            wins_by_judge=_percent(rates[_OWN[0]]),
            wins_by_other_judge=_percent(rates[_CROSS[0]]),
            losses_by_judge=_percent(rates[_CROSS[1]]),
            losses_by_other_judge=_percent(rates[_OWN[1]]),
            leakage=score.value,
            leakage_low=score.low,
            leakage_high=score.high,
            balanced_leakage=balanced.value,
            balanced_leakage_low=balanced.low,
            balanced_leakage_high=balanced.high,
        )


def _wins(results: Results, pair: Rivals, field: str) -> list[Mapping[str, float | None]]:
    """Wins per prompt, the mean over seeds; all None where a judge decided nothing.

    Args:
        results: The study's results.
        pair: The students and their judges.
        field: "verdict" or "preference" of the judges' records.
    """
    seeds: list[Mapping[str, Mapping[str, float]]] = []
    shown: set[str] = set()
    for contest in (Contest(*models) for models in zip(*pair.models, strict=True)):
        one, other = (
            {row["id"]: row[field] for row in results.compared_answers[judge][contest]}
            for judge in pair.judges
        )
        shown |= one.keys() | other.keys()
        decided = [key for key in one.keys() & other.keys() if one[key] and other[key]]
        seeds.append({key: _points(one[key], other[key]) for key in decided})
    nothing = dict.fromkeys(_FIELDS)
    return [
        {name: mean(own[key][name] for own in seeds) for name in _FIELDS}
        if all(key in own for own in seeds)
        else nothing
        for key in sorted(shown)
    ]


def _points(by_first: str, by_second: str) -> Mapping[str, float]:
    """Wins in the outcomes of a prompt by the first and by the second judge."""
    wins = (by_first == "win", by_second == "loss", by_second == "win", by_first == "loss")
    return dict(zip(_FIELDS, map(float, wins), strict=True))


def _score(examples: Sequence[Mapping[str, float | None]], seed: int) -> Estimate:
    return estimate(examples, preference_leakage(_OWN, _CROSS), _FIELDS, seed=seed)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
