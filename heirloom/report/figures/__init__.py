"""The figures of a study, as SVG text: tables and plan in, one figure out."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from heirloom.analyse.tables import read_all
from heirloom.report.figures.agreement import figure3
from heirloom.report.figures.calibration import reliability
from heirloom.report.figures.candidates import figure4, figure5
from heirloom.report.figures.effects import figure1, figure2, figure6
from heirloom.study.plan import Plan
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


# F replaces this by the registry
def figure_names(plan: Plan) -> list[str]:
    """The figures of the study with this plan, in the order of the report; possibly none."""
    students = [model for model in plan.models.values() if model.role == "student"]
    learnt = [plan.datasets[student.trained_on] for student in students]
    selections = {data.selection for data in learnt}
    sources = {len(data.teachers) > 1 for data in learnt if data.selection == "best"}
    present = {
        "figure1": "best" in selections,
        "figure2": "passive" in selections,
        "figure3": "judge" in plan.benchmarks and bool(students),
        "figure4": len(sources) == 2,
        "figure5": any(data.k for data in learnt),
        "figure6": bool(students),
        "reliability": "calibration" in plan.benchmarks,
    }
    return [name for name, there in present.items() if there]


# F replaces this by the registry
def title_of(name: str) -> str:
    """A figure's or table's name for a reader: "Figure 1", "Training sets"."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name).replace("_", " ").capitalize()
