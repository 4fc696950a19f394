"""Figure 3: agreement of students as judges with the original models and with humans."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.tables.agreement import HUMAN
from heirloom.report.figures import drawing, figure
from heirloom.report.names import student_label
from heirloom.study.plan import Plan

#: Markers of the originals, filled or hollow; more of them share these. Colours belong to sources.
_MARKS = (("o", True), ("s", False), ("^", True), ("v", False), ("P", True))

_Pairs = Mapping[tuple[str, str], Any]
"""A model and who it is compared with to the row that compares them."""


def _applies(plan: Plan) -> bool:
    return "judge" in plan.benchmarks and bool(plan.students)


@figure("figure3", title="Figure 3", order=30, tables=("agreement",), applies=_applies)
def figure3(agreement: pd.DataFrame, plan: Plan) -> str:
    """Draw agreement of students with the original models and with humans: the paper's figure 3.

    Students along the x axis, those that agree most with humans first; where there are no labels,
    those that agree most with their base. One mark for every base and teacher.
    """
    found = {
        (judge, row.other if row.judge == judge else row.judge): row
        for row in rows_of(agreement)
        for judge in (row.judge, row.other)
    }
    labelled = HUMAN in set(agreement["other"])
    originals = [n for n, model in plan.models.items() if model.role in ("base", "teacher")]
    references = [*originals, HUMAN] if labelled else originals
    names = _ordered(found, plan, labelled=labelled)
    canvas, grid = drawing.grid([4.3], 1)
    axis = canvas.add_subplot(grid[0, 0])
    axis.set_ylabel("same answer, % of pairs", fontsize=9, color=drawing.INK)
    axis.axhline(50, color=drawing.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    sentences = []
    for index, reference in enumerate(references):
        human = reference == HUMAN
        marker, filled = ("D", True) if human else _MARKS[index % len(_MARKS)]
        look = _look(marker, drawing.GREY if human else drawing.INK, filled=filled)
        called = "humans" if human else f"original {reference}"
        shift = 0.7 * ((index + 0.5) / len(references) - 0.5)
        shown = []
        for position, name in enumerate(names):
            row = found.get((name, reference))
            if row is None or pd.isna(row.agreement):
                continue
            shown.append(f"{student_label(name, plan)} {_share(row)}")
            _mark(axis, position + shift, row, look, f"{shown[-1]} with {called}")
        axis.plot([], [], linewidth=0, label=called, **look)
        sentences.append(f"With {called}: {'; '.join(shown) or 'nothing'}.")
    _style(axis, [student_label(name, plan) for name in names])
    order = "humans" if labelled else "the base"
    n = _sizes([row.n for key, row in found.items() if key[1] in references])
    return drawing.svg(
        canvas,
        "figure3",
        "How often students pick the same answer as the original models"
        + (" and humans" if labelled else ""),
        f"Students ordered by agreement with {order}, over {n} pairs. {' '.join(sentences)}",
    )


def _ordered(found: _Pairs, plan: Plan, *, labelled: bool) -> list[str]:
    """Return students by their agreement with humans, or with their base without labels."""

    def share(student: str) -> float:
        row = found.get((student, HUMAN if labelled else plan.models[student].artefact))
        return -1.0 if row is None or pd.isna(row.agreement) else row.agreement

    return sorted(plan.students, key=share, reverse=True)


def _share(row: Any) -> str:
    """Return "64 % [50 to 76]"."""
    ends = (
        ""
        if pd.isna(row.agreement_low)
        else f" [{row.agreement_low:.0f} to {row.agreement_high:.0f}]"
    )
    return f"{row.agreement:.0f} %{ends}"


def _sizes(counts: list[int]) -> str:
    """Return the smallest and the largest of these counts: "20", "18 to 20"."""
    sizes = sorted(unique(counts))
    if len(sizes) > 1:
        return f"{sizes[0]:,.0f} to {sizes[-1]:,.0f}"
    return f"{max(sizes, default=0):,.0f}"


def _look(marker: str, colour: str, *, filled: bool) -> dict[str, Any]:
    return {
        "marker": marker,
        "color": colour,
        "markersize": 5.5,
        "markerfacecolor": colour if filled else "none",
    }


def _mark(axis: Any, x: float, row: Any, look: Mapping[str, Any], text: str) -> None:
    gid = drawing.hover(text)
    if not pd.isna(row.agreement_low):
        ends = [row.agreement_low, row.agreement_high]
        axis.plot([x, x], ends, color=look["color"], linewidth=1.4, gid=gid)
    axis.plot([x], [row.agreement], gid=gid, **look)


def _style(axis: Any, names: list[str]) -> None:
    axis.set_xlim(-0.6, max(1, len(names)) - 0.4)
    axis.set_ylim(-2, 102)
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axis.grid(axis="y", color=drawing.GREY, alpha=0.3, linewidth=0.6)
    axis.tick_params(axis="x", length=0, labelsize=9, colors=drawing.INK)
    axis.tick_params(axis="y", labelsize=8.5, colors=drawing.INK, color=drawing.GREY)
    drawing.style_frame(axis, "bottom", "left")
    axis.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=drawing.INK,
        borderaxespad=0,
        handletextpad=0.2,
    )
