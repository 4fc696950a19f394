"""Figure of inheritance coefficients: each student between its base and its teacher."""

from typing import Any

import pandas as pd

from heirloom.analyse.effects import Effect
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.tables.inherited import AWAY, TOWARDS, has_teachers
from heirloom.profiling.labels import full_label
from heirloom.report.figures import drawing, figure
from heirloom.report.figures.rows import Row, of_metric
from heirloom.report.figures.side_effects import side_effects
from heirloom.report.names import student_label
from heirloom.study.plan import Plan

_COLUMNS = 3
_NOTHING = "No teacher differs clearly from the base of its students."


@figure(
    "inherited",
    title="Inherited from the teacher",
    order=65,
    tables=("inherited",),
    applies=has_teachers,
)
def draw_inherited(positions: pd.DataFrame, plan: Plan) -> str:
    """Draw where every student is between its base, at 0, and its teacher, at 1.

    One panel per metric in which a teacher and a base differ clearly, of those that the figure of
    side effects shows; one row per student and teacher. Filled where the student moved clearly.
    """
    clear = positions[positions["coefficient"].notna()]
    panels = side_effects(clear, plan)
    shown = pd.concat([of_metric(clear, *pair) for pair in panels]) if panels else clear
    pairs = [
        pair
        for pair in unique(zip(positions["student"], positions["teacher"], strict=True))
        if pair in set(zip(shown["student"], shown["teacher"], strict=True))
    ]
    names = [f"{student_label(student, plan)}, from {teacher}" for student, teacher in pairs]
    lines = max(1, -(-len(panels) // _COLUMNS))
    canvas, grid = drawing.grid([0.95 + 0.2 * len(names)] * lines, _COLUMNS, foot=0.35)
    sentences = []
    for index, pair in enumerate(panels):
        axis = canvas.add_subplot(grid[index // _COLUMNS, index % _COLUMNS])
        _style(axis, full_label(*pair), names if index % _COLUMNS == 0 else [""] * len(names))
        for row in rows_of(of_metric(clear, *pair)):
            position = pairs.index((row.student, row.teacher))
            dot = _dot(axis, position, names[position], row, plan)
            sentences.append(f"{full_label(*pair)}, {drawing.values(dot)}.")
    drawing.foot(
        canvas,
        "0: at the base   dashed, 1: at the teacher   ● moved from the base   ○ not distinguishable"
        if panels
        else _NOTHING,
    )
    return drawing.svg(
        canvas,
        "inherited",
        "Inheritance coefficients: students between their base (0) and their teacher (1)",
        " ".join([f"{len(panels)} panels, one per metric.", *(sentences or [_NOTHING])]),
    )


def _style(axis: Any, heading: str, names: list[str]) -> None:
    drawing.dot_panel(axis, heading, len(names))
    axis.set_yticks(range(len(names)), names)
    axis.axvline(1, color=drawing.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axis.set_xlabel("coefficient", fontsize=8.5, color=drawing.INK)


def _dot(axis: Any, position: int, name: str, row: Any, plan: Plan) -> Row:
    """Draw a coefficient in the colour of its student and return it."""
    ends = row.coefficient, row.coefficient_low, row.coefficient_high
    found = Effect(*ends, False, "")
    dot = Row(name, found, found)
    colour = drawing.colour_of(plan.source(row.student) if row.objective else "")
    drawing.dot(axis, position, dot, colour, row.moved in (TOWARDS, AWAY))
    return dot
