"""What all tables share: typed columns, nulls, rows."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

#: Tables of text alone.
ALL_TEXT = ("settings", "study_settings")
#: Columns of the others that hold text: an empty cell is "", not a missing number.
TEXT_COLUMNS = [
    "student",
    "dataset",
    "selection",
    "source",
    "objective",
    "benchmark",
    "metric",
    "unit",
    "direction",
    "relative",
    "control",
    "family_vs_base",
    "family_vs_control",
    "model",
    "role",
    "pool",
    "prompts",
    "teacher",
    "data_set",
    "stage",
    "study",
    "judge",
    "other",
]


def frame(rows: list[list[Any]], columns: list[str]) -> pd.DataFrame:
    return typed(pd.DataFrame(rows, columns=columns))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with numbers in every column outside TEXT_COLUMNS, NaN where it is empty."""
    for column in table.columns:
        if column not in TEXT_COLUMNS:
            table[column] = pd.to_numeric(table[column].replace("", None))
    return table


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples, whose fields have the type of their column."""
    return iter(table.itertuples())


def unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
