"""The figures of a study, as SVG text: the changes table and the plan in, one figure out.

Every figure works in light and dark: its background is transparent and text, axes and error bars
take the colour of the text around them (currentColor). Two colours of the Okabe-Ito palette that
stay apart for colour-blind readers tell single-source from multi-source; labels and hatching say
the same without colour. Equal input gives equal bytes.
"""

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from heirloom.files import Record, read_json, write_text
from heirloom.tables import main_metrics, read_all, rows_of

#: Drawn instead of the text colour, and replaced by currentColor in the SVG.
_INK = "#010203"
_GREY = "#808080"
#: Okabe and Ito (2008): vermillion and blue, at least 3:1 against white and against near-black.
_COLOURS = {"single": "#D55E00", "multi": "#0072B2"}
_WIDTH = 7.6  # inches, at 72 points each
_ROW = 0.27
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

_LABELS = {
    "length": "Length",
    "mtld": "Lexical diversity (MTLD)",
    "gunning_fog": "Gunning fog",
    "rix": "Rix",
    "emt": "Expected maximum toxicity",
    "toxicity_probability": "Toxicity probability",
}

# One bar or dot: label, value, low, high, style ("single", "multi", "control", "passive").
Row = tuple[str, float, float, float, str]


def label(metric: str) -> str:
    """A metric's name for a reader."""
    return _LABELS.get(metric, metric.replace("_", " ").capitalize())


def student_label(student: str, plan: Record, *, dataset: str | None = None) -> str:
    """A student's name without the parts that every student of the study shares.

    Args:
        student: its id.
        plan: the study's plan.
        dataset: what to call its data set, its id unless given.
    """
    trained = [model for model in plan["models"].values() if model["role"] == "student"]
    model = plan["models"][student]
    parts = [dataset or model["dataset"]]
    if len({other["base"] for other in trained}) > 1:
        parts.insert(0, model["base"])
    if len({other["seed"] for other in trained}) > 1:
        parts.append(f"s{model['seed']}")
    return (".".join if dataset is None else ": ".join)(parts)


def figure1(changes: pd.DataFrame, plan: Record) -> str:
    """What active inheritance changes: the paper's figure 1.

    One panel per objective, % change of the metric it is measured by against the base, for the
    students trained on best-of sets and for their random controls, with 95 % intervals.
    """
    panels = []
    for name, objective in plan["objectives"].items():
        benchmark, metric = objective["measured_by"].split(".", 1)
        of_metric = _of_metric(changes, benchmark, metric)
        rows: list[Row] = []
        shown: set[str] = set()
        for row in rows_of(of_metric[of_metric["objective"] == name]):
            rows.append(_bar(_bar_label("best", row.student, plan), row, row.source))
            control = of_metric[of_metric["student"] == row.control]
            if len(control) and row.control not in shown:
                shown.add(row.control)
                text = _bar_label("random", row.control, plan)
                rows.append(_bar(text, next(rows_of(control)), "control"))
        panels.append((f"{label(metric)} ({objective['direction']})", rows))
    return _bar_figure(
        "figure1",
        panels,
        title="Change of each objective's metric against the base model, in percent",
        share=False,
    )


def figure2(changes: pd.DataFrame, plan: Record) -> str:
    """What passive inheritance changes: the paper's figure 2, without its BBQ panel.

    % change against the base of students trained on a teacher's completions that nobody selected.
    """
    passive = changes[changes["selection"] == "passive"]
    panels = []
    for benchmark, metric in main_metrics(plan):
        rows = [
            _bar(student_label(row.student, plan), row, "passive")
            for row in rows_of(_of_metric(passive, benchmark, metric))
        ]
        if metric != "gunning_fog" and rows:
            panels.append((label(metric), rows))
    return _bar_figure(
        "figure2",
        panels,
        title="Change of the profile of passively trained students against the base, in percent",
        share=True,
    )


def figure6(changes: pd.DataFrame, plan: Record) -> str:
    """Side effects: every student's main metrics in % against its random control.

    One panel per metric, one row per student. Students without a control are compared with the
    base instead and drawn hollow.
    """
    metrics = [pair for pair in main_metrics(plan) if len(_of_metric(changes, *pair)) > 0]
    names = list(dict.fromkeys(changes["student"]))
    columns = 2
    lines = max(1, -(-len(metrics) // columns))
    height = lines * (0.75 + 0.2 * len(names)) + 0.55
    figure, axes = _subplots(lines, columns, height)
    for index, axis in enumerate(axes.flat):
        if index >= len(metrics):
            axis.set_visible(False)
            continue
        benchmark, metric = metrics[index]
        by_student = _of_metric(changes, benchmark, metric).set_index("student")
        for position, name in enumerate(names):
            row = by_student.loc[name]
            against = "control" if row["control"] else "base"
            _dot(axis, position, row, against)
        axis.set_title(label(metric), loc="left", fontsize=10, fontweight="bold", color=_INK)
        _style_axis(axis, len(names))
        own = {student for student in names if _measures(student, plan, benchmark, metric)}
        axis.set_yticks(
            range(len(names)),
            [student_label(name, plan) for name in names] if index % columns == 0 else [],
        )
        for position, name in enumerate(names):
            if name in own:
                axis.axhspan(position - 0.5, position + 0.5, color=_GREY, alpha=0.16, linewidth=0)
        axis.margins(x=0.08)
    figure.tight_layout(h_pad=1.4, w_pad=1.5, rect=(0, 0.35 / height, 1, 1))
    figure.text(
        0.01,
        0.1 / height,
        "% change.  ● against the random control   ○ against the base (no control)   "
        "shaded: the metric this student was steered for",
        fontsize=8.5,
        color=_INK,
    )
    sentences = [
        _sentence(student_label(row.student, plan), row, "control" if row.control else "base")
        for benchmark, metric in metrics
        for row in rows_of(_of_metric(changes, benchmark, metric))
    ]
    return _svg(
        figure,
        "figure6",
        "Side effects: change of every main metric of every student, in percent",
        f"{len(metrics)} panels with one dot and 95 % interval per student. " + " ".join(sentences),
    )


FIGURES = {"figure1": figure1, "figure2": figure2, "figure6": figure6}


def write_all(results: str | Path, tables: str | Path, out: str | Path) -> None:
    """Draw every figure from the tables in `tables`, as `out`/<figure>.svg."""
    plan = read_json(Path(results) / "plan.json")
    changes = read_all(tables)["changes"]
    for name, draw in FIGURES.items():
        write_text(Path(out) / f"{name}.svg", draw(changes, plan))


def _of_metric(changes: pd.DataFrame, benchmark: str, metric: str) -> pd.DataFrame:
    return changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]


def _bar_label(selection: str, student: str, plan: Record) -> str:
    """Such as "best, single-source smollm2", after the base where the study has several."""
    data = plan["datasets"][plan["models"][student]["dataset"]]
    source = "multi-source" if len(data["teachers"]) > 1 else "single-source"
    pool = "" if data["pool"] == "multi" else f" {data['pool']}"
    return student_label(student, plan, dataset=f"{selection}, {source}{pool}")


def _measures(student: str, plan: Record, benchmark: str, metric: str) -> bool:
    objective = plan["datasets"][plan["models"][student]["dataset"]]["objective"]
    if objective is None:
        return False
    return bool(plan["objectives"][objective]["measured_by"] == f"{benchmark}.{metric}")


def _bar(name: str, row: Any, style: str) -> Row:
    return (
        name,
        row.change_vs_base,
        row.change_vs_base_low,
        row.change_vs_base_high,
        style or "passive",
    )


def _bar_figure(
    name: str, panels: Sequence[tuple[str, list[Row]]], *, title: str, share: bool
) -> str:
    """Horizontal bars, one panel under the other; `share` gives all panels one x axis."""
    panels = panels or [("No students", [])]
    sizes = [max(1, len(rows)) for _, rows in panels]
    height = sum(0.62 + _ROW * size for size in sizes) + 0.35
    figure, axes = _subplots(
        len(panels),
        1,
        height,
        sharex=share,
        gridspec_kw={"height_ratios": [s + 0.6 for s in sizes]},
    )
    for axis, (heading, rows) in zip(axes.flat, panels, strict=True):
        axis.set_title(heading, loc="left", fontsize=10, fontweight="bold", color=_INK)
        _style_axis(axis, max(1, len(rows)))
        axis.set_yticks(range(len(rows)), [row[0] for row in rows])
        reach = _reach([row for _, all_rows in panels for row in all_rows] if share else rows)
        axis.set_xlim(*reach)
        for position, row in enumerate(rows):
            _draw_bar(axis, position, row, reach)
        if share and axis is not axes.flat[-1]:
            axis.tick_params(labelbottom=False)
    axes.flat[-1].set_xlabel("% change against the base, 95 % interval", fontsize=9, color=_INK)
    figure.tight_layout(h_pad=1.0)
    sentences = [
        f"{heading}: " + "; ".join(_values(*row[:4]) for row in rows) + "."
        for heading, rows in panels
    ]
    return _svg(figure, name, title, " ".join(sentences))


def _reach(rows: Sequence[Row]) -> tuple[float, float]:
    """Limits that hold every interval and zero, with room for the labels at the right."""
    ends = [end for row in rows for end in row[1:4] if not pd.isna(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    span = (high - low) or 1.0
    return low - 0.04 * span, high + 0.17 * span


def _draw_bar(axis: Any, position: int, row: Row, reach: tuple[float, float]) -> None:
    _, value, low, high, style = row
    gap = 0.012 * (reach[1] - reach[0])
    if pd.isna(value):
        axis.text(gap, position, "undefined", va="center", fontsize=9, color=_INK)
        return
    if style == "control":
        axis.barh(
            position, value, height=0.66, facecolor="none", edgecolor=_GREY, hatch="////", lw=0.8
        )
    else:
        axis.barh(position, value, height=0.66, color=_COLOURS.get(style, _GREY), linewidth=0)
    if not pd.isna(low):
        axis.plot([low, high], [position, position], color=_INK, linewidth=1.2)
        for end in (low, high):
            axis.plot([end, end], [position - 0.14, position + 0.14], color=_INK, linewidth=1.2)
    right = max(end for end in (0.0, value, high) if not pd.isna(end))
    axis.text(right + gap, position, percent(value), va="center", fontsize=9, color=_INK)


def _dot(axis: Any, position: int, row: pd.Series, against: str) -> None:
    value = row[f"change_vs_{against}"]
    low, high = row[f"change_vs_{against}_low"], row[f"change_vs_{against}_high"]
    if pd.isna(value):
        axis.text(0, position, "undefined", va="center", fontsize=8, color=_INK)
        return
    colour = _COLOURS.get(row["source"] if row["selection"] == "best" else "", _GREY)
    if not pd.isna(low):
        axis.plot([low, high], [position, position], color=colour, linewidth=1.8)
    filled = colour if against == "control" else "none"
    axis.plot(
        [value],
        [position],
        marker="o",
        markersize=5,
        markerfacecolor=filled,
        markeredgecolor=colour,
        markeredgewidth=1.3,
    )


def _subplots(rows: int, columns: int, height: float, **options: Any) -> tuple[Any, Any]:
    # Only here: importing matplotlib takes longer than everything else in this module.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _style_axis(axis: Any, rows: int) -> None:
    axis.set_ylim(rows - 0.4, -0.6)
    axis.set_facecolor("none")
    axis.axvline(0, color=_INK, linewidth=0.9)
    axis.grid(axis="x", color=_GREY, alpha=0.3, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("left", "top", "right"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(_GREY)
    axis.tick_params(axis="y", length=0, labelsize=9, colors=_INK)
    axis.tick_params(axis="x", labelsize=8.5, colors=_INK, color=_GREY)


def percent(value: float) -> str:
    """A change in percent: signed, one decimal below 100, a true minus."""
    rounded = round(value, 1 if abs(value) < 99.95 else 0)
    sign = "+" if rounded > 0 else "\N{MINUS SIGN}" if rounded < 0 else ""
    digits = f"{abs(rounded):.1f}" if abs(rounded) < 100 else f"{abs(rounded):,.0f}"
    return f"{sign}{digits} %"


def _values(name: str, value: float, low: float, high: float) -> str:
    if pd.isna(value):
        return f"{name} undefined"
    interval = "" if pd.isna(low) else f" [{percent(low)} to {percent(high)}]"
    return f"{' '.join(name.split())} {percent(value)}{interval}"


def _sentence(name: str, row: Any, against: str) -> str:
    change = [getattr(row, f"change_vs_{against}{end}") for end in ("", "_low", "_high")]
    return f"{label(row.metric)}, {_values(name, *change)} against the {against}."


def _svg(figure: Any, name: str, title: str, description: str) -> str:
    """The figure as SVG text that can stand alone or be pasted into HTML beside others."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :].replace(_INK, "currentColor")
    # Ids are only unique within a figure, and a page holds several.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", _FONTS, svg)
    start = svg.index(">") + 1
    text = (
        f'\n <title id="{name}-title">{html.escape(title)}</title>'
        f'\n <desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    opening = svg[: start - 1] + f' role="img" aria-labelledby="{name}-title {name}-desc">'
    return opening + text + svg[start:]
