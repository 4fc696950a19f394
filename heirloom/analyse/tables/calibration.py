"""Reliability of a model's confidence, bin by bin."""

from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.frames import frame, text_of, unique
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table


@dataclass(frozen=True)
class Bin:
    """A row of the table: answers of one model to one data set, of similar confidence."""

    model: str
    role: str
    data_set: str
    bin: int
    n: int
    confidence: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float


@table(
    "calibration_bins",
    title="Calibration bins",
    order=80,
    applies=lambda plan: "calibration" in plan.benchmarks,
    text=text_of(Bin),
)
def calibration_bins(results: Results) -> pd.DataFrame:
    """One row per model, data set and bin of confidence, with the accuracy of its answers.

    Bins hold equally many answers. `accuracy_low` and `accuracy_high` are the 95 % Wilson interval
    of a share (Wilson 1927, eq. 5), which stays within 0 and 1 and needs no resampling.
    """
    from scipy.stats import binomtest

    from heirloom.profiling.calibration import reliability

    rows = []
    for model, described in results.plan.models.items():
        records = results.records[model]["calibration"]
        for data_set in unique(record["data_set"] for record in records):
            own = [record for record in records if record["data_set"] == data_set]
            for index, found in enumerate(reliability(own), start=1):
                correct = round(found["accuracy"] * found["n"])
                interval = binomtest(correct, found["n"]).proportion_ci(method="wilson")
                rows.append(
                    Bin(
                        model=model,
                        role=described.role,
                        data_set=data_set,
                        bin=index,
                        n=found["n"],
                        confidence=found["confidence"],
                        accuracy=found["accuracy"],
                        accuracy_low=interval.low,
                        accuracy_high=interval.high,
                    )
                )
    return frame(rows, Bin)
