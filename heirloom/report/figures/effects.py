"""What training on a set changed: figures 1, 2 and 6, from the table of changes."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import steers
from heirloom.analyse.frames import rows_of
from heirloom.analyse.main_metrics import main_metrics
from heirloom.report.figures import drawing
from heirloom.report.figures.drawing import Row, row_of
from heirloom.report.labels import (
    STYLE,
    full_label,
    label,
    objective_label,
    short_unit,
    student_label,
)
from heirloom.study.plan import Plan

#: Panels of figure 6: so many main metrics of a benchmark, or two.
_PANELS = {"text": 4}


def figure1(changes: pd.DataFrame, plan: Plan) -> str:
    """What active inheritance changes: the paper's figure 1.

    One panel per objective, change of the metric it is measured by against the base, for the
    students trained on best-of sets and for their random controls, with 95 % intervals.
    """
    panels = []
    for name, objective in plan.objectives.items():
        benchmark, metric = objective.measured_by.split(".", 1)
        of_metric = _of_metric(changes, benchmark, metric)
        rows: list[Row] = []
        shown: set[str] = set()
        for row in rows_of(of_metric[of_metric["objective"] == name]):
            if plan.datasets[row.dataset]["k"]:
                continue  # fewer candidates: figure 5
            rows.append(_bar(_bar_label("best", row.student, plan), row, row.source))
            control = of_metric[of_metric["student"] == row.control]
            if len(control) and row.control not in shown:
                shown.add(row.control)
                text = _bar_label("random", row.control, plan)
                rows.append(_bar(text, next(rows_of(control)), "control"))
        panels.append((objective_label(name, plan), rows))
    panels = panels or [("No students", [])]
    figure, grid = drawing.grid(drawing.bar_heights(panels), 1)
    for line, (heading, rows) in enumerate(panels):
        axis = figure.add_subplot(grid[line, 0])
        drawing.bar_panel(axis, heading, rows, drawing.reach(rows))
        axis.set_xlabel(_against_base(_is_relative(of_panel=rows)), fontsize=9, color=drawing.INK)
    return drawing.svg(
        figure,
        "figure1",
        "Change of each objective's metric against the base model",
        drawing.described(panels),
    )


def figure2(changes: pd.DataFrame, plan: Plan) -> str:
    """What passive inheritance changes, the paper's figure 2: text, toxicity, BBQ by category.

    Change against the base of students trained on a teacher's completions that nobody selected. The
    bias scores of BBQ are no ratio scale, so of them it is the difference.
    """
    passive = changes[changes["selection"] == "passive"]
    bars: list[tuple[str, list[Row]]] = []
    for benchmark, metric in main_metrics(plan, passive):
        rows = [
            _bar(student_label(row.student, plan), row, "passive")
            for row in rows_of(_of_metric(passive, benchmark, metric))
        ]
        if benchmark in STYLE and metric != "gunning_fog" and _is_relative(of_panel=rows):
            bars.append((label(metric), rows))
    bias = passive[
        (passive["benchmark"] == "bbq")
        & passive["metric"].str.match(r"bias_(ambiguous|disambiguated)(\.|$)")
    ]
    groups = list(dict.fromkeys(_category(metric) for metric in bias["metric"]))
    names = list(dict.fromkeys(bias["student"]))
    columns = 3 if names else 1
    lines = -(-len(names) // columns)
    shown = bars if bars or names else [("No passively trained students", [])]
    heights = drawing.bar_heights(shown) + [0.85 + 0.22 * len(groups)] * lines
    figure, grid = drawing.grid(heights, columns, foot=0.3 if names else 0.0)
    reach = drawing.reach([row for _, rows in bars for row in rows])
    for line, (heading, rows) in enumerate(shown):
        axis = figure.add_subplot(grid[line, :])
        drawing.bar_panel(axis, heading, rows, reach)
        if line < len(shown) - 1:
            axis.tick_params(labelbottom=False)
        else:
            axis.set_xlabel(_against_base(relative=True), fontsize=9, color=drawing.INK)
    sentences = []
    for index, name in enumerate(names):
        axis = figure.add_subplot(grid[len(shown) + index // columns, index % columns])
        drawing.dot_panel(axis, f"BBQ bias\n{student_label(name, plan)}", len(groups))
        axis.set_yticks(range(len(groups)), groups if index % columns == 0 else [])
        axis.set_xlabel("difference to the base", fontsize=8.5, color=drawing.INK)
        for row in rows_of(bias[bias["student"] == name]):
            ambiguous = row.metric.startswith("bias_ambiguous")
            dot = row_of(row, "base", student_label(name, plan))
            position = groups.index(_category(row.metric)) + (-0.16 if ambiguous else 0.16)
            drawing.dot(
                axis, position, dot, drawing.COLOURS["multi" if ambiguous else "single"], ambiguous
            )
            sentences.append(f"{full_label('bbq', row.metric)}: {drawing.values(dot)}.")
    if names:
        drawing.foot(
            figure, "BBQ:  ● ambiguous contexts   ○ disambiguated contexts;  95 % intervals"
        )
    return drawing.svg(
        figure,
        "figure2",
        "Change of the profile of passively trained students against the base",
        " ".join([drawing.described(bars), *sentences]),
    )


def figure6(changes: pd.DataFrame, plan: Plan) -> str:
    """Side effects: every student's main metrics against its random control.

    One panel per metric, one row per student: ratio scales in percent first, then the others as
    differences in their own unit. Students without a control are compared with the base instead and
    drawn hollow.
    """
    metrics = _side_effects(changes, plan)
    names = list(dict.fromkeys(changes["student"]))
    columns = 3
    lines = [
        group[start : start + columns]
        for group in (
            [pair for pair in metrics if _is_relative(_of_metric(changes, *pair))],
            [pair for pair in metrics if not _is_relative(_of_metric(changes, *pair))],
        )
        for start in range(0, len(group), columns)
    ]
    figure, grid = drawing.grid([0.95 + 0.2 * len(names)] * max(1, len(lines)), columns, foot=0.35)
    sentences = []
    for line, pairs in enumerate(lines):
        for column, (benchmark, metric) in enumerate(pairs):
            of_metric = _of_metric(changes, benchmark, metric)
            axis = figure.add_subplot(grid[line, column])
            drawing.dot_panel(axis, full_label(benchmark, metric), len(names))
            unit = (
                "% change"
                if _is_relative(of_metric)
                else f"difference, {short_unit(of_metric['unit'].iloc[0])}"
            )
            axis.set_xlabel(unit, fontsize=8.5, color=drawing.INK)
            axis.set_yticks(
                range(len(names)),
                [student_label(name, plan) for name in names] if column == 0 else [],
            )
            for row in rows_of(of_metric):
                position = names.index(row.student)
                against = "control" if row.control else "base"
                dot = row_of(row, against, student_label(row.student, plan))
                colour = drawing.COLOURS.get(
                    row.source if row.selection == "best" else "", drawing.GREY
                )
                drawing.dot(axis, position, dot, colour, against == "control")
                if steers(plan, row.student, benchmark, metric):
                    ends = (position - 0.5, position + 0.5)
                    axis.axhspan(*ends, color=drawing.GREY, alpha=0.16, linewidth=0)
                sentences.append(
                    f"{full_label(benchmark, metric)}, {drawing.values(dot)} against the {against}."
                )
    drawing.foot(
        figure,
        "● against the random control   ○ against the base (no control)   "
        "shaded: the metric this student was steered for",
    )
    return drawing.svg(
        figure,
        "figure6",
        "Side effects: change of the main metrics of every student",
        f"{len(metrics)} panels with one dot and 95 % interval per student. " + " ".join(sentences),
    )


def _side_effects(changes: pd.DataFrame, plan: Plan) -> list[tuple[str, str]]:
    """The metrics of figure 6: the first main ones of every benchmark, and what was steered."""
    steered = {objective.measured_by for objective in plan.objectives.values()}
    chosen: list[tuple[str, str]] = []
    for benchmark, metric in main_metrics(plan, changes):
        taken = sum(pair[0] == benchmark for pair in chosen)
        if taken < _PANELS.get(benchmark, 2) or f"{benchmark}.{metric}" in steered:
            chosen.append((benchmark, metric))
    return chosen


def _of_metric(changes: pd.DataFrame, benchmark: str, metric: str) -> pd.DataFrame:
    return changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]


def _bar_label(selection: str, student: str, plan: Plan) -> str:
    """Such as "best, single-source smollm2", after the base where the study has several."""
    model = plan.models[plan.students_by_seed[student][0]]
    data = plan.datasets[model.dataset]
    source = "multi-source" if len(data.teachers) > 1 else "single-source"
    pool = "" if data.pool == "multi" else f" {data['pool']}"
    return student_label(student, plan, dataset=f"{selection}, {source}{pool}")


def _bar(name: str, row: Any, style: str) -> Row:
    return row_of(row, "base", name, style or "passive")


def _is_relative(table: pd.DataFrame | None = None, *, of_panel: Sequence[Row] = ()) -> bool:
    """Whether the rows of one metric are in percent."""
    if table is not None:
        return bool((table["relative"] == "yes").all())
    return all(row.relative for row in of_panel)


def _category(metric: str) -> str:
    return metric.partition(".")[2].replace("_", " ") or "all"


def _against_base(relative: bool) -> str:
    return ("% change" if relative else "difference") + " against the base, 95 % interval"
