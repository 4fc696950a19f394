"""Counts of comparisons and of those that show a change: one row per family of tests."""

from collections.abc import Sequence

import pandas as pd

from heirloom.analyse.comparisons import ABLATION, STEERING
from heirloom.analyse.effects import REFERENCES, Reference, effect
from heirloom.analyse.frames import rows_of, unique
from heirloom.profiling.labels import benchmark_label
from heirloom.report.cells import MISSING, Cell, View, number_cell
from heirloom.report.findings.significance import significant
from heirloom.study.plan import Plan

_HEADINGS = [
    ("Family of tests", False),
    ("Against", False),
    ("Tests", True),
    ("Significant after Holm", True),
    ("Intervals excluding zero", True),
    ("Expected by chance", True),
]
_NAMES = {STEERING: "Steered metrics", ABLATION: "Steered metrics, fewer candidates"}
_LAST = "Categories and other metrics, not corrected"


def families(plan: Plan, changes: pd.DataFrame) -> View:
    """Return a row per family and reference; comparisons without a family are in the last rows.

    Only comparisons with an interval are counted; "expected by chance" is 5 % of them: 95 %
    intervals that exclude zero although nothing changed. Students of second random draws, which
    belong to no family, are left out.

    Args:
        plan: The study's plan.
        changes: The table `changes`.
    """
    held = changes[~changes["student"].isin(plan.redraws.values())]
    rows = []
    for against in REFERENCES:
        tested = held[held[f"difference_vs_{against}_low"].notna()]
        of_rows = tested[f"family_vs_{against}"]
        names = [*_NAMES, *(name for name in unique(of_rows) if name and name not in _NAMES)]
        for name in [*names, ""]:
            own = tested[of_rows == name]
            if len(own):
                rows.append(_row(name, own, against))
    return View(_HEADINGS, sorted(rows, key=lambda row: _place(row[0].text)))


def _place(name: str) -> tuple[bool, bool]:
    """Place of a row: steered metrics, benchmarks, then all without a family."""
    return name == _LAST, name not in _NAMES.values()


def _row(family: str, own: pd.DataFrame, against: Reference) -> list[Cell]:
    found = list(rows_of(own))
    clear = sum(significant(row, against) != 0 for row in found)
    moved = sum(effect(row, against).verdict != 0 for row in found)
    return [
        Cell(_name(family, own["benchmark"].tolist())),
        Cell({"base": "base", "control": "random control"}[against]),
        number_cell(len(found)),
        number_cell(clear) if family else MISSING,
        number_cell(moved),
        Cell(f"{0.05 * len(found):.1f}", 0.05 * len(found)),
    ]


def _name(family: str, benchmarks: Sequence[str]) -> str:
    if not family:
        return _LAST
    return _NAMES.get(family) or f"{benchmark_label(benchmarks[0])}, main metrics"
