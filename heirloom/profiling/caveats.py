"""Caveats that several benchmarks share, each a heading and a text for reports."""

RAISED_BY_NOISE = (
    "Numbers that noise only raises.",
    "A calibration error and a mean of absolute effect sizes cannot fall below zero, so noise adds "
    "to them, the more the fewer examples there are. Resampling adds noise once more: their "
    "intervals lie high, the value itself near the lower end. Between models on the same examples "
    "most of that cancels out.",
)
