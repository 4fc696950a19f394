"""Figure 1, active inheritance: every objective's metric against the base."""

import pandas as pd

from heirloom.analyse.frames import rows_of
from heirloom.report.composition import trained_sets
from heirloom.report.figures import drawing, figure
from heirloom.report.figures.rows import Row, in_one_unit, is_relative, measuring, row_of
from heirloom.report.names import objective_label, source_label, student_label
from heirloom.study.plan import Plan


def _applies(plan: Plan) -> bool:
    return any(data.objective for data in trained_sets(plan).values())


@figure("figure1", title="Figure 1", order=10, applies=_applies)
def figure1(changes: pd.DataFrame, plan: Plan) -> str:
    """Draw what active inheritance changes: the paper's figure 1.

    One panel per objective, change of the metric it is measured by against the base, for the
    students trained on selected sets and for their random controls, with 95 % intervals.
    """
    panels = [
        (objective_label(name, plan), in_one_unit(_bars(changes, plan, name)))
        for name in plan.objectives
    ] or [("No students", [])]
    canvas, grid = drawing.grid(drawing.bar_heights(panels), 1, width=drawing.NARROW)
    for line, (heading, rows) in enumerate(panels):
        axis = canvas.add_subplot(grid[line, 0])
        drawing.bar_panel(axis, heading, rows, drawing.reach(rows))
        axis.set_xlabel(drawing.against_base(is_relative(rows)), fontsize=9, color=drawing.INK)
    return drawing.svg(
        canvas,
        "figure1",
        "Change of each objective's metric against the base model",
        drawing.described(panels),
    )


def _bars(changes: pd.DataFrame, plan: Plan, objective: str) -> list[Row]:
    """Return the students of an objective, each above its control and that drawn again."""
    measured = measuring(changes, plan, objective)
    bars: list[Row] = []
    shown: set[str] = set()
    for row in rows_of(measured[measured["objective"] == objective]):
        if plan.datasets[row.dataset].k:
            continue  # fewer candidates: figure 5
        source = source_label(row.student, plan)
        text = student_label(row.student, plan, dataset=f"best, {source}")
        bars.append(row_of(row, "base", text, row.source))
        control = measured[measured["student"] == row.control]
        if len(control) and row.control not in shown:
            shown.add(row.control)
            text = student_label(row.control, plan, dataset=f"random, {source}")
            bars.append(row_of(next(rows_of(control)), "base", text, "control"))
            again = measured[measured["student"] == plan.redraws.get(row.control, "")]
            text = student_label(row.control, plan, dataset=f"random again, {source}")
            bars += [row_of(one, "base", text, "control") for one in rows_of(again)]
    return bars
