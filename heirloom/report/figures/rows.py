"""Rows of the table of changes as bars and dots."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from heirloom.analyse.effects import Effect, Reference, difference, effect
from heirloom.analyse.frames import rows_of
from heirloom.report.wording import effect_value
from heirloom.study.plan import Plan


@dataclass(frozen=True)
class Row:
    """One bar or dot with its 95 % interval.

    Attributes:
        name: Name for a reader.
        effect: Effect to draw.
        difference: The same in the unit of the metric.
        style: "own", "other", "pool", "control" or "passive".
    """

    name: str
    effect: Effect
    difference: Effect
    style: str = ""

    def text(self, value: float) -> str:
        """Return a value as it is written next to the bar."""
        return effect_value(self.effect, value)


def row_of(row: Any, against: Reference, name: str, style: str = "") -> Row:
    """Return a row of the table of changes as a bar or dot."""
    return Row(name, effect(row, against), difference(row, against), style)


def in_one_unit(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one panel in percent if all can be, otherwise all as differences.

    They share an axis.
    """
    if is_relative(rows):
        return list(rows)
    return [replace(row, effect=row.difference) for row in rows]


def is_relative(rows: Iterable[Row]) -> bool:
    """Return True if the effects of all rows are in percent."""
    return all(row.effect.relative for row in rows)


def of_metric(changes: pd.DataFrame, benchmark: str, metric: str) -> pd.DataFrame:
    """Return the rows of one metric."""
    return changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]


def measuring(changes: pd.DataFrame, plan: Plan, objective: str) -> pd.DataFrame:
    """Return the rows of the metric that an objective is measured by."""
    return of_metric(changes, *plan.objectives[objective].measured_by.split(".", 1))


def by_base(rows: Iterable[Any], plan: Plan) -> dict[str, list[Any]]:
    """Return base to its students' rows, in the plan's order.

    Students of one base that were trained by different methods are apart: "smollm2, lora".
    """
    several = len({model.method for model in plan.students.values()}) > 1
    found: dict[str, list[Any]] = {}
    for row in rows:
        model = plan.models[plan.students_by_seed[row.student][0]]
        name = f"{model.artefact}, {model.method}" if several else model.artefact
        found.setdefault(name, []).append(row)
    return found


def rows_with(changes: pd.DataFrame, **values: str) -> list[Any]:
    """Return the rows that have these values in these columns."""
    kept = changes
    for column, value in values.items():
        kept = kept[kept[column] == value]
    return list(rows_of(kept))
