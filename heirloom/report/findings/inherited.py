"""Findings about whom students inherit from: coefficients, and agreement as judges."""

from collections.abc import Mapping

import pandas as pd

from heirloom.analyse.frames import rows_of
from heirloom.analyse.tables.agreement_gain import OTHER, TEACHER
from heirloom.analyse.tables.inherited import AWAY, LEVEL, NEITHER, TOWARDS
from heirloom.profiling.labels import full_label
from heirloom.report.names import student_label
from heirloom.report.wording import count, interval, number, signed
from heirloom.study.plan import Plan

_CLEAREST = 4
_HOLM = "p < 0.05 after Holm's correction"


def inherited_findings(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return sentences on the metrics and on the judgements that students have from teachers.

    Args:
        plan: The study's plan.
        tables: Tables by name: `inherited` and `agreement_gain`, if there are any.
    """
    found = []
    if "inherited" in tables:
        found += _positions(plan, tables["inherited"])
    if "agreement_gain" in tables:
        found.append(_agreement(tables["agreement_gain"]))
    return found


def _positions(plan: Plan, table: pd.DataFrame) -> list[str]:
    """Return a sentence on all coefficients, and one each on the clearest."""
    tests = {
        (_base(plan, row.student), row.teacher, row.benchmark, row.metric): row.teacher_p_holm
        for row in rows_of(table)
    }
    apart = sum(p < LEVEL for p in tests.values())
    text = (
        f"Teachers and bases differ clearly in {apart} of {count(len(tests), 'comparison')} of "
        f"main metrics ({_HOLM})"
    )
    clear = table[table["coefficient"].notna()]
    if clear.empty:
        return [f"{text}: nothing can be said there about whom students inherit from."]
    words = clear["moved"].value_counts()
    towards, away, neither = (int(words.get(word, 0)) for word in (TOWARDS, AWAY, NEITHER))
    text += (
        ". Inheritance coefficients there (0: at the base, 1: at the teacher): "
        f"{towards} towards the teacher, {away} away from it, {neither} not distinguishable from "
        f"the base ({_HOLM})."
    )
    moved = clear[clear["moved"] != NEITHER].sort_values("p_holm", kind="stable")
    return [
        text,
        *(
            f"{student_label(row.student, plan)}, from {row.teacher}: "
            f"{full_label(row.benchmark, row.metric)} {number(row.coefficient)}"
            f"{interval(row.coefficient_low, row.coefficient_high, number)}."
            for row in rows_of(moved.head(_CLEAREST))
        ),
    ]


def _base(plan: Plan, student: str) -> str:
    return plan.models[plan.students_by_seed[student][0]].artefact


def _agreement(table: pd.DataFrame) -> str:
    """Return the sentence on agreement as judges."""
    tested = table[table["gain_low"].notna()]
    taught, others = (tested[tested["relation"] == relation] for relation in (TEACHER, OTHER))
    if taught.empty:
        return "As judges, no student can be compared with a teacher that is not its base."
    more, less = _clear(taught)
    text = (
        f"As judges, students gain {signed(taught['gain'].mean())} percentage points of agreement "
        "with their teacher, compared with their base, on average over "
        f"{count(len(taught), 'pair')} of student and teacher; the gain is clear "
        f"in {more} of them and a loss in {less} ({_HOLM})"
    )
    if len(others):
        more, less = _clear(others)
        text += (
            f", with models that they learnt nothing from in {more} and {less} of {len(others)} "
            f"(mean {signed(others['gain'].mean())})"
        )
    own = int((taught["base_lead_low"] > 0).sum())
    return (
        f"{text}; in {own} of {len(taught)} the student still agrees more with its own base, whose "
        "architecture it has, than with the teacher (95 % interval above zero)."
    )


def _clear(rows: pd.DataFrame) -> tuple[int, int]:
    """Number of clear gains and of clear losses."""
    clear = rows[rows["p_holm"] < LEVEL]["gain"]
    return int((clear > 0).sum()), int((clear < 0).sum())
