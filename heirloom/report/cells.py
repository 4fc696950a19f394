"""Cells and tables as a reader sees them: intervals next to their values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from heirloom.analyse.effects import Reference, effect
from heirloom.report.wording import DASH, interval, number, p_value, points, short_unit, signed


@dataclass(frozen=True)
class Cell:
    """Text of a table cell.

    Attributes:
        text: The text.
        number: The number that it sorts by; None: by its text.
        best: True if it is to be marked as the best.
    """

    text: str
    number: float | None = None
    best: bool = False


@dataclass(frozen=True)
class View:
    """A table ready to be printed: headings with whether they are numbers, and rows of cells."""

    headings: list[tuple[str, bool]]
    rows: list[list[Cell]]


MISSING = Cell(DASH)
#: Heading of a column of `truncated_cell`.
TRUNCATED = "Truncated, %: student, base, control"


def number_cell(value: Any) -> Cell:
    """Return a number as a cell."""
    return MISSING if pd.isna(value) else Cell(number(value), float(value))


def interval_cell(value: float, low: float, high: float, *, text: Callable[[float], str]) -> Cell:
    """Return a value and its interval as a cell that sorts by the value.

    Args:
        value: The value; a dash is shown for NaN.
        low: Lower end, or NaN.
        high: Upper end, or NaN.
        text: Formats all three.
    """
    if pd.isna(value):
        return MISSING
    return Cell(text(value) + interval(low, high, text), float(value))


def effect_cell(row: Any, against: Reference) -> Cell:
    """Return the effect in a row of the table of changes as a cell.

    Percentages end in a percent sign. A difference has its unit where the metric is on a ratio
    scale, so that other cells of its column are percentages.
    """
    found = effect(row, against)
    ends = (found.value, found.low, found.high)
    cell = interval_cell(*ends, text=points if found.relative else signed)
    if cell.number is None or row.relative != "yes":
        return cell
    return Cell(f"{cell.text} {short_unit(found.unit)}", cell.number)


def truncated_cell(row: Any) -> Cell:
    """Return the truncated shares of student, base and control as a cell: "75, 58, 68".

    They are in percent; the cell is missing where the metric does not depend on them.
    """
    shares = [row.truncated_student, row.truncated_base, row.truncated_control]
    known = [f"{share:.0f}" for share in shares if pd.notna(share)]
    return Cell(", ".join(known), float(shares[0])) if known else MISSING


def p_cell(value: float) -> Cell:
    """Return a p value as a cell: "0.012", "< 0.001"."""
    if pd.isna(value):
        return MISSING
    return Cell(p_value(value).removeprefix("p ").removeprefix("= "), float(value))
