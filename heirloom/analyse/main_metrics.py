"""The metrics that the report shows first."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import pandas as pd

from heirloom.analyse.frames import unique
from heirloom.study.plan import Plan

#: Benchmark to the metrics that the report shows first, the most telling in front; `*` stands for
#: any suffix. Of a benchmark that is not here those without a suffix come first: no category.
MAIN: Mapping[str, Sequence[str]] = {
    "text": ("length", "mtld", "gunning_fog", "rix"),
    "toxicity": ("emt", "toxicity_probability"),
    "stereoset": ("icat", "ss", "lms"),
    "crows_pairs": ("score",),
    "seat": ("mean_abs_effect_size.*", "effect_size.*"),
    "bbq": ("bias_ambiguous", "bias_disambiguated", "accuracy"),
    "calibration": ("ece.*", "accuracy.*"),
    "judge": ("consistency", "human_agreement", "position_bias", "prefers_longer"),
    "general": ("acc", "acc.*"),
}
#: Most metrics of a benchmark that count as main ones.
_MOST_MAIN = 8


def main_of(benchmark: str, metrics: Iterable[str]) -> list[str]:
    """Those of a benchmark's metrics that the report shows first, in its order."""
    names = unique(metrics)
    patterns = MAIN.get(benchmark) or [name for name in names if "." not in name] or ["*"]
    chosen = [n for pattern in patterns for n in names if fnmatchcase(n, pattern)]
    return unique(chosen)[:_MOST_MAIN]


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
