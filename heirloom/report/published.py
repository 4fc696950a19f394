"""Published numbers for a reader: next to this study's changes, and as a table of their own."""

from typing import Any

import pandas as pd

from heirloom.analyse.effects import Reference
from heirloom.analyse.frames import rows_of
from heirloom.profiling.labels import full_label
from heirloom.report.cells import MISSING, Cell, View, effect_cell, number_cell
from heirloom.report.names import student_label
from heirloom.report.wording import DASH, number, percent
from heirloom.select.strategies import STRATEGIES
from heirloom.study.plan import Plan

_BOUNDS = {"up-to": "up to ", "over": "over "}


def published_cell(published: pd.DataFrame | None, row: Any, against: Reference) -> Cell:
    """Return the published changes that a row of the table of changes can be compared with.

    Args:
        published: The table `published_numbers`; None if the study has no references.
        row: The row.
        against: Reference of the changes.
    """
    texts, values = [], []
    for found in [] if published is None else rows_of(published):
        ours = (found.student, found.benchmark, found.metric, found.against)
        about = ours == (row.student, row.benchmark, row.metric, against)
        if about and pd.notna(found.published_change):
            texts.append(f"{_change(found)} ({found.label})")
            values.append(float(found.published_change))
    return Cell("; ".join(texts), values[0]) if texts else MISSING


def compared_against(published: pd.DataFrame | None) -> set[str]:
    """Return the references, "base" and "control", of published changes with a student of ours."""
    if published is None:
        return set()
    held = published[(published["student"] != "") & published["published_change"].notna()]
    return set(held["against"])


def published_view(plan: Plan, published: pd.DataFrame, changes: pd.DataFrame) -> View:
    """Return the published numbers, each next to this study's.

    Args:
        plan: The study's plan.
        published: The table `published_numbers`.
        changes: The table `changes`.
    """
    headings = [
        ("Metric", False),
        ("Compared", False),
        ("Published", True),
        ("This study", True),
        ("n", True),
        ("Student of this study", False),
        ("Published by", False),
        ("Source", False),
    ]
    own = {(row.student, row.benchmark, row.metric): row for row in rows_of(changes)}
    rows = []
    for found in rows_of(published):
        change = own.get((found.student, found.benchmark, found.metric))
        compared = f"{STRATEGIES.get(found.kind).label}, against {found.against}"
        rows.append(
            [
                Cell(full_label(found.benchmark, found.metric)),
                Cell(compared + (f", objective {found.objective}" if found.objective else "")),
                Cell(_with_levels(found), _sorted_by(found)),
                MISSING if change is None else effect_cell(change, found.against),
                number_cell(found.n),
                Cell(student_label(found.student, plan) if found.student else DASH),
                Cell(found.label),
                Cell(" ".join([found.source, found.url]).strip()),
            ]
        )
    return View(headings, rows)


def _change(found: Any) -> str:
    text = percent(found.published_change)
    # A change that was published is not given more digits than it has.
    as_published = text.replace(".0 %", " %") if found.unit == "percent" else text
    return _BOUNDS.get(found.bound, "") + as_published


def _with_levels(found: Any) -> str:
    """Return the published change and the levels that it was computed from, or the level alone."""
    if found.unit == "percent":
        return _change(found)
    levels = number(found.number)
    if pd.notna(found.compared_with):
        levels += f" against {number(found.compared_with)}"
    if pd.isna(found.published_change):
        return f"{_BOUNDS.get(found.bound, '')}{levels} (level)"
    return f"{_change(found)} ({levels})"


def _sorted_by(found: Any) -> float | None:
    return None if pd.isna(found.published_change) else float(found.published_change)
