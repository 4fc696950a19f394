"""The figures of a study, as SVG text: tables and plan in, one figure out."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from heirloom.analyse.contents import figure_names
from heirloom.analyse.tables import read_all
from heirloom.report.figures.agreement import figure3
from heirloom.report.figures.calibration import reliability
from heirloom.report.figures.candidates import figure4, figure5
from heirloom.report.figures.effects import figure1, figure2, figure6
from heirloom.support.files import Record, read_json, write_text

_Tables = Mapping[str, pd.DataFrame]
FIGURES: Mapping[str, Callable[[_Tables, Record], str]] = {
    "figure1": lambda tables, plan: figure1(tables["changes"], plan),
    "figure2": lambda tables, plan: figure2(tables["changes"], plan),
    "figure3": lambda tables, plan: figure3(tables["agreement"], plan),
    "figure4": lambda tables, plan: figure4(tables["changes"], plan),
    "figure5": lambda tables, plan: figure5(tables["changes"], plan),
    "figure6": lambda tables, plan: figure6(tables["changes"], plan),
    "reliability": lambda tables, plan: reliability(tables["calibration_bins"], plan),
}


def write_all(results: str | Path, tables: str | Path, out: str | Path) -> None:
    """Draw the study's figures from the tables in `tables`, as `out`/<figure>.svg."""
    plan = read_json(Path(results) / "plan.json")
    read = read_all(tables, plan)
    for name in figure_names(plan):
        write_text(Path(out) / f"{name}.svg", FIGURES[name](read, plan))
