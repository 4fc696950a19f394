"""Verdicts on single rows of the table of changes, after correction for the number of tests."""

from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import STEERING, of_fewer_candidates, steers
from heirloom.analyse.effects import Reference
from heirloom.analyse.frames import rows_of
from heirloom.study.plan import Plan

#: Chance of a false finding in a family of tests.
LEVEL = 0.05


def significant(row: Any, against: Reference) -> int:
    """Return 1 or -1 where a row of the table of changes is above or below zero.

    0 where its p value after Holm's correction is 0.05 or more, or where it has none.
    """
    p = getattr(row, f"p_holm_vs_{against}")
    if pd.isna(p) or p >= LEVEL:
        return 0
    return 1 if getattr(row, f"difference_vs_{against}") > 0 else -1


def steering_tests(changes: pd.DataFrame) -> int:
    """Number of tests in the family of steered metrics."""
    return int((changes["family_vs_control"] == STEERING).sum())


def tests_against_base(changes: pd.DataFrame, row: Any) -> int:
    """Number of tests against bases in the family of a row of the table of changes."""
    return int((changes["family_vs_base"] == row.family_vs_base).sum())


def steered_rows(plan: Plan, changes: pd.DataFrame) -> pd.DataFrame:
    """Rows in which a student's own objective is measured, in the plan's order.

    Without the students of fewer candidates: they show the effect of k, and have a figure for it.
    """
    own = [
        steers(plan, row.student, row.benchmark, row.metric)
        and not of_fewer_candidates(plan, row.student)
        for row in rows_of(changes)
    ]
    return changes[own]
