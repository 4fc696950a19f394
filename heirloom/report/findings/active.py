"""Findings about active inheritance: students that were steered by an objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from heirloom.analyse.effects import Effect, effect
from heirloom.analyse.frames import rows_of
from heirloom.profiling.labels import full_label
from heirloom.report.findings.noise import floor_sentences
from heirloom.report.findings.significance import (
    LEVEL,
    significant,
    steered_rows,
    steering_tests,
)
from heirloom.report.names import source_text, student_label
from heirloom.report.wording import count, effect_text, interval, number, p_value, signed
from heirloom.select.settings import Objective
from heirloom.study.plan import Plan

Verdict = Literal["clear", "open", "against", ""]
"""Moved as intended, not shown to move, moved the other way, or "" without a control."""


@dataclass(frozen=True)
class Finding:
    """One student's result in words.

    Attributes:
        id: The student's id without its seed.
        student: Its name for a reader.
        verdict: Verdict of the comparison with the control.
        sentences: The result.
    """

    id: str
    student: str
    verdict: Verdict
    sentences: list[str]


def headline(plan: Plan, changes: pd.DataFrame) -> str:
    """Return one sentence about all students that were steered, against their random controls."""
    rows = [row for row in rows_of(steered_rows(plan, changes)) if row.control]
    verdicts = [_verdict(significant(row, "control"), _wanted(plan, row.objective)) for row in rows]
    if not verdicts:
        return "No student of this study was steered by an objective and has a random control."
    clear, against = verdicts.count("clear"), verdicts.count("against")
    undecided = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict == "open"]
    alone = sum(effect(row, "control").verdict != 0 for row in undecided)
    text = (
        f"Against its random control, the steered metric moved as intended in {clear} of "
        f"{count(len(verdicts), 'steered student')}, with p < 0.05 after Holm's correction for "
        f"{count(steering_tests(changes), 'test')}"
    )
    rest = []
    if undecided:
        rest.append(f"in {len(undecided)} no change is shown")
        if alone:
            rest[0] += f", though in {alone} of them the uncorrected 95 % interval excludes zero"
    if against:
        rest.append(f"in {against} it moved the other way")
    return "; ".join([text, *rest]) + "."


def active_findings(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Finding]]:
    """Return, per objective, one finding for each student that was steered by it.

    Args:
        plan: The study's plan.
        tables: Tables by name: `changes`, `training_sets`, and `noise_floor` where there is one.
    """
    floors = floor_sentences(tables.get("noise_floor"))
    sets = tables["training_sets"].set_index("dataset")
    findings: dict[str, list[Finding]] = {name: [] for name in plan.objectives}
    tests = steering_tests(tables["changes"])
    for row in rows_of(steered_rows(plan, tables["changes"])):
        objective = plan.objectives[row.objective]
        sentences = [_moved(row), *_zero("base", effect(row, "base"))]
        verdict: Verdict = ""
        if row.control:
            verdict = _verdict(significant(row, "control"), _wanted(plan, row.objective))
            control = effect(row, "control")
            sentences += _zero("random control", control)
            sentences += _corrected(row, control, tests)
            sentences += [floors[row.student]] if row.student in floors else []
            if verdict == "against":
                sentences.append("This is the direction opposite to the objective.")
        sentences += _training_set(sets.loc[row.dataset], objective, verdict)
        name = f"{student_label(row.student, plan)}, {source_text(row.student, plan)}"
        findings[row.objective].append(Finding(row.student, name, verdict, sentences))
    return findings


def _moved(row: Any) -> str:
    """Return the sentence about a student's change against its base and its control."""
    text = (
        f"{full_label(row.benchmark, row.metric)} changed by {effect_text(effect(row, 'base'))} "
        "against the base"
    )
    counts = f"n = {row.n}"
    if row.control:
        text += f" and by {effect_text(effect(row, 'control'))} against the random control"
        if row.n_vs_control != row.n:
            counts += f", against the control {row.n_vs_control}"
    if row.n_seeds > 1:
        counts += f"; means over {row.n_seeds} seeds"
    return f"{text} ({counts})."


def _wanted(plan: Plan, objective: str) -> int:
    return 1 if plan.objectives[objective].direction_of_leading == "maximise" else -1


def _verdict(moved: int, wanted: int) -> Verdict:
    if not moved:
        return "open"
    return "clear" if moved == wanted else "against"


def _zero(against: str, found: Effect) -> list[str]:
    """Return a sentence where an interval is missing or includes zero."""
    if pd.isna(found.low):
        return [f"There is no interval against the {against}."]
    if not found.verdict:
        return [
            f"The interval against the {against} includes zero: this study does not show a change "
            "there."
        ]
    return []


def _corrected(row: Any, found: Effect, tests: int) -> list[str]:
    """Return the p value against the control after correction, and what it takes away."""
    p = row.p_holm_vs_control
    if pd.isna(p):
        return []
    text = f"Corrected for {count(tests, 'test')} of steered metrics (Holm), {p_value(p)}"
    if found.verdict and p >= LEVEL:
        text += ": with so many tests, an interval that excludes zero may be due to chance"
    return [f"{text}."]


def _training_set(row: pd.Series, objective: Objective, verdict: Verdict) -> list[str]:
    """Return what selection did to the training set, and what that means next to the verdict."""
    if pd.isna(row["difference"]):
        return []
    metric = objective.leading
    selected = Effect(
        row["difference"], row["difference_low"], row["difference_high"], False, metric
    )
    text = (
        f"The mean {metric} score of its training set is {number(row[f'mean_{metric}'])}, "
        f"a difference of {signed(selected.value)}"
        f"{interval(selected.low, selected.high, signed)} from the control's "
        f"({count(int(row['difference_n']), 'prompt')})."
    )
    wanted = 1 if objective.direction_of_leading == "maximise" else -1
    if _verdict(selected.verdict, wanted) != "clear":
        return [text, "Selection did not measurably change the training set."]
    if verdict == "open":
        return [text, "The training set changed as intended; no change is shown in the student."]
    if verdict == "against":
        return [text, "The training set changed as intended; the student did not follow."]
    return [text]
