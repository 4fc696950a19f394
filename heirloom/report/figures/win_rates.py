"""Win rates of students against their controls and bases, as judges see them."""

from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import trained_on
from heirloom.analyse.frames import rows_of, unique
from heirloom.report.figures import drawing, figure
from heirloom.report.names import student_label
from heirloom.report.wording import interval, number
from heirloom.study.plan import Plan

_COLUMNS = 2
#: No difference, in percent of the prompts.
_EVEN = 50


def _applies(plan: Plan) -> bool:
    return bool(plan.study.judges) and bool(plan.students)


@figure("win_rates", title="Win rates", order=80, tables=("win_rates",), applies=_applies)
def draw_win_rates(rates: pd.DataFrame, plan: Plan) -> str:
    """Draw how often judges prefer a student's answer to its control's and to its base's.

    One panel per judge, one row per student: wins and half of the ties in percent of the prompts,
    with 95 % intervals. 50 is no difference.
    """
    judges, students = unique(rates["judge"]), unique(rates["student"])
    lines = max(1, -(-len(judges) // _COLUMNS))
    canvas, grid = drawing.grid([0.95 + 0.3 * len(students)] * lines, _COLUMNS, foot=0.35)
    sentences = []
    for index, judge in enumerate(judges):
        axis = canvas.add_subplot(grid[index // _COLUMNS, index % _COLUMNS])
        names = [student_label(student, plan) for student in students]
        _style(axis, judge, names if index % _COLUMNS == 0 else [""] * len(names))
        for row in rows_of(rates[rates["judge"] == judge]):
            if pd.notna(row.win_rate):
                sentences.append(_draw(axis, students.index(row.student), row, plan))
    drawing.foot(
        canvas, "● against the random control   ○ against the base   dashed: no difference"
    )
    return drawing.svg(
        canvas,
        "win_rates",
        "Win rates of students against their random controls and bases, by judge",
        " ".join(sentences) or "No judge has compared any answers.",
    )


def _style(axis: Any, judge: str, names: list[str]) -> None:
    look = {"loc": "left", "fontsize": 9.5, "fontweight": "bold", "color": drawing.INK}
    axis.set_title(f"Judge: {judge}", **look)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlim(-3, 103)
    axis.set_yticks(range(len(names)), names)
    axis.axvline(_EVEN, color=drawing.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axis.grid(axis="x", color=drawing.GREY, alpha=0.3, linewidth=0.6)
    axis.tick_params(axis="y", length=0, labelsize=9, colors=drawing.INK)
    axis.tick_params(axis="x", labelsize=8.5, colors=drawing.INK, color=drawing.GREY)
    axis.set_xlabel("win rate, % of prompts", fontsize=8.5, color=drawing.INK)
    drawing.style_frame(axis, "bottom")


def _draw(axis: Any, position: int, row: Any, plan: Plan) -> str:
    """Draw one win rate; return it in words."""
    controlled = row.against == "control"
    ends = interval(row.win_rate_low, row.win_rate_high, number)
    text = (
        f"{student_label(row.student, plan)} {number(row.win_rate)} %{ends} against the "
        f"{'random control' if controlled else 'base'}, judged by {row.judge}"
    )
    colour = drawing.colour_of(
        plan.source(row.student) if trained_on(plan, row.student).objective else ""
    )
    y, gid = position + (-0.16 if controlled else 0.16), drawing.hover(text)
    if pd.notna(row.win_rate_low):
        axis.plot(
            [row.win_rate_low, row.win_rate_high], [y, y], color=colour, linewidth=1.8, gid=gid
        )
    axis.plot(
        [row.win_rate],
        [y],
        gid=gid,
        marker="o",
        markersize=5,
        markerfacecolor=colour if controlled else "none",
        markeredgecolor=colour,
        markeredgewidth=1.3,
    )
    return f"{text}."
