"""Tables of the report: the steered metrics, other studies, and any table as it is."""

from collections.abc import Collection
from typing import Any

import pandas as pd

from heirloom.analyse.effects import Reference
from heirloom.analyse.frames import rows_of, unique
from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.tables import TABLES
from heirloom.profiling.labels import full_label
from heirloom.report.cells import (
    MISSING,
    TRUNCATED,
    Cell,
    View,
    effect_cell,
    interval_cell,
    number_cell,
    p_cell,
    truncated_cell,
)
from heirloom.report.findings.noise import floor_of
from heirloom.report.names import student_label
from heirloom.report.published import compared_against, published_cell
from heirloom.report.wording import DASH, effect_value, interval, number, points, signed
from heirloom.study.plan import Plan

_REFERENCES: tuple[Reference, ...] = ("base", "control")
#: Tables of which the report shows the rows with a value in this column; the file holds all.
_SHOWN_WITH = {"inherited": "coefficient"}


def steered(
    plan: Plan,
    changes: pd.DataFrame,
    published: pd.DataFrame | None = None,
    floors: pd.DataFrame | None = None,
) -> View:
    """Return every student on the metrics that the objectives are measured by, with intervals.

    Args:
        plan: The study's plan.
        changes: The table `changes`.
        published: The table `published_numbers`, whose changes get a column next to this study's;
            None if there is none.
        floors: The table `noise_floor`; None in a study without second draws.
    """
    beside = compared_against(published)
    headings = _steered_headings(beside) + ([] if floors is None else [("Noise floor", True)])
    held = (
        {} if floors is None else {(r.student, r.benchmark, r.metric): r for r in rows_of(floors)}
    )
    rows = []

    def published_cells(row: Any, against: Reference) -> list[Cell]:
        return [published_cell(published, row, against)] if against in beside else []

    for measured in unique(o.measured_by for o in plan.objectives.values()):
        benchmark, metric = pair = tuple(measured.split(".", 1))
        of_metric = changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]
        for row in rows_of(of_metric):
            rows.append(
                [
                    Cell(student_label(row.student, plan)),
                    Cell(full_label(benchmark, metric)),
                    number_cell(row.n),
                    number_cell(row.base_value),
                    number_cell(row.student_value),
                    effect_cell(row, "base"),
                    *published_cells(row, "base"),
                    number_cell(row.n_vs_control) if row.control else MISSING,
                    effect_cell(row, "control"),
                    *published_cells(row, "control"),
                    p_cell(row.p_holm_vs_control),
                    truncated_cell(row),
                    *([] if floors is None else [_floor(held.get((row.student, *pair)))]),
                ]
            )
    return View(headings, rows)


def _steered_headings(beside: Collection[str]) -> list[tuple[str, bool]]:
    """Return the headings of `steered`, those of the noise floor apart."""
    return [
        ("Student", False),
        ("Metric", False),
        ("n", True),
        ("Base", True),
        ("Student value", True),
        ("Change against base", True),
        *_published_heading("base", beside),
        ("n against control", True),
        ("Change against control", True),
        *_published_heading("control", beside),
        ("p (Holm)", True),
        (TRUNCATED, False),
    ]


def _floor(row: Any) -> Cell:
    """Return the floor of a row of the table `noise_floor`, and if the effect exceeds it."""
    if row is None or pd.isna(row.floor):
        return MISSING
    found = floor_of(row)
    verdict = {"yes": ", exceeded", "no": ", not exceeded", "": ""}[row.exceeds]
    ends = interval(found.low, found.high, points if found.relative else signed)
    return Cell(f"{effect_value(found, found.value)}{ends}{verdict}", float(row.floor))


def _published_heading(against: Reference, beside: Collection[str]) -> list[tuple[str, bool]]:
    return [(f"Published against {against}", False)] if against in beside else []


def compared(plan: Plan, studies: pd.DataFrame) -> View:
    """Return students and their main metrics as rows, studies next to each other.

    Args:
        plan: This study's plan, which says what the main metrics are; steered ones come first.
        studies: The table `studies`.
    """
    names = unique(studies["study"])
    held = {(r.student, r.benchmark, r.metric, r.study): r for r in rows_of(studies)}
    measured = [tuple(o.measured_by.split(".", 1)) for o in plan.objectives.values()]
    main = main_metrics(plan, studies)
    shown = unique(pair for pair in [*measured, *main] if pair in main)
    headings = [("Student", False), ("Metric", False)]
    headings += [(f"{n}, against {a}", True) for n in names for a in _REFERENCES]

    def change(key: tuple[Any, ...], against: Reference) -> Cell:
        row = held.get(key)
        return MISSING if row is None else effect_cell(row, against)

    keys = [key for key in unique(key[:3] for key in held) if key[1:] in shown]
    rows = [
        [
            Cell(key[0]),
            Cell(full_label(key[1], key[2])),
            *(change((*key, name), against) for name in names for against in _REFERENCES),
        ]
        for key in sorted(keys, key=lambda key: shown.index(key[1:]))
    ]
    return View(headings, rows)


def shown_rows(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table that the report shows; all, if none has the value it needs."""
    if name not in _SHOWN_WITH:
        return table
    kept = table[table[_SHOWN_WITH[name]].notna()]
    return kept if len(kept) else table


def _in_percent_too(column: str, table: pd.DataFrame) -> bool:
    """Tell if a column holds differences of which the table has every one in percent."""
    percent = column.replace("difference_vs_", "change_vs_")
    if percent == column or percent not in table.columns:
        return False
    return bool((table[percent].notna() | table[column].isna()).all())


def any_table(name: str, table: pd.DataFrame) -> View:
    """Return any table, cell by cell; the columns X, X_low and X_high become one.

    Differences are left out where all of them are there in percent as well.
    """
    names = [str(column) for column in table.columns]
    columns = [
        name
        for name in names
        if not (name.endswith(("_low", "_high")) and name.rpartition("_")[0] in names)
        and not _in_percent_too(name, table)
    ]
    registered = TABLES.get(name)
    headings = [(registered.heading(c), not registered.is_text(c)) for c in columns]
    rows = []
    for record in table.to_dict("records"):
        row = []
        for column in columns:
            if registered.is_text(column):
                row.append(Cell(str(record[column]) or DASH))
            elif f"{column}_low" in record and f"{column}_high" in record:
                ends = (record[f"{column}_low"], record[f"{column}_high"])
                text_of = signed if column == "difference" else number
                row.append(interval_cell(record[column], *ends, text=text_of))
            else:
                row.append(number_cell(record[column]))
        rows.append(row)
    return View(headings, rows)
