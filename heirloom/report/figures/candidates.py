"""What the candidates decide: one teacher's or several teachers', few or many (figures 4 and 5)."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.frames import rows_of, unique
from heirloom.report.figures import drawing
from heirloom.report.figures.drawing import Row
from heirloom.report.labels import objective_label
from heirloom.study.plan import Plan
from heirloom.support.files import Record

_HEIGHT = 2.5  # inches of a panel
#: Most bars of a panel that leave room for three panels beside each other.
_NARROW = 4

#: What stands below the bars of a group, and its bars with what stands below each, "" for nothing.
_Group = tuple[str, list[tuple[str, Row]]]


def figure4(changes: pd.DataFrame, plan: Plan) -> str:
    """Single-source against multi-source, the paper's figure 4.

    One panel per objective, change of the metric it is measured by against the base, for every base
    that learnt from the best of its own candidates and from the best of a pool.
    """
    panels = []
    for name in plan.objectives:
        groups: list[_Group] = []
        steered = _measured(changes, plan, name, column="objective", value=name)
        own = [row for row in steered if _data(plan, row)["k"] is None]
        for base, rows in _by_base(own, plan).items():
            bars = []
            for row in sorted(rows, key=lambda row: row.source != "single"):
                pool = _data(plan, row)["pool"]
                short = pool if row.source == "multi" and pool != "multi" else row.source
                text = f"{base} {row.source}-source{'' if short == row.source else f' {pool}'}"
                bars.append((short, drawing.row_of(row, "base", text, row.source)))
            groups.append((base if len(_by_base(own, plan)) > 1 else "", bars))
        if groups:
            panels.append((objective_label(name, plan), groups))
    return _drawn(
        "figure4",
        "Students of one teacher's best candidates and of several teachers'",
        panels,
        "single, multi: best candidate of the base's own, or of several teachers;  95 % intervals",
    )


def figure5(changes: pd.DataFrame, plan: Plan) -> str:
    """How much the number of candidates matters, the paper's figure 5.

    One panel per objective and base: change of the metric it is measured by against the base, for
    students of the best of the first candidates of every teacher, more and more of them. The
    student of a candidate at random stands in front of those that it is the control of: of all, but
    for an objective whose sets have prompts of their own.
    """
    sets = plan.datasets
    fewer = [data for data in sets.values() if data.k and data.objective]
    panels = []
    for name in unique(data.objective for data in fewer):
        pools = {data.pool for data in fewer if data.objective == name}
        steered = _measured(changes, plan, name, column="objective", value=name)
        rows = [row for row in steered if _data(plan, row)["pool"] in pools]
        bases = _by_base(rows, plan)
        for base, own in bases.items():
            groups: list[_Group] = []
            shown: set[str] = set()
            for row in sorted(own, key=lambda row: _data(plan, row)["k"] or plan.k):
                k = _data(plan, row)["k"] or plan.k
                if row.control not in shown:
                    shown.add(row.control)
                    for control in _measured(
                        changes, plan, name, column="student", value=row.control
                    ):
                        bar = drawing.row_of(control, "base", "random", "control")
                        groups.append(("random", [("", bar)]))
                best = drawing.row_of(row, "base", f"best of k = {k}", "multi")
                groups.append((f"{k}", [("", best)]))
            heading = objective_label(name, plan) + (f"\n{base}" if len(bases) > 1 else "")
            panels.append((heading, groups))
    return _drawn(
        "figure5",
        "Change of the steered metric with the number of candidates",
        panels,
        "filled: best candidate   hatched: random control;  95 % intervals",
        below="candidates a prompt and teacher (k)",
    )


def _measured(
    changes: pd.DataFrame, plan: Plan, objective: str, *, column: str, value: str
) -> list[Any]:
    """The rows on the metric that an objective is measured by, with this value in a column."""
    benchmark, metric = plan.objectives[objective].measured_by.split(".", 1)
    return list(
        rows_of(
            changes[
                (changes[column] == value)
                & (changes["benchmark"] == benchmark)
                & (changes["metric"] == metric)
            ]
        )
    )


def _data(plan: Plan, row: Any) -> Record:
    found: Record = plan.datasets[row.dataset]
    return found


def _by_base(rows: Sequence[Any], plan: Plan) -> dict[str, list[Any]]:
    """Base to its students' rows, in the plan's order."""
    models = plan.students_by_seed
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(plan.models[models[row.student][0]].base, []).append(row)
    return found


def _drawn(
    name: str,
    title: str,
    panels: Sequence[tuple[str, list[_Group]]],
    foot: str,
    *,
    below: str = "",
) -> str:
    """Panels of upright bars, beside each other, as SVG text; `below` names the groups."""
    panels = panels or [("No students", [])]
    most = max(sum(len(bars) for _, bars in groups) for _, groups in panels)
    columns = min(len(panels), 3 if most <= _NARROW else 2)
    lines = -(-len(panels) // columns)
    figure, grid = drawing.grid([_HEIGHT] * lines, columns, foot=0.3)
    for index, (heading, groups) in enumerate(panels):
        axis = figure.add_subplot(grid[index // columns, index % columns])
        relative = all(row.relative for _, row in _bars(groups))
        text = "% change against the base" if relative else "difference to the base"
        axis.set_ylabel(text, fontsize=8.5, color=drawing.INK)
        axis.set_xlabel(below, fontsize=8.5, color=drawing.INK)
        _panel(axis, heading, groups, width=drawing.WIDTH / columns)
    drawing.foot(figure, foot)
    rows = [(heading, [row for _, row in _bars(groups)]) for heading, groups in panels]
    return drawing.svg(figure, name, title, drawing.described(rows))


def _bars(groups: Sequence[_Group]) -> Iterator[tuple[str, Row]]:
    for _, bars in groups:
        yield from bars


def _panel(axis: Any, heading: str, groups: Sequence[_Group], *, width: float) -> None:
    """Upright bars in groups along the x axis; `width` of the panel in inches."""
    axis.set_title(
        drawing.wrapped(heading, int(9 * width)),
        loc="left",
        fontsize=9.5,
        fontweight="bold",
        color=drawing.INK,
    )
    axis.axhline(0, color=drawing.INK, linewidth=0.9)
    axis.grid(axis="y", color=drawing.GREY, alpha=0.3, linewidth=0.6)
    axis.locator_params(axis="y", nbins=6)
    axis.tick_params(axis="y", labelsize=8.5, colors=drawing.INK, color=drawing.GREY)
    axis.tick_params(axis="x", which="both", length=0, labelsize=8.5, colors=drawing.INK)
    drawing.style_frame(axis, "left")
    low, high = drawing.reach([row for _, row in _bars(groups)])
    axis.set_ylim(low, high)
    names, centres, position = [], [], 0.0
    for _, bars in groups:
        centres.append(position + (len(bars) - 1) / 2)
        for text, row in bars:
            names.append((position, text))
            _bar(axis, position, row, 0.02 * (high - low))
            position += 1
        position += 0.6  # between groups
    axis.set_xlim(-0.7, max(position - 0.9, 0.7))
    axis.xaxis.remove_overlapping_locs = False  # the middle bar of a group stands at its centre
    axis.set_xticks([where for where, _ in names], [text for _, text in names], minor=True)
    # Below the names of the bars, if they have any.
    line = "\n" if any(text for _, text in names) else ""
    axis.set_xticks(centres, [line + text for text, _ in groups])


def _bar(axis: Any, position: float, row: Row, gap: float) -> None:
    """One bar with its interval and its value above it."""
    if pd.isna(row.value):
        axis.text(position, gap, "undefined", ha="center", fontsize=8, color=drawing.INK)
        return
    if row.style == "control":
        axis.bar(
            position,
            row.value,
            width=0.8,
            facecolor="none",
            edgecolor=drawing.GREY,
            hatch="////",
            lw=0.8,
        )
    else:
        axis.bar(position, row.value, width=0.8, color=drawing.COLOURS[row.style], linewidth=0)
    if not pd.isna(row.low):
        axis.plot([position, position], [row.low, row.high], color=drawing.INK, linewidth=1.2)
        for end in (row.low, row.high):
            axis.plot(
                [position - 0.16, position + 0.16], [end, end], color=drawing.INK, linewidth=1.2
            )
    top = max(end for end in (0.0, row.value, row.high) if not pd.isna(end))
    text = row.text(row.value)
    axis.text(position, top + gap, text, ha="center", va="bottom", fontsize=8, color=drawing.INK)
