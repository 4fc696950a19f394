"""Caveats that several benchmarks share, each a heading and a text for reports."""

RAISED_BY_NOISE = (
    "Metrics that noise only increases.",
    "A calibration error or a mean of absolute effect sizes cannot be negative, so noise increases "
    "it, and more so with fewer examples. Resampling adds further noise, so intervals are biased "
    "upwards, with the value near the lower end. In comparisons of models on the same examples, "
    "most of this bias cancels.",
)
