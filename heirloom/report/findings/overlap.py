"""Sentences on items of benchmarks that are in training sets."""

import pandas as pd

from heirloom.analyse.frames import rows_of
from heirloom.analyse.overlap import CONTAINED, WORDS


def overlap_sentence(overlap: pd.DataFrame, benchmark: str) -> str:
    """Return the overlap of one benchmark with the training set that holds most of it.

    Args:
        overlap: The table `overlap`.
        benchmark: The benchmark.

    Returns:
        One or two sentences; "" if its items were not looked for.
    """
    rows = list(rows_of(overlap[overlap["benchmark"] == benchmark]))
    if not rows:
        return ""
    known = [row for row in rows if pd.notna(row.n_overlapping)]
    if not known:
        return f"All {rows[0].n_items} items have fewer than {WORDS} words: overlap is not known."
    most = max(known, key=lambda row: (row.n_overlapping, row.n_contained))
    looked_for = int(most.n_items - most.n_short)
    short = f" {int(most.n_short)} shorter items are not looked for." if most.n_short else ""
    if not most.n_overlapping:
        return (
            f"No training set shares a run of {WORDS} words with any of {looked_for} items.{short}"
        )
    return (
        f"Overlap: {int(most.n_overlapping)} of {looked_for} items share a run of {WORDS} words "
        f"with the training set {most.dataset}, which holds most of them; {int(most.n_contained)} "
        f"share {CONTAINED:.0%} of theirs or more.{short}"
    )
