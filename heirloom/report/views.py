"""Tables as a reader sees them: intervals beside their values, students beside their bases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import pandas as pd

from heirloom import profiling
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.tables import TABLES
from heirloom.report.findings import p_value, points, resolution
from heirloom.report.labels import benchmark_label, full_label, label, number, signed, student_label
from heirloom.study.plan import Plan

_DASH = "\u2013"


@dataclass(frozen=True)
class Cell:
    """What a table cell shows, and the number it sorts by (None: by its text)."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class View:
    """A table ready to be printed: headings with whether they are numbers, and rows of cells."""

    headings: list[tuple[str, bool]]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Section:
    """What the report shows of one benchmark.

    Attributes:
        id: for links.
        title: its name for a reader.
        summary: what it is, "" if its module is not there any more.
        resolution: what its subset can resolve, "" without students.
        main: models as rows, main metrics as columns.
        details: every metric of every model.
    """

    id: str
    title: str
    summary: str
    resolution: str
    main: View
    details: View


_Changes = Mapping[tuple[str, str, str], Any]
_Held = Mapping[tuple[str, str, str], Any]


def steered(plan: Plan, changes: pd.DataFrame) -> View:
    """Every student on the metrics that the objectives are measured by, with intervals."""
    headings = [
        ("Student", False),
        ("Metric", False),
        ("n", True),
        ("Base", True),
        ("Student value", True),
        ("Change vs base", True),
        ("n vs control", True),
        ("Change vs control", True),
        ("p (Holm)", True),
    ]
    rows = []
    for measured in unique(o.measured_by for o in plan.objectives.values()):
        benchmark, metric = measured.split(".", 1)
        of_metric = changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]
        for row in rows_of(of_metric):
            rows.append(
                [
                    Cell(student_label(row.student, plan)),
                    Cell(full_label(benchmark, metric)),
                    _cell(row.n),
                    _cell(row.base_value),
                    _cell(row.student_value),
                    _versus(row, "base"),
                    _cell(row.n_vs_control) if row.control else Cell(_DASH),
                    _versus(row, "control"),
                    _p(row.p_holm_vs_control),
                ]
            )
    return View(headings, rows)


def sections(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """One section a benchmark, in the plan's order."""
    profiles, changes = tables["profiles"], tables["changes"]
    pairs = main_metrics(plan, profiles)
    resolved = resolution(changes, pairs)
    summaries = {benchmark.name: benchmark.summary for benchmark in profiling.BENCHMARKS}
    versus = {(row.student, row.benchmark, row.metric): row for row in rows_of(changes)}
    held = {(row.model, row.benchmark, row.metric): row for row in rows_of(profiles)}
    return [
        Section(
            f"benchmark-{name.replace('_', '-')}",
            benchmark_label(name),
            summaries.get(name, ""),
            resolved.get(name, ""),
            _levels(plan, name, pairs, held, versus),
            _details(plan, name, held, versus),
        )
        for name in plan.benchmarks
    ]


def _rows(plan: Plan) -> dict[str, list[str]]:
    """What has a row of its own to the models that it stands for: a student to its seeds."""
    pooled = plan.students_by_seed
    others = [name for name, model in plan.models.items() if model.role != "student"]
    return {name: [name] for name in others} | pooled


def _levels(
    plan: Plan,
    benchmark: str,
    pairs: Sequence[tuple[str, str]],
    held: _Held,
    versus: _Changes,
) -> View:
    """Models as rows; of every main metric the value and the paired change against the base."""
    metrics = [m for b, m in pairs if b == benchmark and any(k[1:] == (b, m) for k in held)]
    compared = {key[2] for key in versus if key[1] == benchmark}
    headings = [("Model", False), ("n", True)]
    for metric in metrics:
        headings.append((label(metric), True))
        if metric in compared:
            percent = any(
                row.relative == "yes"
                for key, row in versus.items()
                if key[1:] == (benchmark, metric)
            )
            headings.append((f"vs base, {'%' if percent else 'difference'}", True))
    rows = []
    for name, models in _rows(plan).items():
        found = {m: _found(held, models, benchmark, m) for m in metrics}
        if not any(found.values()):
            if plan.config.get("models", {}).get(name, {}).get("endpoint"):
                blank = [Cell(_DASH)] * (len(headings) - 2)
                rows.append([Cell(_label(name, models, plan)), Cell("not applicable"), *blank])
            continue
        n = max(row.n for own in found.values() for row in own)
        cells = [Cell(_label(name, models, plan)), _cell(n)]
        for metric in metrics:
            cells.append(_value(found[metric]))
            if metric in compared:
                change = versus.get((name, benchmark, metric))
                cells.append(Cell(_DASH) if change is None else _versus(change, "base"))
        rows.append(cells)
    return View(headings, rows)


def _details(plan: Plan, benchmark: str, held: _Held, versus: _Changes) -> View:
    """One row per metric and model: value, and how students differ from base and control."""
    headings = [
        ("Metric", False),
        ("Model", False),
        ("Unit", False),
        ("n", True),
        ("Missing", True),
        ("Value", True),
    ]
    metrics = unique(key[2] for key in held if key[1] == benchmark)
    changed = any(key[1] == benchmark for key in versus)
    if changed:
        headings += [("vs base", True), ("vs control", True)]
    rows = []
    for metric in metrics:
        for name, models in _rows(plan).items():
            found = _found(held, models, benchmark, metric)
            if not found:
                continue
            cells = [
                Cell(label(metric)),
                Cell(_label(name, models, plan)),
                Cell(found[0].unit),
                _cell(max(row.n for row in found)),
                _cell(max(row.n_missing for row in found)),
                _value(found),
            ]
            if changed:
                change = versus.get((name, benchmark, metric))
                cells += [
                    Cell(_DASH) if change is None else _versus(change, against)
                    for against in ("base", "control")
                ]
            rows.append(cells)
    return View(headings, rows)


def _found(held: _Held, models: Sequence[str], benchmark: str, metric: str) -> list[Any]:
    return [row for m in models if (row := held.get((m, benchmark, metric))) is not None]


def _value(rows: Sequence[Any]) -> Cell:
    """The value of one model with its interval, or the mean over a student's seeds."""
    if len(rows) == 1:
        return _with_interval(rows[0].value, rows[0].low, rows[0].high, text=number)
    values = [row.value for row in rows if pd.notna(row.value)]
    return _cell(mean(values)) if values else Cell(_DASH)


def _label(name: str, models: Sequence[str], plan: Plan) -> str:
    role = plan.models[models[0]].role
    if role == "student":
        return student_label(name, plan)
    return name if role == "other" else f"{name} ({role})"


def _versus(row: Any, against: str) -> Cell:
    """The paired change of a row of the changes table: in percent, or the difference."""
    relative = row.relative == "yes"
    kind = "change" if relative else "difference"
    value, low, high = (getattr(row, f"{kind}_vs_{against}{end}") for end in ("", "_low", "_high"))
    if not relative:
        return _with_interval(value, low, high, text=signed)
    cell = _with_interval(value, low, high, text=points)
    return cell if cell.number is None else Cell(f"{cell.text} %", cell.number)


def compared(plan: Plan, studies: pd.DataFrame) -> View:
    """Students and their main metrics as rows, steered ones first, studies beside each other.

    Args:
        plan: this study's plan, which says what the main metrics are.
        studies: the table `studies`.
    """
    names = unique(studies["study"])
    held = {(r.student, r.benchmark, r.metric, r.study): r for r in rows_of(studies)}
    measured = [tuple(o.measured_by.split(".", 1)) for o in plan.objectives.values()]
    main = main_metrics(plan, studies)
    shown = unique(pair for pair in [*measured, *main] if pair in main)
    headings = [("Student", False), ("Metric", False)]
    headings += [(f"{n}, vs {a}", True) for n in names for a in ("base", "control")]
    rows = []
    keys = unique(key[:3] for key in held)
    for student, benchmark, metric in sorted(
        (key for key in keys if key[1:] in shown), key=lambda key: shown.index(key[1:])
    ):
        cells = [Cell(student), Cell(full_label(benchmark, metric))]
        for name in names:
            row = held.get((student, benchmark, metric, name))
            cells += [
                Cell(_DASH) if row is None else _versus(row, against)
                for against in ("base", "control")
            ]
        rows.append(cells)
    return View(headings, rows)


def any_table(name: str, table: pd.DataFrame) -> View:
    """Any table, cell by cell; the columns X, X_low and X_high become one."""
    names = [str(column) for column in table.columns]
    columns = [
        name
        for name in names
        if not (name.endswith(("_low", "_high")) and name.rpartition("_")[0] in names)
    ]
    registered = TABLES.get(name)
    headings = [(registered.heading(c), not registered.is_text(c)) for c in columns]
    rows = []
    for record in table.to_dict("records"):
        row = []
        for column in columns:
            if registered.is_text(column):
                row.append(Cell(str(record[column]) or _DASH))
            elif f"{column}_low" in record and f"{column}_high" in record:
                ends = (record[f"{column}_low"], record[f"{column}_high"])
                text_of = signed if column == "difference" else number
                row.append(_with_interval(record[column], *ends, text=text_of))
            else:
                row.append(_cell(record[column]))
        rows.append(row)
    return View(headings, rows)


def _with_interval(value: float, low: float, high: float, *, text: Callable[[float], str]) -> Cell:
    """A value and its interval in one cell that sorts by the value; `text` formats all three."""
    if pd.isna(value):
        return Cell(_DASH)
    interval = "" if pd.isna(low) else f" [{text(low)}, {text(high)}]"
    return Cell(text(value) + interval, float(value))


def _p(value: float) -> Cell:
    """A p value: "0.012", "< 0.001"."""
    if pd.isna(value):
        return Cell(_DASH)
    return Cell(p_value(value).removeprefix("p ").removeprefix("= "), float(value))


def _cell(value: Any) -> Cell:
    return Cell(_DASH) if pd.isna(value) else Cell(number(value), float(value))
