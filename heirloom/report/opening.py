"""The first screen of the report: one sentence, and at most eight rows of effects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from heirloom.analyse.effects import REFERENCES, Effect, Reference, difference, effect
from heirloom.analyse.frames import rows_of
from heirloom.report.findings.active import VERDICTS, Verdict, verdict_of
from heirloom.report.findings.significance import LEVEL, steered_rows
from heirloom.report.names import objective_label, source_label, student_label
from heirloom.report.wording import (
    DASH,
    count,
    effect_value,
    interval,
    p_value,
    points,
    short_unit,
    signed,
)
from heirloom.study.plan import Plan

#: Rows that fit on the first screen.
MOST_ROWS = 8


@dataclass(frozen=True)
class Shown:
    """An effect for a reader: "+20.0 %" and "[+16.7, +25.0]", or the spread of several."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class EffectRow:
    """A row of the first table: a steered student, or several that share objective and source.

    Attributes:
        objective: The metric and its direction.
        source: Whose candidates were selected from.
        style: "own", "other" or "pool": its colour in the figures.
        base: Effect against the base.
        control: Effect against the random control.
        verdict: Verdict of the comparison with the control; "" for several students.
        words: The verdict in words.
    """

    objective: str
    source: str
    style: str
    base: Shown
    control: Shown
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Opening:
    """Text of the first screen.

    Attributes:
        sentence: The main result.
        rows: Rows of the table, at most `MOST_ROWS`.
        note: Sentence on rows that are left out or stand for several students; "" if none is.
    """

    sentence: str
    rows: list[EffectRow]
    note: str


def opening(plan: Plan, changes: pd.DataFrame) -> Opening:
    """Return the first screen of the report.

    Args:
        plan: The study's plan.
        changes: The table `changes`.
    """
    rows = list(rows_of(steered_rows(plan, changes)))
    keys: list[Callable[[Any], str]] = [
        lambda row: row.student,
        lambda row: source_label(row.student, plan),
        lambda row: row.source,
    ]
    for key in keys:
        groups: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            groups.setdefault((row.objective, key(row)), []).append(row)
        if len(groups) <= MOST_ROWS:
            break
    shown = list(groups.values())[:MOST_ROWS]
    found = [_row(plan, group) for group in shown]
    return Opening(_sentence(plan, rows), found, _note(len(rows), shown, len(groups)))


def _sentence(plan: Plan, rows: Sequence[Any]) -> str:
    controlled = [row for row in rows if row.control]
    if not controlled:
        n = len(plan.students)
        trained = count(n, "student") if n else count(len(plan.models), "model")
        return f"{trained} profiled; none was steered by an objective and has a random control."
    moved = {
        against: sum(verdict_of(plan, row, against) == "clear" for row in controlled)
        for against in REFERENCES
    }
    return (
        f"Against the random control, the steered metric moved as intended in {moved['control']} "
        f"of {count(len(controlled), 'student')}; against the base, in {moved['base']} "
        f"(p < {LEVEL} after Holm's correction)."
    )


def _row(plan: Plan, group: Sequence[Any]) -> EffectRow:
    first = group[0]
    verdict: Verdict = ""
    if len(group) == 1:
        verdict = verdict_of(plan, first, "control") if first.control else ""
        words = VERDICTS[verdict]
        if pd.notna(first.p_holm_vs_control):
            words += f", {p_value(first.p_holm_vs_control)}"
    else:
        verdicts = [verdict_of(plan, row, "control") for row in group if row.control]
        words = f"{verdicts.count('clear')} of {len(verdicts)} {VERDICTS['clear']}"
        if "against" in verdicts:
            words += f", {verdicts.count('against')} {VERDICTS['against']}"
    return EffectRow(
        objective_label(first.objective, plan),
        _source(plan, group),
        first.source,
        _shown(group, "base"),
        _shown([row for row in group if row.control], "control"),
        verdict,
        words,
    )


def _source(plan: Plan, group: Sequence[Any]) -> str:
    """Return the source of a row; in a study of several bases, with the base of the student."""
    if len(group) > 1:
        return f"{group[0].source}, {count(len(group), 'student')}"
    student = group[0].student
    return student_label(student, plan, dataset=source_label(student, plan))


def _shown(group: Sequence[Any], against: Reference) -> Shown:
    if not group:
        return Shown(DASH)
    found = [effect(row, against) for row in group]
    if not all(one.relative for one in found):
        found = [difference(row, against) for row in group]
    known = [one for one in found if pd.notna(one.value)]
    if not known:
        return Shown("undefined")
    if len(found) == 1:
        return _single(found[0])
    values = [one.value for one in known]
    low, high = (effect_value(known[0], end) for end in (min(values), max(values)))
    return Shown(f"median {effect_value(known[0], median(values))}", f"{low} to {high}")


def _single(found: Effect) -> Shown:
    ends = interval(found.low, found.high, points if found.relative else signed).strip()
    unit = "" if found.relative else f" {short_unit(found.unit)}"
    return Shown(effect_value(found, found.value), (ends or "no interval") + unit)


def _note(n_students: int, shown: Sequence[Sequence[Any]], n_groups: int) -> str:
    parts = []
    if any(len(group) > 1 for group in shown):
        parts.append(
            f"{count(n_students, 'steered student')}: a row is the median over its students, with "
            "the smallest and the largest effect."
        )
    if n_groups > len(shown):
        parts.append(f"{len(shown)} of {n_groups} rows are shown.")
    if parts:
        parts.append("Every student is in the table of steered metrics.")
    return " ".join(parts)
