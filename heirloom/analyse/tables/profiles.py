"""Metrics of every model."""

from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table


@dataclass(frozen=True)
class Profiled:
    """A row of the table: one model on one metric."""

    model: str
    role: str
    benchmark: str
    metric: str
    unit: str
    direction: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int


@table("profiles", title="Profiles", order=70, text=text_of(Profiled))
def profiles(results: Results) -> pd.DataFrame:
    """One row per model and metric, as the profiles report it: value, interval, n, n_missing.

    A metric that is not compared, or of too few examples, has no interval; an undefined one no
    value either.
    """
    rows = []
    for model, described in results.plan.models.items():
        for benchmark in results.plan.benchmarks:
            for metric, entry in results.profiles[model][benchmark].metrics.items():
                low, high = entry.get("interval") or (None, None)
                rows.append(
                    Profiled(
                        model=model,
                        role=described.role,
                        benchmark=benchmark,
                        metric=metric,
                        unit=entry["unit"],
                        direction=entry["direction"] or "",
                        value=entry["value"],
                        low=low,
                        high=high,
                        n=entry["n"],
                        n_missing=entry["n_missing"],
                    )
                )
    return frame(rows, Profiled)
