"""Tables of changes of two studies, to be compared: three students, two metrics in common."""

import pandas as pd

from heirloom.analyse.tables.studies import STUDIES


def changed(student, metric, low, high, benchmark="text"):
    """A row of `changes`, as text: a change in the middle of its interval, against both."""
    values = dict.fromkeys(STUDIES[1:], "")
    values |= {"student": student, "benchmark": benchmark, "metric": metric}
    values |= {"unit": "words", "relative": "yes", "n": "8"}
    for kind in ("change", "difference"):
        for against in ("base", "control"):
            ends = {"": (low + high) / 2, "_low": low, "_high": high}
            values |= {f"{kind}_vs_{against}{end}": str(value) for end, value in ends.items()}
    return values


CHANGES = {
    "one": pd.DataFrame(
        [
            changed("a.x", "length", 1, 3),
            changed("a.x", "mtld", 1, 3),
            changed("a.y", "length", -3, -1),
            changed("a.y", "mtld", -1, 3),
            changed("a.y", "rix", 1, 3),
        ]
    ),
    "two": pd.DataFrame(
        [
            changed("a.y", "length", 1, 3),
            changed("a.x", "length", 5, 7),
            changed("a.y", "mtld", -1, 1),
            changed("a.x", "mtld", -2, 1),
            changed("b.z", "length", 0, 2),
            changed("a.x", "acc", 1, 2, benchmark="general"),
        ]
    ),
}
