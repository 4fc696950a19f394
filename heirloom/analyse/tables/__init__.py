"""The tables of a study: results in, one pandas.DataFrame a table out.

Every table is a pure function of what `results.load_results` returns. Nulls are None or NaN in a
frame and an empty cell in a CSV file. Changes and shares are in percent, everything else,
differences included, is in the unit of its metric.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from heirloom.analyse.contents import table_names
from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables.agreement import agreement
from heirloom.analyse.tables.calibration import calibration_bins
from heirloom.analyse.tables.configuration import settings
from heirloom.analyse.tables.datasets import candidates, training_sets
from heirloom.analyse.tables.frames import ALL_TEXT, typed
from heirloom.analyse.tables.models import changes, profiles
from heirloom.analyse.tables.selection_analysis import inheritance, selection, winners
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_text

TABLES: Mapping[str, Callable[[Results], pd.DataFrame]] = {
    "changes": changes,
    "training_sets": training_sets,
    "selection": selection,
    "winners": winners,
    "inheritance": inheritance,
    "candidates": candidates,
    "profiles": profiles,
    "calibration_bins": calibration_bins,
    "agreement": agreement,
    "settings": settings,
}


def write_all(results: str | Path, out: str | Path) -> None:
    """Write every table of the study in `results` as `out`/<table>.csv."""
    study = load_results(results)
    for name in table_names(study.plan):
        write(TABLES[name](study), Path(out) / f"{name}.csv")


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write one table as a CSV file."""
    write_text(path, to_csv(table))


def to_csv(table: pd.DataFrame) -> str:
    """CSV text of one table: ten significant digits, nulls empty, the same on every machine."""
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def read_all(folder: str | Path, plan: Plan) -> dict[str, pd.DataFrame]:
    """The tables that `write_all` wrote for the study with this plan, by name.

    Raises:
        HeirloomError: one of them is not there.
    """
    return read(folder, table_names(plan))


def read(folder: str | Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """These tables of a folder, by name.

    Raises:
        HeirloomError: one of them is not there.
    """
    tables = {}
    for name in names:
        path = Path(folder) / f"{name}.csv"
        if not path.exists():
            raise HeirloomError(f"{path} does not exist. Write the tables first.")
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
        tables[name] = cells if name in ALL_TEXT else typed(cells)
    return tables
