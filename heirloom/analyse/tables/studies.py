"""Several studies side by side: changes that they measured alike, and settings they differ in.

Made from the tables that each study has written, by a rule of its own, so that no study has to read
another's results.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from heirloom.analyse.tables.frames import rows_of, typed, unique
from heirloom.support.errors import HeirloomError

_ENDS = ("", "_low", "_high")
STUDIES = [
    "study",
    "student",
    "dataset",
    "selection",
    "objective",
    "benchmark",
    "metric",
    "unit",
    "relative",
    "n",
    *(
        f"{kind}_vs_{against}{end}"
        for kind in ("change", "difference")
        for against in ("base", "control")
        for end in _ENDS
    ),
]
#: Keys that say nothing about what was done.
_NAMES = ("study", "title", "compare_with")


def read(folders: Mapping[str, Path], table: str) -> dict[str, pd.DataFrame]:
    """Study to one of its written tables, every cell as text.

    Args:
        folders: study to the folder of its tables.
        table: name of the table.
    """
    return {
        study: pd.read_csv(folder / f"{table}.csv", dtype=str, keep_default_na=False)
        for study, folder in folders.items()
    }


def studies(changes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of `changes` of several studies for the metrics that at least two of them have.

    One metric after the other, of each one student after the other, of each one study after the
    other: what can be compared stands together. Two studies have different students, and often
    different examples: there is no paired test between them.

    Args:
        changes: study to its table `changes`.

    Raises:
        HeirloomError: a table lacks a column.
    """
    parts = []
    for study, table in changes.items():
        lacking = [name for name in STUDIES[1:] if name not in table.columns]
        if lacking:
            raise HeirloomError(
                f"the table `changes` of the study {study} has no column {lacking[0]!r}: another "
                f"version of heirloom wrote it. Run {study} again to write its tables anew."
            )
        parts.append(table[STUDIES[1:]].assign(study=study))
    together = pd.concat(parts, ignore_index=True)[STUDIES]
    pairs = list(zip(together["benchmark"], together["metric"], strict=True))
    held = {(pair, study) for pair, study in zip(pairs, together["study"], strict=True)}
    shared = [p for p in unique(pairs) if sum((p, study) in held for study in changes) > 1]
    names = unique(together["student"])
    order = {pair: position for position, pair in enumerate(shared)}
    together = together[[pair in order for pair in pairs]]
    places = [
        (order[row.benchmark, row.metric], names.index(row.student), list(changes).index(row.study))
        for row in rows_of(together)
    ]
    ranked = sorted(range(len(places)), key=places.__getitem__)
    return typed(together.iloc[ranked].reset_index(drop=True))


def study_settings(settings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The settings in which studies differ: one row a key, one column a study, empty if not set.

    Args:
        settings: study to its table `settings`.
    """
    values = {
        study: dict(zip(table["key"], table["value"], strict=True))
        for study, table in settings.items()
    }
    keys = unique(key for own in values.values() for key in own)
    rows = [
        [key, *found]
        for key in keys
        if key not in _NAMES
        and len(set(found := [own.get(key, "") for own in values.values()])) > 1
    ]
    return pd.DataFrame(rows, columns=["key", *values], dtype=str)
