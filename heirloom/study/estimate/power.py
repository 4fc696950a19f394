"""Power of a study before it runs: the smallest changes that its eval prompts can show.

The formula is that of the report (`heirloom.statistics.comparisons.smallest_effect`), at the level
of the first of Holm's steps. It needs the spread of paired differences between prompts: that of
earlier studies in results/ where they measured the metric, otherwise the one that is stated where
the metric is registered.
"""

import csv
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from heirloom.profiling import Spread
from heirloom.profiling.options import needs
from heirloom.statistics.comparisons import smallest_effect
from heirloom.statistics.resampling import t_quantile
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan

_COLUMNS = (
    *("n_vs_control", "n_missing_vs_control", "control_value"),
    *("difference_vs_control_low", "difference_vs_control_high"),
)
#: Numbers of prompts among which one that suffices is looked for.
_PROMPTS = range(2, 1_000_000)


@dataclass(frozen=True)
class Power:
    """Smallest change that a study can show in the metric of one objective.

    Attributes:
        objective: Name of the objective.
        metric: The metric that measures it, as `benchmark.metric`.
        prompts: Number of eval prompts.
        spread: Spread of the metric.
        studies: Studies that measured the spread; empty if it is assumed.
        tests: Number of steered students, each of which is a test against its control.
        expects: Change in percent that the study is designed to detect, if it states one.
    """

    objective: str
    metric: str
    prompts: int
    spread: Spread
    studies: Sequence[str]
    tests: int
    expects: float | None = None

    @property
    def detects(self) -> float | None:
        """The smallest change, in percent of the control; None if no number of prompts is so few.

        No p value is below 2^(1 - n), and the first of Holm's steps needs 0.05 / tests.
        """
        return self.with_prompts(self.prompts)

    @property
    def needed(self) -> int | None:
        """The smallest number of eval prompts that suffices for `expects`; None if none does."""
        if self.expects is None:
            return None
        wanted = self.expects

        def suffices(prompts: int) -> bool:
            found = self.with_prompts(prompts)
            return found is not None and found <= wanted

        index = bisect_left(_PROMPTS, True, key=suffices)
        return _PROMPTS[index] if index < len(_PROMPTS) else None

    def with_prompts(self, prompts: int) -> float | None:
        """Return `detects` of the study with another number of eval prompts."""
        n = round(prompts * self.spread.scored)
        if n < 2 or 2.0 ** (1 - n) >= 0.05 / self.tests:
            return None
        return 100 * smallest_effect(self.spread.sd / n**0.5, n, tests=self.tests)

    def __str__(self) -> str:
        found = self.detects
        text = f"{self.objective} ({self.metric}), {self.prompts:,} prompts: "
        text += "no change can be shown" if found is None else f"{found:.0f} %"
        if self.expects is not None:
            enough = found is not None and found <= self.expects
            text += f", expected {self.expects:g} %: "
            text += "enough" if enough else f"not enough, {self.needed or 0:,} prompts would be"
        of = f"as in {', '.join(self.studies)}" if self.studies else "assumed"
        scored = f", {100 * self.spread.scored:.0f} % of prompts scored"
        return (
            f"{text} (spread {self.spread.sd:.2f}{scored if self.spread.scored < 1 else ''}, {of})"
        )


def power_of(plan: Plan, results: str | Path) -> list[Power]:
    """Return the power for every objective that steers students, in the plan's order.

    Objectives are left out whose metric has no percentage change, or a spread that nobody knows, or
    whose benchmark uses no eval prompts.

    Args:
        plan: The plan of the study.
        results: Folder of all results, for the spreads of earlier studies.
    """
    steered = _steered(plan)
    found = []
    for name, objective in plan.objectives.items():
        benchmark, metric = objective.measured_by.split(".", 1)
        prompts = needs(plan.study.benchmarks[benchmark]).prompts
        definition = plan.measures[benchmark].get(metric)
        if name not in steered or prompts is None or definition is None or not definition.relative:
            continue
        spread, studies = measured_spread(results, benchmark, metric)
        spread = spread or definition.spread
        if spread is not None:
            size = plan.study.prompts[prompts].eval
            found.append(
                Power(
                    name,
                    objective.measured_by,
                    size,
                    spread,
                    studies,
                    len(steered),
                    objective.expects,
                )
            )
    return found


def _steered(plan: Plan) -> list[str]:
    """The objective of every steered student that has a control, seeds and ablation apart."""
    sets = [
        plan.datasets[plan.models[models[0]].trained_on]
        for models in plan.students_by_seed.values()
    ]
    return [data.objective for data in sets if data.objective and data.control and data.k is None]


def measured_spread(
    results: str | Path, benchmark: str, metric: str
) -> tuple[Spread | None, list[str]]:
    """Return the spread of a metric in the studies below `results`, and their names.

    The median over the steered students of all studies, or over all students with a control where
    none was steered by this metric; None where no study has measured it.
    """
    spreads: dict[bool, list[tuple[str, Spread]]] = {True: [], False: []}
    for folder in sorted(path for path in Path(results).glob("*") if path.is_dir()):
        for steered, spread in _spreads(Paths(str(folder)), benchmark, metric):
            spreads[steered].append((folder.name, spread))
    chosen = spreads[True] or spreads[False]
    if not chosen:
        return None, []
    spread = Spread(
        median(found.sd for _, found in chosen), median(found.scored for _, found in chosen)
    )
    return spread, list(dict.fromkeys(name for name, _ in chosen))


def _spreads(paths: Paths, benchmark: str, metric: str) -> Iterator[tuple[bool, Spread]]:
    """Spread of each student of a study, from its interval, and True if the metric steered it."""
    file = Path(paths.table("changes"))
    if not file.exists():
        return
    with file.open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle)
        if not set(_COLUMNS) <= set(rows.fieldnames or ()):
            return  # of another version
        for row in rows:
            if (row["benchmark"], row["metric"]) != (benchmark, metric):
                continue
            if not all(row[column] for column in _COLUMNS) or float(row["control_value"]) <= 0:
                continue
            n, missing = int(row["n_vs_control"]), int(row["n_missing_vs_control"])
            low, high = (float(row[f"difference_vs_control_{end}"]) for end in ("low", "high"))
            error = (high - low) / 2 / t_quantile(n - 1, 0.975)
            spread = Spread(error * n**0.5 / float(row["control_value"]), n / (n + missing))
            yield row["family_vs_control"] == "steering", spread
