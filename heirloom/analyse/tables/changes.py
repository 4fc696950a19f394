"""Differences of every student from its base and its control."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import Compared, compare_models, correct, permuted
from heirloom.analyse.completeness import hangs_on_the_limit, truncated_share
from heirloom.analyse.effects import REFERENCES
from heirloom.analyse.frames import frame, text_of, unique
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.statistics.comparisons import simultaneous


@dataclass(frozen=True)
class Change:
    """A row of the table: one student on one metric. `changes` says what its columns mean."""

    student: str
    dataset: str
    selection: str
    source: str
    objective: str
    n_seeds: int
    benchmark: str
    metric: str
    unit: str
    relative: str
    n: int
    n_missing: int
    base_value: float | None
    student_value: float | None
    control: str
    n_vs_control: int
    n_missing_vs_control: int
    control_value: float | None
    student_value_vs_control: float | None
    truncated_base: float | None
    truncated_student: float | None
    truncated_control: float | None
    change_vs_base: float | None
    change_vs_base_low: float | None
    change_vs_base_high: float | None
    change_vs_control: float | None
    change_vs_control_low: float | None
    change_vs_control_high: float | None
    difference_vs_base: float | None
    difference_vs_base_low: float | None
    difference_vs_base_high: float | None
    difference_vs_control: float | None
    difference_vs_control_low: float | None
    difference_vs_control_high: float | None
    seed_sd: float | None
    family_vs_base: str
    p_vs_base: float | None
    p_holm_vs_base: float | None
    family_vs_control: str
    p_vs_control: float | None
    p_holm_vs_control: float | None
    p_permutation_vs_control: float | None
    change_vs_base_low_adjusted: float | None
    change_vs_base_high_adjusted: float | None
    change_vs_control_low_adjusted: float | None
    change_vs_control_high_adjusted: float | None
    difference_vs_base_low_adjusted: float | None
    difference_vs_base_high_adjusted: float | None
    difference_vs_control_low_adjusted: float | None
    difference_vs_control_high_adjusted: float | None


@table("changes", title="Changes", order=10, text=text_of(Change))
def changes(results: Results) -> pd.DataFrame:
    """One row per student and metric: its differences from its base and from its control.

    A student is a base and a training set, `base.dataset`: its `n_seeds` models are pooled. Each is
    compared with the control of its own seed, and with the base. `source` says whose candidates its
    training set was chosen from: its base's ("own"), another teacher's ("other") or those of a
    "pool" of several; it is empty for passive sets.

    Values, changes and differences are over the examples that all models compared have a value for,
    so a change can be recomputed from its row. Those are not the same examples for base and
    control, where a metric is missing for some: `n`, `n_missing` and `student_value` belong to the
    comparison with the base, those ending in `_vs_control` to the other. Metrics that are not to be
    compared have no row; where `relative` is "no", the metric is not on a ratio scale and the
    changes are null.

    `truncated_base`, `truncated_student` and `truncated_control` are the shares of their answers
    that reached the limit on tokens, in percent, for metrics that depend on where a text ends;
    elsewhere they are null.

    `seed_sd` is the standard deviation over seeds of the difference to the control, or to the base
    where there is no control. `p` is the p value of the difference, `p_holm` the same after Holm's
    correction within its family: all students' main metrics of one benchmark, against one
    reference, or "steering", every steered student's own objective against its control ("ablation"
    for students of fewer candidates). Other metrics have no family. `p_permutation` of steered
    metrics is that of a paired permutation test; no finding depends on it. `_adjusted` ends hold
    for all intervals of a family together.

    Raises:
        HeirloomError: A profile reports a metric that its records do not carry, or that its
            benchmark does not define.
    """
    compared = correct(results.plan, compare_models(results))
    return frame([_row(results, one) for one in compared], Change)


def _row(results: Results, compared: Compared) -> Change:
    plan = results.plan
    model = plan.models[plan.students_by_seed[compared.student][0]]
    data = plan.datasets[model.trained_on]
    base, control = compared.against["base"].gap, compared.against["control"].gap
    return Change(
        student=compared.student,
        dataset=data.id,
        selection=data.selection,
        source=plan.source(compared.student),
        objective=data.objective or "",
        n_seeds=base.n_seeds,
        benchmark=compared.benchmark,
        metric=compared.metric,
        unit=compared.unit,
        relative="yes" if compared.relative else "no",
        n=base.n,
        n_missing=base.n_missing,
        base_value=base.reference,
        student_value=base.treated,
        control=plan.without_seed(model.control) if model.control else "",
        n_vs_control=control.n,
        n_missing_vs_control=control.n_missing,
        control_value=control.reference,
        student_value_vs_control=control.treated,
        p_permutation_vs_control=permuted(results, compared),
        seed_sd=(control if model.control else base).seed_sd,
        **truncated_columns(results, compared),
        **effect_columns(compared),
    )


def truncated_columns(results: Results, compared: Compared) -> dict[str, Any]:
    """Columns of truncated shares; null where the metric does not depend on where a text ends."""
    if not hangs_on_the_limit(results.plan, *compared.pair):
        return dict.fromkeys(("truncated_base", "truncated_student", "truncated_control"))
    models = [results.plan.models[m] for m in results.plan.students_by_seed[compared.student]]
    compared_models = {
        "truncated_base": unique(model.base for model in models),
        "truncated_student": [model.id for model in models],
        "truncated_control": unique(model.control for model in models),
    }
    return {
        column: truncated_share(results, [name for name in names if name], compared.benchmark)
        for column, names in compared_models.items()
    }


def effect_columns(compared: Compared) -> dict[str, Any]:
    """Columns of changes, differences, p values and adjusted ends, against both references."""
    cells: dict[str, Any] = {}
    for reference in REFERENCES:
        versus = compared.against[reference]
        cells[f"family_vs_{reference}"] = versus.family
        cells[f"p_vs_{reference}"] = versus.gap.p
        cells[f"p_holm_vs_{reference}"] = versus.p_holm
        for kind, found in (("change", versus.percent), ("difference", versus.gap)):
            name = f"{kind}_vs_{reference}"
            low, high = simultaneous(found, versus.tests) if versus.tests else (None, None)
            cells |= {
                name: found.value,
                f"{name}_low": found.low,
                f"{name}_high": found.high,
                f"{name}_low_adjusted": low,
                f"{name}_high_adjusted": high,
            }
    return cells
