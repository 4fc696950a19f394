"""Several studies: changes that they measured alike, and settings in which they differ.

Made from the tables that each study has written, by a job of its own, so that no study has to read
another's results.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from heirloom.analyse.frames import rows_of, text_of, unique
from heirloom.analyse.tables import read_text, table, write
from heirloom.analyse.tables.changes import Change
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError

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
        for end in ("", "_low", "_high")
    ),
]
#: Keys that say nothing about what was done.
_NAMES = ("study", "title", "compare_with")


def write_comparisons(roots: Mapping[str, str | Path]) -> None:
    """Write the tables that compare a study with others, from the tables of each.

    Args:
        roots: Name of each study to the folder of its results; the first is the one to write into.

    Raises:
        HeirloomError: A table is missing, or of another version.
    """
    paths = {study: Paths(str(root)) for study, root in roots.items()}

    def tables(name: str) -> dict[str, pd.DataFrame]:
        return {study: read_text(Path(p.table(name)).parent, name) for study, p in paths.items()}

    own = next(iter(paths.values()))
    write(studies(tables("changes")), own.table("studies"))
    write(study_settings(tables("settings")), own.table("study_settings"))


def _is_compared(plan: Plan) -> bool:
    return bool(plan.study.compare_with)


@table(
    "studies",
    title="Studies",
    order=110,
    applies=_is_compared,
    text=("study", *text_of(Change)),
    apart=True,
)
def studies(changes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of `changes` of several studies for the metrics that at least two of them have.

    One metric after the other, of each one student after the other, of each one study after the
    other: what can be compared stands together. Two studies have different students, and often
    different examples: there is no paired test between them.

    Args:
        changes: Study to its table `changes`, every cell as text.

    Raises:
        HeirloomError: A table lacks a column.
    """
    tables = []
    for study, changed in changes.items():
        lacking = [name for name in STUDIES[1:] if name not in changed.columns]
        if lacking:
            raise HeirloomError(
                f"the table `changes` of the study {study} has no column {lacking[0]!r}: another "
                f"version of heirloom wrote it. Run {study} again to write its tables anew."
            )
        tables.append(changed[STUDIES[1:]].assign(study=study))
    together = pd.concat(tables, ignore_index=True)[STUDIES]
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
    return together.iloc[ranked].reset_index(drop=True)


@table(
    "study_settings",
    title="Study settings",
    order=120,
    applies=_is_compared,
    text=("*",),
    headings={"key": "Key", "*": "{}"},
    apart=True,
)
def study_settings(settings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The settings in which studies differ: one row per key, one column per study, empty if unset.

    Args:
        settings: Study to its table `settings`, every cell as text.
    """
    values = {
        study: dict(zip(own["key"], own["value"], strict=True)) for study, own in settings.items()
    }
    keys = unique(key for own in values.values() for key in own)
    rows = [
        [key, *found]
        for key in keys
        if key not in _NAMES
        and len(set(found := [own.get(key, "") for own in values.values()])) > 1
    ]
    return pd.DataFrame(rows, columns=["key", *values], dtype=str)
