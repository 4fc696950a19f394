"""Data frames of tables: typed columns, nulls, rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd


def columns_of(row: type) -> list[str]:
    """Columns of a table whose rows are of this dataclass."""
    return [field.name for field in fields(row)]


def text_of(row: type) -> list[str]:
    """Columns of the table that hold text."""
    return [field.name for field in fields(row) if field.type is str]


def frame(rows: Sequence[Any], row: type) -> pd.DataFrame:
    """Table of rows of this dataclass; may be empty."""
    return pd.DataFrame([vars(each) for each in rows], columns=columns_of(row))


def typed(table: pd.DataFrame, is_text: Callable[[str], bool]) -> pd.DataFrame:
    """`table` with numbers in every column that does not hold text; NaN for empty cells."""
    return table.assign(
        **{
            column: pd.to_numeric(table[column].replace("", None))
            for column in table.columns
            if not is_text(column)
        }
    )


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples, whose fields have the type of their column."""
    return iter(table.itertuples())


def unique(values: Iterable[Any]) -> list[Any]:
    """The values in their order, each once."""
    return list(dict.fromkeys(values))
