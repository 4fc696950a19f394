"""Tables of a study: results in, one pandas.DataFrame per table out. Each module registers some.

To add a table, add a module with a function decorated by `@table`, here or in a plugin. Its CSV
file is written with the others and reaches the report. It is a pure function of the `Results` that
it is given.

Nulls are None or NaN in a frame and an empty cell in a CSV file. Changes and shares are in percent,
everything else, differences included, is in the unit of its metric.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import pandas as pd

from heirloom.analyse.frames import typed
from heirloom.analyse.results import load_results
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import write_text
from heirloom.support.registry import Registry

_Given = ParamSpec("_Given")
#: After those of heirloom.
_LAST = 1000


@dataclass(frozen=True)
class Table:
    """A registered table.

    Attributes:
        name: Name of its file and of its section of the report.
        title: Its name for a reader.
        compute: Returns the table. Called with the study's `Results`, unless it is `apart`.
        applies: Tells if the study with this plan has the table.
        text: Columns that hold text, where an empty cell is "" and not a missing number. `*` stands
            for any characters.
        headings: Column to its heading, where the column's name is not good enough. `*` at the end
            of a column stands for any characters, which `{}` in its heading repeats.
        caption: Its caption, unless report/captions/ has one: the first paragraph of its docstring.
        order: Its place among the tables of the report.
        apart: True if a separate job writes it, because it needs more than the study's results.
    """

    name: str
    title: str
    compute: Callable[..., pd.DataFrame]
    applies: Callable[[Plan], bool]
    text: Collection[str] = ()
    headings: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    order: int = _LAST
    apart: bool = False

    def is_text(self, column: str) -> bool:
        """Tell if a column holds text rather than numbers."""
        return _holds_text(column, self.text)

    def heading(self, column: str) -> str:
        """Heading of a column for a reader."""
        for pattern, text in self.headings.items():
            if fnmatchcase(column, pattern):
                return text.format(column.removeprefix(pattern.removesuffix("*")))
        text = column.replace("_", " ")
        return text if len(text) == 1 else text[0].upper() + text[1:]


TABLES = Registry[Table]("table", __name__)


def _everywhere(plan: Plan) -> bool:
    return True


def table(
    name: str,
    *,
    title: str,
    order: int = _LAST,
    applies: Callable[[Plan], bool] = _everywhere,
    text: Collection[str] = (),
    headings: Mapping[str, str] | None = None,
    apart: bool = False,
) -> Callable[[Callable[_Given, pd.DataFrame]], Callable[_Given, pd.DataFrame]]:
    """Register a function that computes a table; see `Table` for what the arguments mean.

    Example:
        >>> @table("longest", title="Longest completions", text=["teacher"])
        ... def longest(results: Results) -> pd.DataFrame:
        ...     '''Longest candidate of every teacher, in tokens.'''
        ...     rows = [
        ...         (teacher, max(row["n_tokens"] for row in pool))
        ...         for (teacher, _), pool in results.candidates.items()
        ...     ]
        ...     return pd.DataFrame(rows, columns=["teacher", "tokens"])
    """

    def register(
        compute: Callable[_Given, pd.DataFrame],
    ) -> Callable[_Given, pd.DataFrame]:
        @wraps(compute)
        def typed_table(*args: _Given.args, **kwargs: _Given.kwargs) -> pd.DataFrame:
            return typed(compute(*args, **kwargs), lambda column: _holds_text(column, text))

        caption = " ".join((inspect.getdoc(compute) or "").split("\n\n")[0].split())
        part = Table(name, title, typed_table, applies, text, headings or {}, caption, order, apart)
        TABLES.register(name, part, source=compute)
        return typed_table

    return register


def _holds_text(column: str, text: Collection[str]) -> bool:
    return any(fnmatchcase(column, pattern) for pattern in text)


def table_names(plan: Plan) -> list[str]:
    """Tables of the study with this plan, in the order of the report; those apart are left out."""
    there = [table for table in TABLES if table.applies(plan) and not table.apart]
    return [table.name for table in sorted(there, key=lambda table: (table.order, table.name))]


def write_tables(root: str | Path) -> None:
    """Write every table of the study whose folder is `root`, but those that are apart.

    Raises:
        HeirloomError: A result is missing or malformed.
    """
    results = load_results(root)
    for name in table_names(results.plan):
        write(TABLES.get(name).compute(results), results.paths.table(name))


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write one table as a CSV file."""
    write_text(path, to_csv(frame))


def to_csv(frame: pd.DataFrame) -> str:
    """CSV text of one table: ten significant digits, nulls empty, the same on every machine."""
    return frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def read_all(folder: str | Path, plan: Plan) -> dict[str, pd.DataFrame]:
    """Written tables of the study with this plan, by name; those apart are left out.

    Raises:
        HeirloomError: One of them is missing.
    """
    return read(folder, table_names(plan))


def read(folder: str | Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Written tables of a folder, by name.

    Raises:
        HeirloomError: One of them is missing.
    """
    return {name: typed(read_text(folder, name), TABLES.get(name).is_text) for name in names}


def read_text(folder: str | Path, name: str) -> pd.DataFrame:
    """One written table of a folder, every cell as text.

    Raises:
        HeirloomError: It is missing.
    """
    path = Path(folder) / f"{name}.csv"
    if not path.exists():
        raise HeirloomError(f"{path} does not exist. Write the tables first.")
    return pd.read_csv(path, dtype=str, keep_default_na=False)
