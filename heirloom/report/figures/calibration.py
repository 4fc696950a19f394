"""The reliability diagrams."""

import pandas as pd

from heirloom.analyse.frames import rows_of
from heirloom.report.figures import drawing
from heirloom.report.labels import student_label
from heirloom.study.plan import Plan


def reliability(bins: pd.DataFrame, plan: Plan) -> str:
    """How often answers of a given confidence are right, per data set and model.

    Small multiples: the models that are not students, then the steered students (every student of a
    study that steers none), each over its base in grey. On the diagonal confidence is accuracy.
    """
    models = plan.models
    trained = [name for name, model in models.items() if model.role == "student"]
    learnt = {name: plan.datasets[models[name].dataset] for name in trained}
    # Not those of fewer candidates: they are there for figure 5.
    steered = [n for n, data in learnt.items() if data.selection == "best" and not data.k]
    names = [name for name in models if name not in trained] + (steered or trained)
    columns = 4
    data_sets = list(dict.fromkeys(bins["data_set"]))
    lines = -(-len(names) // columns)
    figure, grid = drawing.grid([2.1] * max(1, lines * len(data_sets)), columns, foot=0.35)
    sentences = []
    for part, data_set in enumerate(data_sets):
        of_data = bins[bins["data_set"] == data_set]
        ends = [of_data["confidence"].min(), of_data["confidence"].max()]
        margin = 0.06 * ((ends[1] - ends[0]) or 1.0)
        for index, name in enumerate(names):
            axis = figure.add_subplot(grid[part * lines + index // columns, index % columns])
            title = student_label(name, plan) if name in trained else name
            axis.set_title(f"{data_set}\n{title}", loc="left", fontsize=9, color=drawing.INK)
            drawing.style_square(axis)
            axis.set_xlim(ends[0] - margin, ends[1] + margin)
            axis.set_ylim(0, min(1.0, 1.04 * of_data["accuracy_high"].max()))
            axis.axline((0, 0), slope=1, color=drawing.INK, linewidth=0.9, linestyle=(0, (4, 3)))
            base = of_data[of_data["model"] == (models[name].base or "")]
            axis.plot(base["confidence"], base["accuracy"], color=drawing.GREY, linewidth=1.4)
            own = of_data[of_data["model"] == name]
            colour = drawing.COLOURS["multi" if name in trained else "single"]
            axis.plot(own["confidence"], own["accuracy"], color=colour, linewidth=1.2)
            axis.vlines(
                own["confidence"], own["accuracy_low"], own["accuracy_high"], colour, linewidth=1.0
            )
            axis.plot(own["confidence"], own["accuracy"], "o", color=colour, markersize=4)
            axis.set_xlabel("confidence", fontsize=8.5, color=drawing.INK)
            if index % columns == 0:
                axis.set_ylabel("accuracy", fontsize=8.5, color=drawing.INK)
            points = "; ".join(f"{row.confidence:.2f} {row.accuracy:.2f}" for row in rows_of(own))
            sentences.append(f"{data_set}, {title}, confidence and accuracy: {points}.")
    drawing.foot(
        figure, "dashed: confidence is accuracy   grey: the base of the student   95 % intervals"
    )
    return drawing.svg(
        figure,
        "reliability",
        "Reliability: accuracy of answers by their confidence",
        " ".join(sentences),
    )
