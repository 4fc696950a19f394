"""Words on objectives that are measured by the scorer that selected."""

from typing import Any

import pandas as pd

from heirloom.analyse.effects import effect
from heirloom.analyse.frames import rows_of
from heirloom.analyse.same_scorer import by_other_scorers, selected_by
from heirloom.profiling.labels import full_label
from heirloom.report.composition import trained_sets
from heirloom.report.wording import effect_text, listed
from heirloom.study.plan import Plan


def same_scorer_limit(plan: Plan) -> list[tuple[str, str]]:
    """Return the limit that selection and measurement share a scorer, where they do."""
    trained = {data.objective for data in trained_sets(plan).values()}
    shared, others = [], []
    for name, objective in plan.objectives.items():
        benchmark, metric = objective.measured_by.split(".", 1)
        if name not in trained or not selected_by(plan, name, benchmark, metric):
            continue
        shared.append(f"{name} ({full_label(benchmark, metric)})")
        found = [full_label(benchmark, other) for other in by_other_scorers(plan, name)]
        if found:
            others.append(f"For {name}, scorers that selected nothing give: {listed(found)}.")
    if not shared:
        return []
    text = (
        "The scorer that selected the training sets also measures the students, for "
        f"{listed(shared)}: a change shows that students follow the scorer, which may be more or "
        "less than the property that it stands for."
    )
    return [("Selection and measurement share a scorer.", " ".join([text, *others]))]


def by_others(plan: Plan, changes: pd.DataFrame, row: Any) -> list[str]:
    """Return, for a steered student, the same number by scorers that did not select.

    Args:
        plan: The study's plan.
        changes: The table of changes.
        row: The student's row of it for what measures its objective.
    """
    others = by_other_scorers(plan, row.objective)
    own = changes[(changes["student"] == row.student) & (changes["benchmark"] == row.benchmark)]
    sentences = []
    for found in rows_of(own[own["metric"].isin(others)]):
        text = f"{full_label(found.benchmark, found.metric)}, a scorer that did not select, changed"
        text += f" by {effect_text(effect(found, 'base'))} against the base"
        if found.control:
            text += f" and by {effect_text(effect(found, 'control'))} against the random control"
        sentences.append(f"{text}.")
    return sentences
