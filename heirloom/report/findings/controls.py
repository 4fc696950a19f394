"""Findings about random controls that are far from their base themselves."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from heirloom.analyse.effects import effect
from heirloom.analyse.frames import rows_of
from heirloom.analyse.tables.efficiency import is_same_number
from heirloom.profiling.labels import full_label
from heirloom.report.findings.significance import steered_rows
from heirloom.report.names import student_label
from heirloom.report.wording import effect_text, listed, number, short_unit
from heirloom.study.plan import Plan

#: Change of a control against its base, in percent, above which it is called weak.
WEAK = 25.0

HEADING = "Weak controls."

Tables = Mapping[str, pd.DataFrame]


def weak_control(plan: Plan, tables: Tables, row: Any) -> list[str]:
    """Return sentences on a control that is far from its base on the metric that is steered.

    Args:
        plan: The study's plan.
        tables: Tables by name: `changes`, `profiles` and `training_sets`.
        row: The row of a steered student in the table of changes.

    Returns:
        The control's own change and what explains it, and what this means for the student's change
        against the control; [] if there is no control or it is near its base.
    """
    control = _weak(plan, tables, row)
    if control is None:
        return []
    return [f"Weak control: {_described(plan, tables, row, control)}.", *_meaning(row, control)]


def weak_controls(plan: Plan, tables: Tables) -> list[tuple[str, str]]:
    """Return all weak controls of a study, as a limit."""
    found: dict[tuple[str, str, str], str] = {}
    for row in rows_of(steered_rows(plan, tables["changes"])):
        control = _weak(plan, tables, row)
        if control is not None:
            key = (row.control, row.benchmark, row.metric)
            found.setdefault(key, _described(plan, tables, row, control))
    if not found:
        return []
    text = (
        f"A change against a control that is itself more than {WEAK:.0f} % from its base is partly "
        f"the control's own: {'; '.join(found.values())}."
    )
    return [(HEADING, text)]


def _weak(plan: Plan, tables: Tables, row: Any) -> Any | None:
    """The row of a student's control, if it is weak."""
    changes = tables["changes"]
    own = changes[
        (changes["student"] == row.control)
        & (changes["benchmark"] == row.benchmark)
        & (changes["metric"] == row.metric)
    ]
    for control in rows_of(own):
        if control.relative == "yes" and abs(control.change_vs_base) > WEAK:
            return control
    return None


def _described(plan: Plan, tables: Tables, row: Any, control: Any) -> str:
    """The control's change against its base, and what explains it."""
    unit = "" if "score" in control.unit else f" {short_unit(control.unit)}"
    return (
        f"{full_label(row.benchmark, row.metric)} of {student_label(control.student, plan)} "
        f"changed by {effect_text(effect(control, 'base'))} against its base "
        f"({number(control.student_value)} instead of {number(control.base_value)}{unit}), "
        f"{_reasons(plan, tables, row, control)}"
    )


def _reasons(plan: Plan, tables: Tables, row: Any, control: Any) -> str:
    """Return the parts of a control's training that explain its distance from its base."""
    data = plan.datasets[control.dataset]

    def explains(value: float) -> bool:
        change: float = 100 * (value / control.base_value - 1)
        return abs(change) > WEAK and bool(change * control.change_vs_base > 0)

    profiles = tables["profiles"]
    teachers = [
        f"its teacher {found.model} has {number(found.value)} itself"
        for found in rows_of(
            profiles[
                profiles["model"].isin(data.teachers)
                & (profiles["benchmark"] == row.benchmark)
                & (profiles["metric"] == row.metric)
            ]
        )
        if explains(found.value)
    ]
    objective = plan.objectives[row.objective]
    trained = []
    if is_same_number(plan, objective):
        sets = tables["training_sets"]
        means = sets.loc[sets["dataset"] == data.id, f"mean_{objective.leading}"].tolist()
        trained = [
            f"its training completions have {number(mean)} on average"
            for mean in means
            if explains(mean)
        ]
    if not teachers + trained:
        return "which neither its teachers nor its training completions explain"
    return f"because {listed([*teachers, *trained])}"


def _meaning(row: Any, control: Any) -> list[str]:
    """The control's part in the student's change against it."""
    gap = row.student_value_vs_control - row.control_value
    own = control.base_value - control.student_value
    if not gap:
        return []
    share = own / gap
    if share > 0.5:
        return ["The change against the control is mostly the control's."]
    if share > 0:
        return [f"Of the change against the control, {100 * share:.0f} % is the control's."]
    return [
        "The control moved in the direction of the student, so that the change against it is "
        "smaller than the change against the base."
    ]
