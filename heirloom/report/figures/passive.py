"""Figure 2, passive inheritance: the profile of students whose data nobody selected."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.labels import full_label, label
from heirloom.report.composition import trained_sets
from heirloom.report.figures import drawing, figure
from heirloom.report.figures.rows import Row, in_one_unit, is_relative, of_metric, row_of
from heirloom.report.names import student_label
from heirloom.study.plan import Plan

#: The paper's figure 2 has one index of readability and one bias benchmark, by category.
_LEFT_OUT = ("text", "gunning_fog")
_BIAS = "bbq"
_BIAS_METRICS = r"bias_(ambiguous|disambiguated)(\.|$)"
_COLUMNS = 3

_Panel = tuple[str, list[Row]]


def _applies(plan: Plan) -> bool:
    return any(data.selection == "passive" for data in trained_sets(plan).values())


@figure("figure2", title="Figure 2", order=20, applies=_applies)
def figure2(changes: pd.DataFrame, plan: Plan) -> str:
    """Draw what passive inheritance changes, the paper's figure 2: text, toxicity, BBQ by category.

    Change against the base of students trained on a teacher's completions that nobody selected.
    BBQ's bias scores are not on a ratio scale, so their differences are shown.
    """
    passive = changes[changes["selection"] == "passive"]
    bars = _bars(passive, plan)
    bias = passive[(passive["benchmark"] == _BIAS) & passive["metric"].str.match(_BIAS_METRICS)]
    students = unique(bias["student"])
    panels = bars if bars or students else [("No passively trained students", [])]
    categories = unique(_category(metric) for metric in bias["metric"])
    columns = _COLUMNS if students else 1
    lines = -(-len(students) // columns)
    heights = drawing.bar_heights(panels) + [0.85 + 0.22 * len(categories)] * lines
    canvas, grid = drawing.grid(heights, columns, foot=0.3 if students else 0.0)
    _draw_bars([canvas.add_subplot(grid[line, :]) for line in range(len(panels))], panels)
    sentences = []
    ends = _reach(bias)
    for index, student in enumerate(students):
        axis = canvas.add_subplot(grid[len(panels) + index // columns, index % columns])
        name = student_label(student, plan)
        drawing.dot_panel(axis, f"BBQ bias\n{name}", len(categories))
        axis.set_yticks(range(len(categories)), categories if index % columns == 0 else [])
        axis.set_xlabel("difference to the base, points", fontsize=8.5, color=drawing.INK)
        axis.set_xlim(*ends)
        sentences += _draw_bias(axis, bias[bias["student"] == student], name, categories)
    if students:
        drawing.foot(
            canvas, "BBQ:  ● ambiguous contexts   ○ disambiguated contexts;  95 % intervals"
        )
    return drawing.svg(
        canvas,
        "figure2",
        "Change of the profile of passively trained students against the base",
        " ".join([drawing.described(bars), *sentences]),
    )


def _bars(passive: pd.DataFrame, plan: Plan) -> list[_Panel]:
    """Return a panel of bars per metric of the students' own completions, on ratio scales."""
    panels = []
    for benchmark, metric in main_metrics(plan, passive):
        own = of_metric(passive, benchmark, metric)
        stated = BENCHMARKS.get(benchmark).names_itself if benchmark in BENCHMARKS else False
        if stated and (benchmark, metric) != _LEFT_OUT and (own["relative"] == "yes").all():
            rows = [
                row_of(row, "base", student_label(row.student, plan), "passive")
                for row in rows_of(own)
            ]
            panels.append((label(benchmark, metric), in_one_unit(rows)))
    return panels


def _draw_bars(axes: Sequence[Any], panels: Sequence[_Panel]) -> None:
    """Draw panels below each other; those in percent share one axis, labelled at the last."""
    shared = [index for index, (_, rows) in enumerate(panels) if is_relative(rows)]
    reach = drawing.reach([row for index in shared for row in panels[index][1]])
    for index, (axis, (heading, rows)) in enumerate(zip(axes, panels, strict=True)):
        relative = index in shared
        drawing.bar_panel(axis, heading, rows, reach if relative else drawing.reach(rows))
        if index in shared[:-1]:
            axis.tick_params(labelbottom=False)
        else:
            text = drawing.against_base(relative)
            axis.set_xlabel(text, fontsize=9, color=drawing.INK)


def _reach(bias: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold the intervals of all students: their panels share one scale."""
    rows = [row_of(row, "base", "") for row in rows_of(bias)]
    low, high = drawing.reach([row for row in rows if pd.notna(row.difference.low)])
    return low - 0.13 * (high - low), high


def _draw_bias(axis: Any, bias: pd.DataFrame, name: str, categories: list[str]) -> list[str]:
    """Draw one student's bias scores by category; return the dots in words.

    A score without an interval rests on one answer or none, and can only be -100 or 100 then: it
    is not drawn.
    """
    sentences = []
    for row in rows_of(bias):
        ambiguous = row.metric.startswith("bias_ambiguous")
        (dot,) = in_one_unit([row_of(row, "base", name)])
        position = categories.index(_category(row.metric)) + (-0.16 if ambiguous else 0.16)
        if pd.notna(dot.effect.low):
            drawing.dot(axis, position, dot, drawing.INK, ambiguous)
            sentences.append(f"{full_label(_BIAS, row.metric)}: {drawing.values(dot)}.")
        else:
            _undefined(axis, position)
            sentences.append(f"{full_label(_BIAS, row.metric)}: {name} undefined.")
    return sentences


def _undefined(axis: Any, position: float) -> None:
    """Write that there is no score, at the right edge, where no dot is."""
    edge = axis.get_yaxis_transform()
    style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 6, "color": drawing.INK}
    axis.text(0.995, position, "undefined", transform=edge, **style)


def _category(metric: str) -> str:
    return metric.partition(".")[2].replace("_", " ") or "all"
