"""Findings about answers that a limit on tokens truncated."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.effects import Reference, effect
from heirloom.analyse.frames import rows_of
from heirloom.profiling.labels import benchmark_label
from heirloom.report.names import student_label
from heirloom.report.wording import count, effect_text, listed
from heirloom.study.plan import Plan

#: Share of truncated answers, in percent, above which a length is said to be that of the limit.
MOST_TRUNCATED = 10.0

HEADING = "Truncated answers."


def short(row: Any) -> str:
    """Return truncated shares for use after a change: " (truncated: 100 %, base 58 %)".

    Args:
        row: A row of the table of changes.

    Returns:
        "" where the metric does not depend on where an answer ends.
    """
    shares = _shares(row)
    if not shares:
        return ""
    parts = [f"{'' if whose == 'student' else whose + ' '}{_share(s)}" for whose, s in shares]
    return f" (truncated: {', '.join(parts)})"


def truncation(row: Any, complete: Any | None) -> list[str]:
    """Return sentences on the truncated answers behind a change.

    Args:
        row: A row of the table of changes.
        complete: The same row of the table of complete pairs, if it is there.
    """
    shares = _shares(row)
    if not shares:
        return []
    if not any(share for _, share in shares):
        return ["No answer was truncated."]
    parts = [f"{_share(share)} of the {whose}'s" for whose, share in shares]
    found = [f"Truncated answers: {listed(parts)}."]
    if all(share <= MOST_TRUNCATED for _, share in shares):
        return found
    found.append(
        f"Above {MOST_TRUNCATED:.0f} %, the length of answers, and all that depends on it, is that "
        "of the token limit rather than of the model."
    )
    return found if complete is None else found + _on_complete_pairs(row, complete)


def _on_complete_pairs(row: Any, complete: Any) -> list[str]:
    """Return the sentence on changes over the prompts to which no answer is truncated."""
    references: list[tuple[Reference, str, int]] = [("base", "base", complete.n)]
    if row.control:
        references.append(("control", "random control", complete.n_vs_control))
    parts = [
        f"{effect_text(effect(complete, reference))} against the {name} (n = {n})"
        if n
        else f"none with the {name}"
        for reference, name, n in references
    ]
    return [f"Complete pairs (prompts without a truncated answer): {listed(parts)}."]


def rows_by_metric(table: pd.DataFrame | None) -> dict[tuple[str, str, str], Any]:
    """Student, benchmark and metric to the row of the table of complete pairs; {} without it."""
    if table is None:
        return {}
    return {(row.student, row.benchmark, row.metric): row for row in rows_of(table)}


def truncation_limit(plan: Plan, changes: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the models of which too many answers are truncated, as a limit of the study."""
    texts = []
    for benchmark in plan.benchmarks:
        rows = [row for row in rows_of(changes[changes["benchmark"] == benchmark]) if _shares(row)]
        named = _too_often(plan, rows)
        if named:
            limit = getattr(plan.study.benchmarks[benchmark], "max_new_tokens", None)
            of_tokens = f" of {limit} tokens" if limit else ""
            texts.append(
                f"{benchmark_label(benchmark)}: more than {MOST_TRUNCATED:.0f} % of the answers "
                f"reach the limit{of_tokens} in {listed(named)}. Their length, and whatever "
                "depends on it, is that of the limit rather than of the model: read such changes "
                "in the table of complete pairs. A higher limit, or prompts with shorter answers, "
                "avoids the problem."
            )
    return [(HEADING, " ".join(texts))] if texts else []


def _too_often(plan: Plan, rows: Sequence[Any]) -> list[str]:
    """Bases and the number of students with too many truncated answers; controls are students."""
    students: dict[str, float] = {}
    bases: dict[str, float] = {}
    for row in rows:
        shares = dict(_shares(row))
        students[row.student] = shares.get("student", 0.0)
        base = plan.models[plan.students_by_seed[row.student][0]].artefact
        bases[base] = shares.get("base", 0.0)
    named = [f"{name} ({_share(s)})" for name, s in bases.items() if s > MOST_TRUNCATED]
    many = {name: share for name, share in students.items() if share > MOST_TRUNCATED}
    if many:
        worst = max(many, key=lambda name: many[name])
        named.append(
            f"{len(many)} of {count(len(students), 'student')} (at most {_share(many[worst])}, "
            f"{student_label(worst, plan)})"
        )
    return named


def _shares(row: Any) -> list[tuple[str, float]]:
    """Whose answers are truncated, and their share in percent; [] if it does not matter."""
    shares = {
        "student": row.truncated_student,
        "base": row.truncated_base,
        "control": row.truncated_control,
    }
    return [(whose, share) for whose, share in shares.items() if pd.notna(share)]


def _share(share: float) -> str:
    return f"{share:.0f} %"
