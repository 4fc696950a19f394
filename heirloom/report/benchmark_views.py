"""Tables of each benchmark: models as rows, students next to their bases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

import pandas as pd

from heirloom.analyse.effects import Reference, effect
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.same_scorer import by_other_scorers, selected_by
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.labels import benchmark_label, label
from heirloom.report.cells import (
    MISSING,
    TRUNCATED,
    Cell,
    View,
    effect_cell,
    interval_cell,
    number_cell,
    truncated_cell,
)
from heirloom.report.findings.benchmarks import resolution
from heirloom.report.findings.overlap import overlap_sentence
from heirloom.report.names import student_label
from heirloom.report.wording import number
from heirloom.study.plan import Plan

_REFERENCES: tuple[Reference, ...] = ("base", "control")


@dataclass(frozen=True)
class Section:
    """The part of the report about one benchmark.

    Attributes:
        id: Its target for links.
        title: The benchmark's name for a reader.
        summary: The measured quantity in one line; "" if the benchmark is no longer registered.
        resolution: Sentence on the difference that its examples can resolve; "" without students.
        overlap: Sentence on its items that are in training sets; "" where nobody looked.
        main: Models as rows, main metrics as columns.
        details: Every metric of every model.
    """

    id: str
    title: str
    summary: str
    resolution: str
    overlap: str
    main: View
    details: View


def sections(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """Return one section per benchmark, in the plan's order.

    Args:
        plan: The study's plan.
        tables: Tables by name: `profiles`, `changes` and, if it is there, `overlap`.
    """
    pairs = main_metrics(plan, tables["profiles"])
    resolved = resolution(tables["changes"], pairs)
    found = []
    for name in plan.benchmarks:
        measured = _Measured(plan, name, tables["profiles"], tables["changes"])
        main = [metric for benchmark, metric in pairs if benchmark == name]
        found.append(
            Section(
                f"benchmark-{name.replace('_', '-')}",
                benchmark_label(name),
                BENCHMARKS.get(name).summary if name in BENCHMARKS else "",
                resolved.get(name, ""),
                overlap_sentence(tables["overlap"], name) if "overlap" in tables else "",
                _levels(measured, main),
                _details(measured),
            )
        )
    return found


@dataclass(frozen=True)
class _Measured:
    """Everything that one benchmark measured."""

    plan: Plan
    benchmark: str
    profiles: pd.DataFrame
    changes: pd.DataFrame

    @cached_property
    def values(self) -> dict[tuple[str, str], Any]:
        """Model and metric to the row of the table of profiles."""
        own = self.profiles[self.profiles["benchmark"] == self.benchmark]
        return {(row.model, row.metric): row for row in rows_of(own)}

    @cached_property
    def versus(self) -> dict[tuple[str, str], Any]:
        """Student, without its seed, and metric to the row of the table of changes."""
        own = self.changes[self.changes["benchmark"] == self.benchmark]
        return {(row.student, row.metric): row for row in rows_of(own)}

    @cached_property
    def models(self) -> dict[str, list[str]]:
        """Rows of a table to the models that they stand for: a student to its seeds."""
        others = [name for name, model in self.plan.models.items() if model.role != "student"]
        return {name: [name] for name in others} | self.plan.students_by_seed

    @property
    def metrics(self) -> list[str]:
        """All metrics, in the order of the table of profiles."""
        return unique(metric for _, metric in self.values)

    @cached_property
    def truncation(self) -> str:
        """The metric that is the share of truncated answers; "" where there is none."""
        known = BENCHMARKS.get(self.benchmark) if self.benchmark in BENCHMARKS else None
        return known.truncated if known and known.truncated in self.metrics else ""

    def found(self, name: str, metric: str) -> list[Any]:
        """Return the values of a row's models, one per seed that has one."""
        keys = [(model, metric) for model in self.models[name]]
        return [self.values[key] for key in keys if key in self.values]

    def change(self, name: str, metric: str, against: Reference) -> Cell:
        """Return the effect on a row's student as a cell."""
        row = self.versus.get((name, metric))
        return MISSING if row is None else effect_cell(row, against)

    def label(self, name: str) -> str:
        """Return a row's name for a reader, with the role of a model that is no student."""
        role = self.plan.models[self.models[name][0]].role
        if role == "student":
            return student_label(name, self.plan)
        return name if role == "other" else f"{name} ({role})"


def _levels(measured: _Measured, main: Sequence[str]) -> View:
    """Models as rows; of every main metric the value and the paired change against the base."""
    metrics = [metric for metric in main if metric in measured.metrics]
    compared = {metric for _, metric in measured.versus}
    headings = [("Model", False), ("n", True)]
    for metric in metrics:
        headings.append((_named(measured, metric), True))
        if metric in compared:
            headings.append((f"against base{_units(measured, metric)}", True))
    if measured.truncation:
        headings.append(("Truncated answers, %", True))
    rows = []
    for name in measured.models:
        found = {metric: measured.found(name, metric) for metric in metrics}
        if not any(found.values()):
            if name in measured.plan.study.models and measured.plan.study.models[name].endpoint:
                blank = [MISSING] * (len(headings) - 2)
                rows.append([Cell(measured.label(name)), Cell("not applicable"), *blank])
            continue
        n = max(row.n for own in found.values() for row in own)
        cells = [Cell(measured.label(name)), number_cell(n)]
        for metric in metrics:
            cells.append(_value(found[metric]))
            if metric in compared:
                cells.append(measured.change(name, metric, "base"))
        if measured.truncation:
            shares = [row.value for row in measured.found(name, measured.truncation)]
            cells.append(number_cell(round(100 * mean(shares))) if shares else MISSING)
        rows.append(cells)
    return View(headings, rows)


def _named(measured: _Measured, metric: str) -> str:
    """Label of a metric; of several scorers of one number, those that selected are marked."""
    plan, benchmark = measured.plan, measured.benchmark
    selected = any(
        by_other_scorers(plan, objective) and selected_by(plan, objective, benchmark, metric)
        for objective in plan.objectives
    )
    return label(benchmark, metric) + (" (scorer that selected)" if selected else "")


def _units(measured: _Measured, metric: str) -> str:
    """Return what a column of effects is in; "" where its cells say so, because they differ."""
    rows = [row for (_, name), row in measured.versus.items() if name == metric]
    kinds = {effect(row, "base").relative for row in rows}
    if len(kinds) > 1:
        return ""
    return ", %" if True in kinds else ", difference"


def _details(measured: _Measured) -> View:
    """One row per metric and model: value, and how students differ from base and control."""
    headings = [
        ("Metric", False),
        ("Model", False),
        ("Unit", False),
        ("n", True),
        ("Missing", True),
        ("Value", True),
    ]
    truncates = bool(measured.truncation) and bool(measured.versus)
    if measured.versus:
        headings += [(f"against {against}", True) for against in _REFERENCES]
    if truncates:
        headings.append((TRUNCATED, False))
    rows = []
    for metric in measured.metrics:
        for name in measured.models:
            found = measured.found(name, metric)
            if not found:
                continue
            cells = [
                Cell(_named(measured, metric)),
                Cell(measured.label(name)),
                Cell(found[0].unit),
                number_cell(max(row.n for row in found)),
                number_cell(max(row.n_missing for row in found)),
                _value(found),
            ]
            if measured.versus:
                cells += [measured.change(name, metric, against) for against in _REFERENCES]
            if truncates:
                row = measured.versus.get((name, metric))
                cells.append(MISSING if row is None else truncated_cell(row))
            rows.append(cells)
    return View(headings, rows)


def _value(rows: Sequence[Any]) -> Cell:
    """The value of one model with its interval, or the mean over a student's seeds."""
    if len(rows) == 1:
        return interval_cell(rows[0].value, rows[0].low, rows[0].high, text=number)
    values = [row.value for row in rows if pd.notna(row.value)]
    return number_cell(mean(values)) if values else MISSING
