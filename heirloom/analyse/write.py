"""Write the tables of a study: one call per job."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import TABLES, read_text, table_names, write
from heirloom.analyse.tables.costs import costs
from heirloom.analyse.tables.studies import studies, study_settings
from heirloom.study.paths import Paths


def write_tables(root: str | Path) -> None:
    """Write every table of the study whose folder is `root`, but those that are apart.

    Raises:
        HeirloomError: A result is missing or malformed.
    """
    results = load_results(root)
    for name in table_names(results.plan):
        write(TABLES.get(name).compute(results), results.paths.table(name))


def write_costs(root: str | Path, *, shards: int) -> None:
    """Write the table `costs` of the study whose folder is `root`.

    Args:
        root: Folder of the study's results.
        shards: Number of jobs that generated a teacher's candidates for a prompt set.

    Raises:
        HeirloomError: A file is missing or malformed.
    """
    results = load_results(root)
    write(costs(results, shards=shards), results.paths.table("costs"))


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
