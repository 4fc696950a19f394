"""Reliability diagrams: confidence of answers against their accuracy."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from heirloom.analyse.frames import rows_of, unique
from heirloom.report.composition import trained_sets
from heirloom.report.figures import drawing, figure
from heirloom.report.names import student_label
from heirloom.study.plan import Plan

_COLUMNS = 4


def _applies(plan: Plan) -> bool:
    return "calibration" in plan.benchmarks


@dataclass(frozen=True)
class _Curve:
    """The bins of one model on one data set, and those of its base, if it is a student."""

    title: str
    own: pd.DataFrame
    base: pd.DataFrame
    colour: str


@figure(
    "reliability", title="Reliability", order=70, tables=("calibration_bins",), applies=_applies
)
def reliability(bins: pd.DataFrame, plan: Plan) -> str:
    """Draw how often answers of a given confidence are right, per data set and model.

    Small multiples: the models that are not students, then the steered students (every student of a
    study that steers none), each over its base in grey. On the diagonal confidence is accuracy.
    """
    names = _shown(plan)
    data_sets = unique(bins["data_set"])
    lines = -(-len(names) // _COLUMNS)
    canvas, grid = drawing.grid([2.1] * max(1, lines * len(data_sets)), _COLUMNS, foot=0.35)
    sentences = []
    for part, data_set in enumerate(data_sets):
        of_data = bins[bins["data_set"] == data_set]
        for index, name in enumerate(names):
            line, column = part * lines + index // _COLUMNS, index % _COLUMNS
            axis = canvas.add_subplot(grid[line, column])
            curve = _curve(of_data, name, plan)
            axis.set_title(f"{data_set}\n{curve.title}", loc="left", fontsize=9, color=drawing.INK)
            _style(axis, of_data)
            _draw(axis, curve)
            if column == 0:
                axis.set_ylabel("accuracy", fontsize=8.5, color=drawing.INK)
            points = "; ".join(
                f"{row.confidence:.2f} {row.accuracy:.2f}" for row in rows_of(curve.own)
            )
            sentences.append(f"{data_set}, {curve.title}, confidence and accuracy: {points}.")
    drawing.foot(
        canvas,
        "dashed: confidence is accuracy   thin line: base of the student   95 % intervals",
    )
    return drawing.svg(
        canvas,
        "reliability",
        "Reliability: accuracy of answers by their confidence",
        " ".join(sentences),
    )


def _shown(plan: Plan) -> list[str]:
    """Return the models with a panel of their own."""
    learnt = trained_sets(plan)
    # Not those of fewer candidates: they are there for figure 5.
    steered = [name for name, data in learnt.items() if data.objective and not data.k]
    return [name for name in plan.models if name not in learnt] + (steered or list(learnt))


def _curve(of_data: pd.DataFrame, name: str, plan: Plan) -> _Curve:
    trained = name in plan.students
    return _Curve(
        student_label(name, plan) if trained else name,
        of_data[of_data["model"] == name],
        of_data[of_data["model"] == (plan.models[name].base or "")],
        _colour(name, plan),
    )


def _colour(name: str, plan: Plan) -> str:
    """Return a student's colour by its source; that of text for other models."""
    if name not in plan.students:
        return drawing.INK
    steered = trained_sets(plan)[name].objective
    return drawing.colour_of(plan.source(name) if steered else "")


def _style(axis: Any, of_data: pd.DataFrame) -> None:
    """Give all panels of a data set the same limits, and the diagonal."""
    ends = [of_data["confidence"].min(), of_data["confidence"].max()]
    margin = 0.06 * ((ends[1] - ends[0]) or 1.0)
    drawing.style_square(axis)
    axis.set_xlim(ends[0] - margin, ends[1] + margin)
    axis.set_ylim(0, min(1.0, 1.04 * of_data["accuracy_high"].max()))
    axis.axline((0, 0), slope=1, color=drawing.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axis.set_xlabel("confidence", fontsize=8.5, color=drawing.INK)


def _draw(axis: Any, curve: _Curve) -> None:
    own, base, colour = curve.own, curve.base, curve.colour
    axis.plot(base["confidence"], base["accuracy"], color=drawing.GREY, linewidth=0.8)
    axis.plot(own["confidence"], own["accuracy"], color=colour, linewidth=1.2)
    axis.vlines(own["confidence"], own["accuracy_low"], own["accuracy_high"], colour, linewidth=1.0)
    for row in rows_of(own):
        text = f"confidence {row.confidence:.2f}, accuracy {row.accuracy:.2f}"
        text += f" [{row.accuracy_low:.2f} to {row.accuracy_high:.2f}]"
        gid = drawing.hover(f"{curve.title}: {text}")
        axis.plot([row.confidence], [row.accuracy], "o", color=colour, markersize=4, gid=gid)
