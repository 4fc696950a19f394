"""Figure 6, side effects of training: the main metrics of every student."""

from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import steers
from heirloom.analyse.effects import Reference
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.labels import full_label
from heirloom.report.figures import drawing, figure
from heirloom.report.figures.rows import Row, in_one_unit, is_relative, of_metric, row_of
from heirloom.report.names import student_label
from heirloom.report.wording import short_unit
from heirloom.study.plan import Plan

_COLUMNS = 3
#: Panels of a benchmark that is not registered any more.
_PANELS = 2

_Dots = list[tuple[Any, Row]]


def _applies(plan: Plan) -> bool:
    return bool(plan.students)


@figure("figure6", title="Figure 6", order=60, applies=_applies)
def figure6(changes: pd.DataFrame, plan: Plan) -> str:
    """Draw side effects: every student's main metrics against its random control.

    One panel per metric, one row per student: metrics in percent first, then the others as
    differences in their own unit. Students without a control are compared with the base instead and
    drawn hollow.
    """
    panels = {pair: _dots(of_metric(changes, *pair), plan) for pair in side_effects(changes, plan)}
    names = unique(changes["student"])
    relative = {pair: is_relative(dot for _, dot in dots) for pair, dots in panels.items()}
    lines = [
        group[start : start + _COLUMNS]
        for group in (
            [pair for pair in panels if relative[pair]],
            [pair for pair in panels if not relative[pair]],
        )
        for start in range(0, len(group), _COLUMNS)
    ]
    canvas, grid = drawing.grid([0.95 + 0.2 * len(names)] * max(1, len(lines)), _COLUMNS, foot=0.35)
    sentences = []
    for line, pairs in enumerate(lines):
        for column, pair in enumerate(pairs):
            axis = canvas.add_subplot(grid[line, column])
            drawing.dot_panel(axis, full_label(*pair), len(names))
            unit = short_unit(panels[pair][0][0].unit)
            text = "% change" if relative[pair] else f"difference, {unit}"
            axis.set_xlabel(text, fontsize=8.5, color=drawing.INK)
            students = [student_label(name, plan) for name in names]
            axis.set_yticks(range(len(names)), students if column == 0 else [])
            for row, dot in panels[pair]:
                _draw_dot(axis, names.index(row.student), row, dot, plan)
                sentences.append(
                    f"{full_label(*pair)}, {drawing.values(dot)} against the {_reference(row)}."
                )
    drawing.foot(
        canvas,
        "● against the random control   ○ against the base (no control)   "
        "shaded: the metric this student was steered for",
    )
    return drawing.svg(
        canvas,
        "figure6",
        "Side effects: change of the main metrics of every student",
        f"{len(panels)} panels with one dot and 95 % interval per student. " + " ".join(sentences),
    )


def side_effects(changes: pd.DataFrame, plan: Plan) -> list[tuple[str, str]]:
    """Return the metrics of figure 6, as pairs of benchmark and metric.

    As many of the main ones of a benchmark as it asks for where it is registered, and what was
    steered.
    """
    steered = {objective.measured_by for objective in plan.objectives.values()}
    chosen: list[tuple[str, str]] = []
    for benchmark, metric in main_metrics(plan, changes):
        most = BENCHMARKS.get(benchmark).side_effects if benchmark in BENCHMARKS else _PANELS
        taken = sum(pair[0] == benchmark for pair in chosen)
        if taken < most or f"{benchmark}.{metric}" in steered:
            chosen.append((benchmark, metric))
    return chosen


def _reference(row: Any) -> Reference:
    return "control" if row.control else "base"


def _dots(rows: pd.DataFrame, plan: Plan) -> _Dots:
    """Return the rows of one metric, each with its dot."""
    held = list(rows_of(rows))
    dots = [row_of(row, _reference(row), student_label(row.student, plan)) for row in held]
    return list(zip(held, in_one_unit(dots), strict=True))


def _draw_dot(axis: Any, position: int, row: Any, dot: Row, plan: Plan) -> None:
    colour = drawing.colour_of(row.source if row.objective else "")
    drawing.dot(axis, position, dot, colour, _reference(row) == "control")
    if steers(plan, row.student, row.benchmark, row.metric):
        ends = (position - 0.5, position + 0.5)
        axis.axhspan(*ends, color=drawing.GREY, alpha=0.16, linewidth=0)
