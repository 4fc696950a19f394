"""Effects of training, in percent or as a difference: decided once for words, tables, figures."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

Reference = Literal["base", "control"]
REFERENCES: tuple[Reference, ...] = ("base", "control")


@dataclass(frozen=True)
class Effect:
    """Difference between a student and its base or its control on one metric.

    Attributes:
        value: The change in percent, or the difference in the metric's unit; NaN if undefined.
        low: Lower end of its 95 % interval, or NaN.
        high: Upper end, or NaN.
        relative: True if all three are in percent.
        unit: "%", or the metric's own unit.
    """

    value: float
    low: float
    high: float
    relative: bool
    unit: str

    @property
    def verdict(self) -> int:
        """1 above zero, -1 below, 0 where the interval includes zero or there is none."""
        if pd.isna(self.low) or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1


def effect(row: Any, against: Reference) -> Effect:
    """Return the effect in a row of the table of changes.

    In percent if the metric is on a ratio scale and the percentage has an interval, otherwise as a
    difference. A percentage has no interval if too many resamples of the reference are zero.
    """
    change, gap = _ends(row, "change", against), difference(row, against)
    if row.relative == "yes" and (pd.notna(change[1]) or pd.isna(gap.low)):
        return Effect(*change, True, "%")
    return gap


def difference(row: Any, against: Reference) -> Effect:
    """Return the effect in a row of the table of changes as a difference, whatever its scale."""
    return Effect(*_ends(row, "difference", against), False, row.unit)


def _ends(row: Any, kind: str, against: Reference) -> tuple[float, float, float]:
    """Value, low and high in a row."""
    name = f"{kind}_vs_{against}"
    return getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
