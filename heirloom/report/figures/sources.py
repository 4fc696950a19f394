"""Figure 4: candidates of the base, of another teacher and of several."""

from typing import Any

import pandas as pd

from heirloom.report.composition import trained_sets
from heirloom.report.figures import figure
from heirloom.report.figures.rows import by_base, measuring, row_of, rows_with
from heirloom.report.figures.upright import Bar, Group, Panel, Texts, upright
from heirloom.report.names import objective_label, source_label
from heirloom.study.plan import Plan

_TEXTS = Texts(
    "Students of the best of their base's candidates, of another teacher's and of several",
    "best candidate of the base's own, of the teacher named, or of a pool;  95 % intervals",
)
#: Order of the bars of a base.
_ORDER = ("own", "other", "pool")


def _applies(plan: Plan) -> bool:
    selected = [name for name, data in trained_sets(plan).items() if data.objective]
    return len({plan.source(name) for name in selected}) > 1


@figure("figure4", title="Figure 4", order=40, applies=_applies)
def figure4(changes: pd.DataFrame, plan: Plan) -> str:
    """Draw single-source against multi-source, the paper's figure 4.

    One panel per objective, change of the metric it is measured by against the base, for every base
    that was trained on the best of its own candidates, of another teacher's or of a pool.
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
    """Return the rows with the base's own candidates in front, then other teachers', then pools."""
    return sorted(rows, key=lambda row: _ORDER.index(row.source))


def _bar(row: Any, base: str, plan: Plan) -> Bar:
    text = f"{base} {source_label(row.student, plan)}"
    below = source_label(row.student, plan, short=True)
    return Bar(row_of(row, "base", text, row.source), below)
