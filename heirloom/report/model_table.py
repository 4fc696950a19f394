"""The table of models by metrics for a reader, and as LaTeX that fits on pages."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.tables.models import ABOUT
from heirloom.profiling.labels import full_label
from heirloom.report.cells import MISSING, Cell, View
from heirloom.report.downloads import latex
from heirloom.report.names import student_label
from heirloom.report.wording import number
from heirloom.study.plan import Plan

#: Metrics per LaTeX table: more of them, with their intervals, do not fit on a page.
_METRICS = 4
_ENDS = ("_low", "_high", "_sd")


def model_view(plan: Plan, models: pd.DataFrame, profiles: pd.DataFrame) -> View:
    """Return models as rows and main metrics as columns, the best of each base's students marked.

    Args:
        plan: The study's plan.
        models: The table `models`.
        profiles: The table `profiles`, which states the better direction of each metric.
    """
    metrics = [c for c in models.columns if c not in ABOUT and not c.endswith(_ENDS)]
    better = _better(plan, profiles)
    best = {metric: _best(models, metric, better.get(metric, "")) for metric in metrics}
    headings = [("Model", False), *((full_label(*m.split(".", 1)), True) for m in metrics)]
    rows = []
    for index, row in enumerate(models.to_dict("records")):
        cells = [_value(row, metric, index in best[metric]) for metric in metrics]
        rows.append([Cell(_label(plan, row["model"], row["role"])), *cells])
    return View(headings, rows)


def model_latex(view: View, caption: Sequence[str], name: str) -> str:
    """Return the table as LaTeX: one table for every few metrics, each with all models.

    Args:
        view: Return value of `model_view`.
        caption: Its paragraphs, of which the first is printed.
        name: The label, after "tab:"; the tables after the first have a number behind it.
    """
    starts = range(1, max(len(view.headings), 2), _METRICS)
    panels = []
    for place, start in enumerate(starts, start=1):
        kept = slice(start, start + _METRICS)
        headings = [view.headings[0], *view.headings[kept]]
        panel = View(headings, [[row[0], *row[kept]] for row in view.rows])
        counted = f"{caption[0]} ({place} of {len(starts)})" if len(starts) > 1 else caption[0]
        label = name if place == 1 else f"{name}-{place}"
        text = latex(panel, [counted], label, compact=True)
        # The packages are named once.
        panels.append(text if place == 1 else text.partition("\n")[2])
    return "\n".join(panels)


def _better(plan: Plan, profiles: pd.DataFrame) -> dict[str, str]:
    """Metric to its better direction, "higher" or "lower"; that of an objective comes first."""
    names = profiles["benchmark"] + "." + profiles["metric"]
    stated = dict(zip(names, profiles["direction"], strict=True))
    directions = {"maximise": "higher", "minimise": "lower"}
    # Of objectives that are measured alike, the first.
    steered = {
        objective.measured_by: directions[objective.direction_of_leading]
        for objective in reversed(plan.objectives.values())
    }
    return stated | steered


def _best(models: pd.DataFrame, metric: str, better: str) -> set[int]:
    """Rows with the best value of each base and its students; none without a direction."""
    found: set[int] = set()
    if not better:
        return found
    for base in models.loc[models["role"] == "student", "base"].unique():
        values = models.loc[(models["base"] == base) | (models["model"] == base), metric].dropna()
        if values.nunique() > 1:
            extreme = values.max() if better == "higher" else values.min()
            found |= set(values.index[values == extreme])
    return found


def _value(row: Mapping[Hashable, Any], metric: str, best: bool) -> Cell:
    """Return a value with its interval, or with its standard deviation, in parentheses."""
    value, low, high = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return MISSING
    text, spread = number(value), row.get(f"{metric}_sd")
    if pd.notna(low):
        text += f" ({number(low)}, {number(high)})"
    elif spread is not None and pd.notna(spread):
        text += f" (\N{PLUS-MINUS SIGN}{number(spread)})"
    return Cell(text, float(value), best)


def _label(plan: Plan, model: str, role: str) -> str:
    """Return a row's name, with the role of a model that is no student."""
    if role == "student":
        return student_label(model, plan)
    return model if role == "other" else f"{model} ({role})"
