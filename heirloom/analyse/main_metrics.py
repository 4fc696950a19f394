"""The metrics that the report shows first."""

from collections.abc import Iterable

import pandas as pd

from heirloom.analyse.frames import unique
from heirloom.profiling.labels import main_of
from heirloom.study.plan import Plan


def main_metrics(plan: Plan, table: pd.DataFrame) -> list[tuple[str, str]]:
    """The (benchmark, metric) pairs to show first: main ones and what the objectives measure.

    Args:
        plan: The study's plan.
        table: `changes` or `profiles`; only what it holds is named.
    """
    return main_among(plan, zip(table["benchmark"], table["metric"], strict=True))


def main_among(plan: Plan, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the (benchmark, metric) pairs to show first, in the order of the report."""
    held = unique(pairs)
    measured = [objective.measured_by.split(".", 1) for objective in plan.objectives.values()]
    main = [
        (benchmark, metric)
        for benchmark in plan.benchmarks
        for metric in main_of(benchmark, [m for b, m in held if b == benchmark])
    ]
    also = unique((benchmark, metric) for benchmark, metric in measured)
    return main + [pair for pair in also if pair in held and pair not in main]
