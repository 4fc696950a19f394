"""Reliability of a model's confidence, bin by bin."""

from typing import Any

import pandas as pd

from heirloom.analyse.results import Results
from heirloom.analyse.tables.frames import frame, unique

BINS = [
    "model",
    "role",
    "data_set",
    "bin",
    "n",
    "confidence",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
]


def calibration_bins(study: Results) -> pd.DataFrame:
    """One row per model, data set and bin of confidence: how often answers so confident are right.

    Bins hold equally many answers. `accuracy_low` and `accuracy_high` are the 95 % Wilson interval
    of a share (Wilson 1927, eq. 5), which stays within 0 and 1 and needs no resampling.
    """
    from heirloom.profiling.calibration import reliability

    rows: list[list[Any]] = []
    for model, description in study.plan.models.items():
        records = study.records[model]["calibration"]
        for data_set in unique(record["data_set"] for record in records):
            own = [record for record in records if record["data_set"] == data_set]
            for index, found in enumerate(reliability(own), start=1):
                ends = wilson(found["accuracy"], found["n"])
                rows.append(
                    [
                        *(model, description["role"], data_set, index, found["n"]),
                        *(found["confidence"], found["accuracy"], *ends),
                    ]
                )
    return frame(rows, BINS)


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n."""
    z = 1.959964
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half
