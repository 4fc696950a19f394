"""The figures of a study, as SVG text: the changes table and the plan in, one figure out.

Every figure works in light and dark: its background is transparent and text, axes and error bars
take the colour of the text around them (currentColor). Two colours of the Okabe-Ito palette that
stay apart for colour-blind readers tell single-source from multi-source; labels and hatching say
the same without colour. Equal input gives equal bytes.
"""

import html
import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from heirloom.contents import figure_names
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
_MINUS = "\N{MINUS SIGN}"

_LABELS = {
    "mtld": "Lexical diversity (MTLD)",
    "emt": "Expected maximum toxicity",
    "lms": "Language modelling score",
    "ss": "Stereotype score",
    "icat": "ICAT",
    "bias_ambiguous": "Bias, ambiguous contexts",
    "bias_disambiguated": "Bias, disambiguated contexts",
    "ece": "Calibration error (ECE)",
    "ece_1bin": "Calibration error (ECE, 1 bin)",
    "acc": "Accuracy",
    "acc_norm": "Accuracy (length-normalised)",
    "p_value": "p value",
    "mean_abs_effect_size": "Mean absolute effect size",
}
_BENCHMARKS = {
    "stereoset": "StereoSet",
    "crows_pairs": "CrowS-Pairs",
    "seat": "SEAT",
    "bbq": "BBQ",
    "general": "General abilities",
}
#: Benchmarks whose metrics need no benchmark beside their name.
STYLE = ("text", "toxicity")
#: Panels of figure 6: so many main metrics of a benchmark, or two.
_PANELS = {"text": 4}


class Row(NamedTuple):
    """One bar or dot with its 95 % interval; `relative`: in percent, else in the metric's unit."""

    name: str
    value: float
    low: float
    high: float
    style: str  # "single", "multi", "control" or "passive"
    relative: bool

    def text(self, value: float) -> str:
        """A value as it is written beside the bar."""
        return percent(value) if self.relative else signed(value)


def label(metric: str) -> str:
    """A metric's name for a reader: "Calibration error (ECE), hellaswag"."""
    name, _, category = metric.partition(".")
    text = _LABELS.get(name, name.replace("_", " ").capitalize())
    return f"{text}, {category.replace('_', ' ')}" if category else text


def short_unit(unit: str) -> str:
    """A unit without its range: "percent" of "percent, -100 to 100"."""
    return unit.partition(",")[0]


def benchmark_label(benchmark: str) -> str:
    """A benchmark's name for a reader."""
    return _BENCHMARKS.get(benchmark, benchmark.replace("_", " ").capitalize())


def full_label(benchmark: str, metric: str) -> str:
    """`label` with the benchmark before it, where the metric alone does not say which it is."""
    text = label(metric)
    if benchmark in STYLE:
        return text
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return f"{benchmark_label(benchmark)}: {text}"


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

    One panel per objective, change of the metric it is measured by against the base, for the
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
        panels.append((f"{full_label(benchmark, metric)} ({objective['direction']})", rows))
    panels = panels or [("No students", [])]
    figure, grid = _grid(_bar_heights(panels), 1)
    for line, (heading, rows) in enumerate(panels):
        axis = figure.add_subplot(grid[line, 0])
        _bar_panel(axis, heading, rows, _reach(rows))
        axis.set_xlabel(_against_base(_is_relative(of_panel=rows)), fontsize=9, color=_INK)
    return _svg(
        figure,
        "figure1",
        "Change of each objective's metric against the base model",
        _described(panels),
    )


def figure2(changes: pd.DataFrame, plan: Record) -> str:
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
    heights = _bar_heights(shown) + [0.85 + 0.22 * len(groups)] * lines
    figure, grid = _grid(heights, columns, foot=0.3 if names else 0.0)
    reach = _reach([row for _, rows in bars for row in rows])
    for line, (heading, rows) in enumerate(shown):
        axis = figure.add_subplot(grid[line, :])
        _bar_panel(axis, heading, rows, reach)
        if line < len(shown) - 1:
            axis.tick_params(labelbottom=False)
        else:
            axis.set_xlabel(_against_base(relative=True), fontsize=9, color=_INK)
    sentences = []
    for index, name in enumerate(names):
        axis = figure.add_subplot(grid[len(shown) + index // columns, index % columns])
        _dot_panel(axis, f"BBQ bias\n{student_label(name, plan)}", len(groups))
        axis.set_yticks(range(len(groups)), groups if index % columns == 0 else [])
        axis.set_xlabel("difference to the base", fontsize=8.5, color=_INK)
        for row in rows_of(bias[bias["student"] == name]):
            ambiguous = row.metric.startswith("bias_ambiguous")
            dot = _row(row, "base", student_label(name, plan))
            position = groups.index(_category(row.metric)) + (-0.16 if ambiguous else 0.16)
            _dot(axis, position, dot, _COLOURS["multi" if ambiguous else "single"], ambiguous)
            sentences.append(f"{full_label('bbq', row.metric)}: {_values(dot)}.")
    if names:
        _foot(figure, "BBQ:  ● ambiguous contexts   ○ disambiguated contexts;  95 % intervals")
    return _svg(
        figure,
        "figure2",
        "Change of the profile of passively trained students against the base",
        " ".join([_described(bars), *sentences]),
    )


def figure6(changes: pd.DataFrame, plan: Record) -> str:
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
    figure, grid = _grid([0.95 + 0.2 * len(names)] * max(1, len(lines)), columns, foot=0.35)
    sentences = []
    for line, pairs in enumerate(lines):
        for column, (benchmark, metric) in enumerate(pairs):
            of_metric = _of_metric(changes, benchmark, metric)
            axis = figure.add_subplot(grid[line, column])
            _dot_panel(axis, full_label(benchmark, metric), len(names))
            unit = (
                "% change"
                if _is_relative(of_metric)
                else f"difference, {short_unit(of_metric['unit'].iloc[0])}"
            )
            axis.set_xlabel(unit, fontsize=8.5, color=_INK)
            axis.set_yticks(
                range(len(names)),
                [student_label(name, plan) for name in names] if column == 0 else [],
            )
            for row in rows_of(of_metric):
                position = names.index(row.student)
                against = "control" if row.control else "base"
                dot = _row(row, against, student_label(row.student, plan))
                colour = _COLOURS.get(row.source if row.selection == "best" else "", _GREY)
                _dot(axis, position, dot, colour, against == "control")
                if _measures(row.student, plan, benchmark, metric):
                    ends = (position - 0.5, position + 0.5)
                    axis.axhspan(*ends, color=_GREY, alpha=0.16, linewidth=0)
                sentences.append(
                    f"{full_label(benchmark, metric)}, {_values(dot)} against the {against}."
                )
    _foot(
        figure,
        "● against the random control   ○ against the base (no control)   "
        "shaded: the metric this student was steered for",
    )
    return _svg(
        figure,
        "figure6",
        "Side effects: change of the main metrics of every student",
        f"{len(metrics)} panels with one dot and 95 % interval per student. " + " ".join(sentences),
    )


def _side_effects(changes: pd.DataFrame, plan: Record) -> list[tuple[str, str]]:
    """The metrics of figure 6: the first main ones of every benchmark, and what was steered."""
    steered = {objective["measured_by"] for objective in plan["objectives"].values()}
    chosen: list[tuple[str, str]] = []
    for benchmark, metric in main_metrics(plan, changes):
        taken = sum(pair[0] == benchmark for pair in chosen)
        if taken < _PANELS.get(benchmark, 2) or f"{benchmark}.{metric}" in steered:
            chosen.append((benchmark, metric))
    return chosen


def reliability(bins: pd.DataFrame, plan: Record) -> str:
    """How often answers of a given confidence are right, per data set and model.

    Small multiples: the models that are not students, then the steered students (every student of a
    study that steers none), each over its base in grey. On the diagonal confidence is accuracy.
    """
    models = plan["models"]
    trained = [name for name, model in models.items() if model["role"] == "student"]
    steered = [
        name for name in trained if plan["datasets"][models[name]["dataset"]]["selection"] == "best"
    ]
    names = [name for name in models if name not in trained] + (steered or trained)
    columns = 4
    data_sets = list(dict.fromkeys(bins["data_set"]))
    lines = -(-len(names) // columns)
    figure, grid = _grid([2.1] * max(1, lines * len(data_sets)), columns, foot=0.35)
    sentences = []
    for part, data_set in enumerate(data_sets):
        of_data = bins[bins["data_set"] == data_set]
        ends = [of_data["confidence"].min(), of_data["confidence"].max()]
        margin = 0.06 * ((ends[1] - ends[0]) or 1.0)
        for index, name in enumerate(names):
            axis = figure.add_subplot(grid[part * lines + index // columns, index % columns])
            title = student_label(name, plan) if name in trained else name
            axis.set_title(f"{data_set}\n{title}", loc="left", fontsize=9, color=_INK)
            _style_square(axis)
            axis.set_xlim(ends[0] - margin, ends[1] + margin)
            axis.set_ylim(0, min(1.0, 1.04 * of_data["accuracy_high"].max()))
            axis.axline((0, 0), slope=1, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
            base = of_data[of_data["model"] == (models[name]["base"] or "")]
            axis.plot(base["confidence"], base["accuracy"], color=_GREY, linewidth=1.4)
            own = of_data[of_data["model"] == name]
            colour = _COLOURS["multi" if name in trained else "single"]
            axis.plot(own["confidence"], own["accuracy"], color=colour, linewidth=1.2)
            axis.vlines(
                own["confidence"], own["accuracy_low"], own["accuracy_high"], colour, linewidth=1.0
            )
            axis.plot(own["confidence"], own["accuracy"], "o", color=colour, markersize=4)
            axis.set_xlabel("confidence", fontsize=8.5, color=_INK)
            if index % columns == 0:
                axis.set_ylabel("accuracy", fontsize=8.5, color=_INK)
            points = "; ".join(f"{row.confidence:.2f} {row.accuracy:.2f}" for row in rows_of(own))
            sentences.append(f"{data_set}, {title}, confidence and accuracy: {points}.")
    _foot(figure, "dashed: confidence is accuracy   grey: the base of the student   95 % intervals")
    return _svg(
        figure,
        "reliability",
        "Reliability: accuracy of answers by their confidence",
        " ".join(sentences),
    )


_Tables = Mapping[str, pd.DataFrame]
FIGURES: Mapping[str, Callable[[_Tables, Record], str]] = {
    "figure1": lambda tables, plan: figure1(tables["changes"], plan),
    "figure2": lambda tables, plan: figure2(tables["changes"], plan),
    "figure6": lambda tables, plan: figure6(tables["changes"], plan),
    "reliability": lambda tables, plan: reliability(tables["calibration_bins"], plan),
}


def write_all(results: str | Path, tables: str | Path, out: str | Path) -> None:
    """Draw the study's figures from the tables in `tables`, as `out`/<figure>.svg."""
    plan = read_json(Path(results) / "plan.json")
    read = read_all(tables, plan)
    for name in figure_names(plan):
        write_text(Path(out) / f"{name}.svg", FIGURES[name](read, plan))


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


def _row(row: Any, against: str, name: str, style: str = "") -> Row:
    """A row of the changes table against "base" or "control": in percent where that says much."""
    kind = "change" if row.relative == "yes" else "difference"
    value, low, high = (getattr(row, f"{kind}_vs_{against}{e}") for e in ("", "_low", "_high"))
    return Row(name, value, low, high, style, row.relative == "yes")


def _bar(name: str, row: Any, style: str) -> Row:
    return _row(row, "base", name, style or "passive")


def _is_relative(table: pd.DataFrame | None = None, *, of_panel: Sequence[Row] = ()) -> bool:
    """Whether the rows of one metric are in percent."""
    if table is not None:
        return bool((table["relative"] == "yes").all())
    return all(row.relative for row in of_panel)


def _category(metric: str) -> str:
    return metric.partition(".")[2].replace("_", " ") or "all"


def _against_base(relative: bool) -> str:
    return ("% change" if relative else "difference") + " against the base, 95 % interval"


def _bar_heights(panels: Sequence[tuple[str, list[Row]]]) -> list[float]:
    return [0.72 + _ROW * max(1, len(rows)) for _, rows in panels]


def _grid(heights: Sequence[float], columns: int, *, foot: float = 0.0) -> tuple[Any, Any]:
    """A figure of lines so high, in inches, and its grid; `foot` is left free at the bottom."""
    # Only here: importing matplotlib takes longer than everything else in this module.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = sum(heights) + foot
    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    figure.set_layout_engine(
        "constrained", h_pad=0.07, w_pad=0.05, rect=(0, foot / height, 1, 1 - foot / height)
    )
    return figure, figure.add_gridspec(len(heights), columns, height_ratios=list(heights))


def _foot(figure: Any, text: str) -> None:
    figure.text(0.01, 0.1 / figure.get_figheight(), text, fontsize=8.5, color=_INK)


def _reach(rows: Sequence[Row]) -> tuple[float, float]:
    """Limits that hold every interval and zero, with room for the labels at the right."""
    ends = [end for row in rows for end in row[1:4] if not pd.isna(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    span = (high - low) or 1.0
    return low - 0.04 * span, high + 0.17 * span


def _bar_panel(axis: Any, heading: str, rows: Sequence[Row], reach: tuple[float, float]) -> None:
    """Horizontal bars, one under the other."""
    axis.set_title(heading, loc="left", fontsize=10, fontweight="bold", color=_INK)
    _style_axis(axis, max(1, len(rows)))
    axis.set_yticks(range(len(rows)), [row.name for row in rows])
    axis.set_xlim(*reach)
    for position, row in enumerate(rows):
        _draw_bar(axis, position, row, reach)


def _draw_bar(axis: Any, position: int, row: Row, reach: tuple[float, float]) -> None:
    _, value, low, high, style, _ = row
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
    axis.text(right + gap, position, row.text(value), va="center", fontsize=9, color=_INK)


def _dot_panel(axis: Any, heading: str, rows: int) -> None:
    """An empty panel of dots around zero, few ticks: it may be narrow."""
    axis.set_title(_wrapped(heading), loc="left", fontsize=9, fontweight="bold", color=_INK)
    _style_axis(axis, rows)
    axis.locator_params(axis="x", nbins=4)
    axis.margins(x=0.08)


def _wrapped(heading: str, width: int = 20) -> str:
    return "\n".join(line for part in heading.split("\n") for line in textwrap.wrap(part, width))


def _dot(axis: Any, position: float, row: Row, colour: str, filled: bool) -> None:
    _, value, low, high, _, _ = row
    if pd.isna(value):
        axis.text(0, position, "undefined", va="center", fontsize=8, color=_INK)
        return
    if not pd.isna(low):
        axis.plot([low, high], [position, position], color=colour, linewidth=1.8)
    axis.plot(
        [value],
        [position],
        marker="o",
        markersize=5,
        markerfacecolor=colour if filled else "none",
        markeredgecolor=colour,
        markeredgewidth=1.3,
    )


def _style_axis(axis: Any, rows: int) -> None:
    axis.set_ylim(rows - 0.4, -0.6)
    axis.axvline(0, color=_INK, linewidth=0.9)
    axis.grid(axis="x", color=_GREY, alpha=0.3, linewidth=0.6)
    axis.tick_params(axis="y", length=0, labelsize=9, colors=_INK)
    axis.tick_params(axis="x", labelsize=8.5, colors=_INK, color=_GREY)
    _style_frame(axis, "bottom")


def _style_square(axis: Any) -> None:
    axis.grid(color=_GREY, alpha=0.3, linewidth=0.6)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=8.5, colors=_INK, color=_GREY)
    _style_frame(axis, "bottom", "left")


def _style_frame(axis: Any, *kept: str) -> None:
    axis.set_facecolor("none")
    axis.set_axisbelow(True)
    for side in ("left", "top", "right", "bottom"):
        axis.spines[side].set_visible(side in kept)
        axis.spines[side].set_color(_GREY)


def percent(value: float) -> str:
    """A change in percent: signed, one decimal below 100, a true minus."""
    rounded = round(value, 1 if abs(value) < 99.95 else 0)
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else ""
    digits = f"{abs(rounded):.1f}" if abs(rounded) < 100 else f"{abs(rounded):,.0f}"
    return f"{sign}{digits} %"


def number(value: float | None) -> str:
    """Three significant digits, thousands separated, a true minus; a dash for what is missing."""
    if value is None or pd.isna(value):
        return "\u2013"
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}".replace("-", _MINUS)
    if abs(value) >= 1:
        return f"{value:.3g}".replace("-", _MINUS)
    return f"{value:.3f}".replace("-", _MINUS)


def signed(value: float) -> str:
    """`number` with a plus where it is positive."""
    return ("+" if value > 0 else "") + number(value if abs(value) < 1 else round(value, 1))


def _values(row: Row) -> str:
    name = " ".join(row.name.split())
    if pd.isna(row.value):
        return f"{name} undefined"
    ends = "" if pd.isna(row.low) else f" [{row.text(row.low)} to {row.text(row.high)}]"
    return f"{name} {row.text(row.value)}{ends}"


def _described(panels: Sequence[tuple[str, list[Row]]]) -> str:
    return " ".join(
        f"{heading}: " + "; ".join(_values(row) for row in rows) + "." for heading, rows in panels
    )


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
