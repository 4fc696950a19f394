"""Figure 4: candidates of one teacher against those of several."""

from typing import Any

import pandas as pd

from heirloom.report.composition import trained_sets
from heirloom.report.figures import figure
from heirloom.report.figures.rows import by_base, measuring, row_of, rows_with
from heirloom.report.figures.upright import Bar, Group, Panel, Texts, upright
from heirloom.report.names import objective_label
from heirloom.study.plan import Plan

_TEXTS = Texts(
    "Students of one teacher's best candidates and of several teachers'",
    "single, multi: best candidate of the base's own, or of several teachers;  95 % intervals",
)


def _applies(plan: Plan) -> bool:
    selected = [data for data in trained_sets(plan).values() if data.objective]
    return len({data.source for data in selected}) == 2


@figure("figure4", title="Figure 4", order=40, applies=_applies)
def figure4(changes: pd.DataFrame, plan: Plan) -> str:
    """Draw single-source against multi-source, the paper's figure 4.

    One panel per objective, change of the metric it is measured by against the base, for every base
    that was trained on the best of its own candidates and on the best of a pool.
    """
    panels = []
    for name in plan.objectives:
        rows = rows_with(measuring(changes, plan, name), objective=name)
        bases = by_base([row for row in rows if plan.datasets[row.dataset].k is None], plan)
        groups = [
            Group(base if len(bases) > 1 else "", [_bar(row, base, plan) for row in _ordered(own)])
            for base, own in bases.items()
        ]
        if groups:
            panels.append(Panel(objective_label(name, plan), groups))
    return upright("figure4", panels, _TEXTS)


def _ordered(rows: list[Any]) -> list[Any]:
    """Return the rows with single-source students in front."""
    return sorted(rows, key=lambda row: row.source != "single")


def _bar(row: Any, base: str, plan: Plan) -> Bar:
    pool = plan.datasets[row.dataset].pool
    short = pool if row.source == "multi" and pool != "multi" else row.source
    text = f"{base} {row.source}-source{'' if short == row.source else f' {pool}'}"
    return Bar(row_of(row, "base", text, row.source), short)
