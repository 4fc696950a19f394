"""Differences of students from base and control where no answer is truncated."""

from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.comparisons import Compared, compare_models
from heirloom.analyse.completeness import hangs_on_the_limit
from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.analyse.tables.changes import effect_columns, truncated_columns
from heirloom.profiling import BENCHMARKS
from heirloom.study.plan import Plan


@dataclass(frozen=True)
class CompletePairs:
    """A row of the table: one student on one metric that depends on where a text ends."""

    student: str
    benchmark: str
    metric: str
    unit: str
    relative: str
    truncated_base: float | None
    truncated_student: float | None
    truncated_control: float | None
    n: int
    n_missing: int
    base_value: float | None
    student_value: float | None
    change_vs_base: float | None
    change_vs_base_low: float | None
    change_vs_base_high: float | None
    n_vs_control: int
    n_missing_vs_control: int
    control_value: float | None
    student_value_vs_control: float | None
    change_vs_control: float | None
    change_vs_control_low: float | None
    change_vs_control_high: float | None
    difference_vs_base: float | None
    difference_vs_base_low: float | None
    difference_vs_base_high: float | None
    difference_vs_control: float | None
    difference_vs_control_low: float | None
    difference_vs_control_high: float | None


def _applies(plan: Plan) -> bool:
    """Tell if a study has students whose answers may be truncated."""
    known = [BENCHMARKS.get(name) for name in plan.benchmarks if name in BENCHMARKS]
    return bool(plan.students) and any(benchmark.truncated for benchmark in known)


@table(
    "complete_pairs",
    title="Complete pairs",
    order=11,
    applies=_applies,
    text=text_of(CompletePairs),
    headings={
        "n": "Complete pairs, base",
        "n_vs_control": "Complete pairs, control",
        "n_missing": "Other prompts, base",
        "n_missing_vs_control": "Other prompts, control",
        "change_vs_*": "Change against {}",
        "difference_vs_*": "Difference from {}",
        "student_value_vs_control": "Student value, against control",
        "truncated_*": "Truncated, %: {}",
    },
)
def complete_pairs(results: Results) -> pd.DataFrame:
    """One row per student and metric that depends on where a text ends: lengths, MTLD, scores.

    The shares of truncated answers, in percent, and the student's changes as in `changes`, but over
    the `n` prompts to which no answer is truncated, neither the student's nor that of the model it
    is compared with (of several seeds or samples, none). `n_missing` counts the other prompts.
    Those left are prompts with short answers, so that a change among them is no estimate of the
    change over all prompts: it shows that there is one which the limit on tokens did not make.
    """
    plan = results.plan
    pairs = {
        (benchmark, metric)
        for benchmark, metrics in plan.measures.items()
        for metric in metrics
        if hangs_on_the_limit(plan, benchmark, metric)
    }
    compared = compare_models(results, pairs, complete=True) if pairs else []
    return frame([_row(results, one) for one in compared], CompletePairs)


def _row(results: Results, compared: Compared) -> CompletePairs:
    base, control = compared.against["base"].gap, compared.against["control"].gap
    columns = effect_columns(compared) | truncated_columns(results, compared)
    own = CompletePairs.__dataclass_fields__
    return CompletePairs(
        student=compared.student,
        benchmark=compared.benchmark,
        metric=compared.metric,
        unit=compared.unit,
        relative="yes" if compared.relative else "no",
        n=base.n,
        n_missing=base.n_missing,
        base_value=base.reference,
        student_value=base.treated,
        n_vs_control=control.n,
        n_missing_vs_control=control.n_missing,
        control_value=control.reference,
        student_value_vs_control=control.treated,
        **{column: value for column, value in columns.items() if column in own},
    )
