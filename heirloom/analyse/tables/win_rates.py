"""Win rates of students against their controls and bases, as the study's judges see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from heirloom.analyse.comparisons import is_second_draw, trained_on
from heirloom.analyse.effects import REFERENCES, Reference
from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.profiling.compare_answers import Contest
from heirloom.statistics.comparisons import Comparison, compare, holm
from heirloom.statistics.estimates import mean
from heirloom.statistics.resampling import mean_of
from heirloom.study.plan import Plan
from heirloom.support.files import Record

#: Verdict to what it counts, in percent.
_SCORES = {"win": 100.0, "tie": 50.0, "loss": 0.0, None: None}


@dataclass(frozen=True)
class WinRate:
    """A row of the table: a student against its control or base, as one judge sees them."""

    judge: str
    student: str
    against: str
    relation: str
    n: int
    n_missing: int
    wins: float | None
    ties: float | None
    losses: float | None
    equal: float | None
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    p: float | None
    p_holm: float | None
    orders_agree: float | None
    balanced_win_rate: float | None
    balanced_win_rate_low: float | None
    balanced_win_rate_high: float | None


@table(
    "win_rates",
    title="Win rates",
    order=92,
    applies=lambda plan: bool(plan.study.judges),
    text=text_of(WinRate),
    headings={
        "relation": "Judge is the student's",
        "n_missing": "Missing",
        "wins": "Wins, %",
        "ties": "Ties, %",
        "losses": "Losses, %",
        "equal": "Equal answers, %",
        "win_rate": "Win rate, %",
        "p_holm": "p (Holm)",
        "orders_agree": "Both orders agree, %",
        "balanced_win_rate": "Win rate by both orders together, %",
    },
)
def win_rates(results: Results) -> pd.DataFrame:
    """One row per judge, student and reference: how often the judge prefers the student's answer.

    A student wins a prompt where the judge picks its answer, and not the reference's, in both
    orders of the two; where the orders disagree, or both answers are the same text (`equal`), it
    is a tie. `win_rate`, in percent, is wins + ties / 2 over the `n` prompts with a verdict: 50 is
    no difference. Interval and p value are those of its difference from 50, over prompts, and
    widened by the seeds; `p_holm` corrects for all students that this judge compared with the same
    reference. `n_missing` prompts have no verdict: a model gave no answer, or the answers exceed
    the judge's context.

    `orders_agree` is the percentage of verdicts on different answers in which both orders agree: of
    a judge that picks by position alone, 0. `balanced_win_rate` decides every pair by the mean
    log-odds of both orders, so that only an exact balance is a tie.
    """
    plan = results.plan
    rows: list[WinRate] = []
    for judge in plan.study.judges:
        for against in REFERENCES:
            found = list(_rows(results, judge, against))
            tested = [index for index, row in enumerate(found) if row.p is not None]
            corrected = holm([found[index].p or 0.0 for index in tested])
            for index, p_holm in zip(tested, corrected, strict=True):
                found[index] = replace(found[index], p_holm=p_holm)
            rows += found
    return frame(rows, WinRate)


def _rows(results: Results, judge: str, against: Reference) -> Iterator[WinRate]:
    plan = results.plan
    for student, models in plan.students_by_seed.items():
        others = [getattr(plan.models[model], against) for model in models]
        if None in others or is_second_draw(plan, student):
            continue
        verdicts = [
            results.compared_answers[judge][Contest(model, other)]
            for model, other in zip(models, others, strict=True)
        ]
        yield _row(verdicts, judge, student, against, plan)


def _row(
    verdicts: Sequence[Sequence[Record]], judge: str, student: str, against: str, plan: Plan
) -> WinRate:
    """The row of a student; `verdicts` of each of its seeds."""
    rate, balanced = (
        _against_even(verdicts, field, plan.seed) for field in ("verdict", "preference")
    )
    missing = {record["id"] for own in verdicts for record in own if record["verdict"] is None}
    records = [record for own in verdicts for record in own if record["id"] not in missing]
    agree = mean(record["consistent"] for record in records)
    shares = {
        name: mean(100.0 * (record["verdict"] == name) for record in records) for name in _SCORES
    }
    return WinRate(
        judge=judge,
        student=student,
        against=against,
        relation=relation(plan, judge, student),
        n=rate.n,
        n_missing=rate.n_missing,
        wins=shares["win"],
        ties=shares["tie"],
        losses=shares["loss"],
        equal=mean(100.0 * record["equal"] for record in records),
        win_rate=rate.treated,
        win_rate_low=_from_even(rate.low),
        win_rate_high=_from_even(rate.high),
        p=rate.p,
        p_holm=None,
        orders_agree=None if agree is None else 100 * agree,
        balanced_win_rate=balanced.treated,
        balanced_win_rate_low=_from_even(balanced.low),
        balanced_win_rate_high=_from_even(balanced.high),
    )


def _against_even(verdicts: Sequence[Sequence[Record]], field: str, seed: int) -> Comparison:
    """Win rate of each seed's verdicts, compared with an even one."""
    seeds: list[Mapping[str, Record]] = [
        {record["id"]: {"score": _SCORES[record[field]]} for record in own} for own in verdicts
    ]
    even: Mapping[str, Record] = {key: {"score": 50.0} for own in seeds for key in own}
    return compare(seeds, [even], mean_of("score"), ["score"], seed=seed)[0]


def _from_even(end: float | None) -> float | None:
    """End of an interval of the difference from 50, as one of the win rate."""
    return None if end is None else 50 + end


def relation(plan: Plan, judge: str, student: str) -> str:
    """Return the roles that a judge has for a student without its seed: "base and teacher"."""
    base = plan.models[plan.students_by_seed[student][0]].base
    roles = [("base", judge == base), ("teacher", judge in trained_on(plan, student).teachers)]
    return " and ".join(role for role, has in roles if has)
