"""Figure 5: few candidates against many."""

from typing import Any

import pandas as pd

from heirloom.analyse.frames import unique
from heirloom.report.composition import trained_sets
from heirloom.report.figures import figure
from heirloom.report.figures.rows import by_base, measuring, row_of, rows_with
from heirloom.report.figures.upright import Bar, Group, Panel, Texts, upright
from heirloom.report.names import objective_label
from heirloom.study.plan import Plan

_TEXTS = Texts(
    "Change of the steered metric with the number of candidates",
    "filled: best candidate   hatched: random control;  95 % intervals",
    below="candidates per prompt and teacher (k)",
)


def _applies(plan: Plan) -> bool:
    return any(data.k for data in trained_sets(plan).values())


@figure("figure5", title="Figure 5", order=50, applies=_applies)
def figure5(changes: pd.DataFrame, plan: Plan) -> str:
    """Draw how the number of candidates matters, the paper's figure 5.

    One panel per objective and base: change of the metric it is measured by against the base, for
    students of the best of the first candidates of every teacher, more and more of them. The
    student of a candidate at random stands in front of those that it is the control of: of all, but
    for an objective whose sets have prompts of their own.
    """
    fewer = [data for data in plan.datasets.values() if data.k and data.objective]
    panels = []
    for name in unique(data.objective for data in fewer):
        pools = {data.pool for data in fewer if data.objective == name}
        measured = measuring(changes, plan, name)
        rows = rows_with(measured, objective=name)
        bases = by_base([row for row in rows if plan.datasets[row.dataset].pool in pools], plan)
        for base, own in bases.items():
            heading = objective_label(name, plan) + (f"\n{base}" if len(bases) > 1 else "")
            panels.append(Panel(heading, _groups(own, measured, plan)))
    return upright("figure5", panels, _TEXTS)


def _groups(rows: list[Any], measured: pd.DataFrame, plan: Plan) -> list[Group]:
    """Return the bars of one base by number of candidates, each control before its students."""

    def k_of(row: Any) -> int:
        return plan.datasets[row.dataset].k or plan.k

    groups: list[Group] = []
    shown: set[str] = set()
    for row in sorted(rows, key=k_of):
        if row.control not in shown:
            shown.add(row.control)
            for control in rows_with(measured, student=row.control):
                bar = row_of(control, "base", "random", "control")
                groups.append(Group("random", [Bar(bar)]))
        best = row_of(row, "base", f"best of k = {k_of(row)}", "pool")
        groups.append(Group(f"{k_of(row)}", [Bar(best)]))
    return groups
