"""Findings about everything that nobody steered: passive inheritance, bias, abilities."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.effects import REFERENCES, Effect, Reference, effect
from heirloom.analyse.frames import rows_of
from heirloom.analyse.main_metrics import main_metrics
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.labels import label
from heirloom.report.findings.significance import LEVEL, significant
from heirloom.report.findings.truncation import short
from heirloom.report.names import student_label
from heirloom.report.wording import count, effect_text, number, short_unit
from heirloom.study.plan import Plan

_CLEAREST = 6
_CLEAREST_OF_BENCHMARK = 3

_Tested = Sequence[tuple[Any, Effect]]


def passive_findings(plan: Plan, changes: pd.DataFrame) -> list[str]:
    """Return a line on each clearest change of text and toxicity in passive students.

    The first line counts the significant ones. Other benchmarks are in `benchmark_findings`.
    """
    main = [pair for pair in main_metrics(plan, changes) if _is_style(pair[0])]
    passive = _rows_with(changes[changes["selection"] == "passive"], main)
    tested = _tested(passive, "base")
    if not tested:
        return ["No passively trained student has an interval."]
    clear = sum(significant(row, "base") != 0 for row, _ in tested)
    return [
        f"{clear} of {count(len(tested), 'change')} of main metrics in passively trained students "
        f"{'is' if clear == 1 else 'are'} significant (p < {LEVEL} after Holm's correction).",
        *_clearest(plan, tested, "base", _CLEAREST),
    ]


def benchmark_findings(plan: Plan, changes: pd.DataFrame) -> dict[str, list[str]]:
    """Return, per benchmark, the clearest significant changes of main metrics there, one per line.

    A benchmark without any has no lines; how many were tested is in the table of
    `heirloom.report.findings.families`. Students of second random draws are left out.
    """
    main = main_metrics(plan, changes)
    changes = changes[~changes["student"].isin(plan.redraws.values())]
    found: dict[str, list[str]] = {}
    for benchmark in plan.benchmarks:
        of_benchmark = changes[changes["benchmark"] == benchmark]
        if _is_style(benchmark) or of_benchmark.empty:
            continue
        own = _rows_with(of_benchmark, main)
        found[benchmark] = [
            sentence
            for against in REFERENCES
            for sentence in _clearest(plan, _tested(own, against), against, _CLEAREST_OF_BENCHMARK)
        ]
    return found


def _is_style(benchmark: str) -> bool:
    """Return True for benchmarks of the models' own completions, whose metrics say what they are.

    Changes of those in passive students are passive inheritance in the paper's sense.
    """
    return benchmark in BENCHMARKS and BENCHMARKS.get(benchmark).names_itself


def _rows_with(changes: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    return changes[[(row.benchmark, row.metric) in pairs for row in rows_of(changes)]]


def _tested(changes: pd.DataFrame, against: Reference) -> list[tuple[Any, Effect]]:
    """Return the rows that have an interval against a reference, with their effect."""
    effects = [(row, effect(row, against)) for row in rows_of(changes)]
    return [(row, found) for row, found in effects if pd.notna(found.low)]


def _clearest(plan: Plan, tested: _Tested, against: Reference, most: int) -> list[str]:
    """Return a sentence each on the significant effects that are clearest.

    Those are furthest from zero in widths of their intervals.
    """
    moved = [(row, found) for row, found in tested if significant(row, against)]
    # An interval without any width is as clear as can be.
    moved.sort(key=lambda pair: -abs(pair[1].value) / max(pair[1].high - pair[1].low, 1e-12))
    suffix = " against the control" if against == "control" else ""
    return [
        f"{student_label(row.student, plan)}: {label(row.benchmark, row.metric)} "
        f"{effect_text(found)}{suffix}{short(row)}."
        for row, found in moved[:most]
    ]


def resolution(changes: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return, per benchmark, what its examples can resolve.

    Half the width of the 95 % interval of the paired difference from the base, the median over
    students: a true difference of that size is detected about every other time.

    Args:
        changes: The table of changes.
        pairs: Benchmarks and metrics to tell of.
    """
    found: dict[str, list[str]] = {}
    for benchmark, metric in pairs:
        rows = changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]
        widths = (rows["difference_vs_base_high"] - rows["difference_vs_base_low"]).dropna()
        if not widths.empty:
            found.setdefault(benchmark, []).append(
                f"{label(benchmark, metric)} \u00b1 {number(widths.median() / 2)} "
                f"{short_unit(rows['unit'].iloc[0])} "
                f"(n = {int(rows['n'].median()):,})"
            )
    return {benchmark: "; ".join(parts) for benchmark, parts in found.items()}
