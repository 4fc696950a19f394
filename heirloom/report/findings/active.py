"""Findings about active inheritance: students that were steered by an objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from heirloom.analyse.effects import Effect, Reference, effect
from heirloom.analyse.frames import rows_of
from heirloom.profiling.labels import full_label
from heirloom.report.findings.controls import weak_control
from heirloom.report.findings.noise import floor_sentences
from heirloom.report.findings.same_scorer import by_others
from heirloom.report.findings.significance import (
    LEVEL,
    significant,
    steered_rows,
    steering_tests,
    tests_against_base,
)
from heirloom.report.findings.truncation import rows_by_metric, truncation
from heirloom.report.names import source_text, student_label
from heirloom.report.wording import (
    count,
    effect_text,
    interval,
    listed,
    number,
    p_value,
    signed,
)
from heirloom.select.settings import Objective
from heirloom.study.plan import Plan

Verdict = Literal["clear", "open", "against", ""]
"""Moved as intended, not shown to move, moved the other way, or "" without a control."""
VERDICTS: dict[Verdict, str] = {
    "clear": "moved as intended",
    "open": "no clear effect",
    "against": "moved the other way",
    "": "no control",
}
"""Verdicts in words."""


@dataclass(frozen=True)
class Finding:
    """One student's result in words.

    Attributes:
        id: The student's id without its seed.
        student: Its name for a reader.
        verdict: Verdict of the comparison with the control.
        line: The effects against base and control.
        sentences: The result in full.
    """

    id: str
    student: str
    verdict: Verdict
    line: str
    sentences: list[str]


def headline(plan: Plan, changes: pd.DataFrame) -> str:
    """Return sentences about all steered students, against their bases and random controls."""
    rows = [row for row in rows_of(steered_rows(plan, changes)) if row.control]
    if not rows:
        return "No student of this study was steered by an objective and has a random control."
    of_students = f" of {count(len(rows), 'steered student')}"
    tests = count(steering_tests(changes), "test")
    return (
        f"Against the base, the steered metric moved as intended in "
        f"{_counted(plan, rows, 'base', of_students)}. Against the random control, it moved as "
        f"intended in {_counted(plan, rows, 'control', f' of {len(rows)}')}. A metric counts as "
        f"moved if p < {LEVEL} after Holm's correction: for {tests} of steered metrics against "
        "controls, and for the main metrics of each benchmark against bases."
    )


def _counted(plan: Plan, rows: Sequence[Any], against: Reference, of_all: str) -> str:
    """Return the number of students that moved as intended, and what the others did."""
    verdicts = [verdict_of(plan, row, against) for row in rows]
    parts = [f"{verdicts.count('clear')}{of_all}"]
    undecided = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict == "open"]
    if undecided:
        alone = sum(effect(row, against).verdict != 0 for row in undecided)
        parts.append(f"in {len(undecided)} no change is shown")
        if alone:
            parts[-1] += f" (for {alone} of these, the uncorrected interval excludes zero)"
    if "against" in verdicts:
        parts.append(f"in {verdicts.count('against')} it moved the other way")
    return "; ".join(parts)


def active_findings(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[Finding]]:
    """Return, per objective, one finding for each student that was steered by it.

    Args:
        plan: The study's plan.
        tables: Tables by name: `changes`, `profiles` and `training_sets`, and `complete_pairs` and
            `noise_floor` where there is one.
    """
    floors = floor_sentences(tables.get("noise_floor"))
    sets = tables["training_sets"].set_index("dataset")
    complete = rows_by_metric(tables.get("complete_pairs"))
    findings: dict[str, list[Finding]] = {name: [] for name in plan.objectives}
    for row in rows_of(steered_rows(plan, tables["changes"])):
        objective = plan.objectives[row.objective]
        pair = complete.get((row.student, row.benchmark, row.metric))
        sentences = [_moved(row), *truncation(row, pair), *_zero("base", effect(row, "base"))]
        verdict: Verdict = ""
        if row.control:
            verdict = verdict_of(plan, row, "control")
            sentences += _zero("random control", effect(row, "control"))
            sentences += _corrected(row, tables["changes"])
            sentences += weak_control(plan, tables, row)
            sentences += [floors[row.student]] if row.student in floors else []
            if verdict == "against":
                sentences.append("This is the direction opposite to the objective.")
        sentences += by_others(plan, tables["changes"], row)
        sentences += _training_set(sets.loc[row.dataset], objective, verdict)
        name = f"{student_label(row.student, plan)}, {source_text(row.student, plan)}"
        findings[row.objective].append(Finding(row.student, name, verdict, _line(row), sentences))
    return findings


def _line(row: Any) -> str:
    line = f"{effect_text(effect(row, 'base'))} against the base"
    if row.control:
        line += f", {effect_text(effect(row, 'control'))} against the random control"
    return line


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


def verdict_of(plan: Plan, row: Any, against: Reference) -> Verdict:
    """Return the verdict on a steered student, after correction for the number of tests.

    Args:
        plan: The study's plan.
        row: Its row in the table of changes.
        against: The reference.
    """
    maximised = plan.objectives[row.objective].direction_of_leading == "maximise"
    return _verdict(significant(row, against), 1 if maximised else -1)


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


def _corrected(row: Any, changes: pd.DataFrame) -> list[str]:
    """Return the p values after correction, base first, and what that takes away."""
    tests = {"base": tests_against_base(changes, row), "control": steering_tests(changes)}
    names: dict[Reference, str] = {"base": "base", "control": "random control"}
    parts, open_again = [], []
    for against, name in names.items():
        p = getattr(row, f"p_holm_vs_{against}")
        if pd.isna(p):
            continue
        parts.append(f"{p_value(p)} against the {name} ({count(tests[against], 'test')})")
        if effect(row, against).verdict and p >= LEVEL:
            open_again.append(name)
    if not parts:
        return []
    text = f"After Holm's correction, {listed(parts)}"
    if open_again:
        text += (
            ": with so many tests, the interval against the "
            f"{' and that against the '.join(open_again)} may exclude zero by chance"
        )
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
