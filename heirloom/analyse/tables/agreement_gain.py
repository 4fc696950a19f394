"""Agreement that students gained with judges, above all with their teachers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from heirloom.analyse.comparisons import is_second_draw, trained_on
from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.analyse.tables.agreement import verdicts_of
from heirloom.statistics.agreement import agreement_gain
from heirloom.statistics.comparisons import holm
from heirloom.study.plan import Plan

#: A judge whose completions the student was trained on, and one that it has nothing from.
TEACHER, OTHER = "teacher", "other"


@dataclass(frozen=True)
class Gained:
    """A row of the table: a student and an original model that is not its base."""

    student: str
    judge: str
    relation: str
    n_seeds: int
    n: int
    n_ties: int
    n_missing: int
    base_agreement: float | None
    student_agreement: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    p: float | None
    p_holm: float | None
    agreement_with_base: float | None
    base_lead: float | None
    base_lead_low: float | None
    base_lead_high: float | None


def _applies(plan: Plan) -> bool:
    return "judge" in plan.benchmarks and any(_judges(plan))


def _judges(plan: Plan) -> Iterator[tuple[str, str]]:
    """Students without their seed, each with the bases and teachers that are not its own base.

    Without those of second random draws, which would add tests and no question.
    """
    originals = [name for name, model in plan.models.items() if model.role in ("base", "teacher")]
    for student, models in plan.students_by_seed.items():
        for judge in originals:
            if judge != plan.models[models[0]].base and not is_second_draw(plan, student):
                yield student, judge


@table(
    "agreement_gain",
    title="Agreement gained",
    order=91,
    applies=_applies,
    text=text_of(Gained),
    headings={
        "judge": "With",
        "relation": "Which is its",
        "n_missing": "Missing",
        "base_agreement": "Base agrees, %",
        "student_agreement": "Student agrees, %",
        "gain": "Gain, points",
        "p_holm": "P (Holm)",
        "agreement_with_base": "Student agrees with its base, %",
        "base_lead": "Lead of the base, points",
    },
)
def gained(results: Results) -> pd.DataFrame:
    """One row per student and original model that is not its base: is it closer as a judge?

    `gain`, in percentage points, is agreement(student, judge) - agreement(base, judge) over the `n`
    pairs on which student, base and judge all pick an answer; `n_ties` are left out because one of
    them gave a tie, `n_missing` because one gave no verdict. `relation` is "teacher" where the
    student was trained on completions of this judge, otherwise "other": what it gained there, it
    did not get from that judge. `base_lead` is agreement(student, base) - agreement(student, judge)
    over the same pairs: above zero, the student still judges more like its own base, whose
    architecture and pretraining it shares.

    All seeds of a student are pooled. Intervals are 95 % paired bootstrap intervals over pairs; `p`
    is the p value of the gain, `p_holm` the same after Holm's correction for all gains of the same
    relation.
    """
    rows = [_row(results, student, judge) for student, judge in _judges(results.plan)]
    for relation in (TEACHER, OTHER):
        tested = [
            index
            for index, row in enumerate(rows)
            if row.relation == relation and row.p is not None
        ]
        corrected = holm([p for index in tested if (p := rows[index].p) is not None])
        for index, p_holm in zip(tested, corrected, strict=True):
            rows[index] = replace(rows[index], p_holm=p_holm)
    return frame(rows, Gained)


def _row(results: Results, student: str, judge: str) -> Gained:
    plan = results.plan
    models = plan.students_by_seed[student]
    found = agreement_gain(
        [verdicts_of(results, model) for model in models],
        verdicts_of(results, plan.models[models[0]].artefact),
        verdicts_of(results, judge),
        seed=plan.seed,
    )
    gain, lead = found.gain, found.base_lead
    return Gained(
        student=student,
        judge=judge,
        relation=TEACHER if judge in trained_on(plan, student).teachers else OTHER,
        n_seeds=len(models),
        n=gain.n,
        n_ties=found.n_ties,
        n_missing=found.n_missing,
        base_agreement=_percent(gain.reference),
        student_agreement=_percent(gain.treated),
        gain=_percent(gain.value),
        gain_low=_percent(gain.low),
        gain_high=_percent(gain.high),
        p=gain.p,
        p_holm=None,
        agreement_with_base=_percent(lead.treated),
        base_lead=_percent(lead.value),
        base_lead_low=_percent(lead.low),
        base_lead_high=_percent(lead.high),
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
