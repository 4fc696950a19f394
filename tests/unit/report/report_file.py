"""The report of a study folder, written as the workflow writes it."""

from pathlib import Path

from heirloom.analyse import tables
from heirloom.analyse.tables import studies
from heirloom.report import figures
from heirloom.report import page as report

CAPTIONS = report.TEMPLATES / "captions"
COMPARISONS = ("studies", "study_settings")


def write_report(folder: Path, out: Path, *, compared: bool = False) -> Path:
    """Write tables, figures and report of `folder` into `out`; return the report's path.

    `compared`: beside another study, which is the same by another name.
    """
    tables.write_all(folder, out)
    figures.write_all(folder, out, out)
    if compared:
        folders = {"toy": out, "twin": out}
        tables.write(studies.studies(studies.read(folders, "changes")), out / "studies.csv")
        settings = studies.read(folders, "settings")
        settings["twin"].loc[settings["twin"]["key"] == "candidates.k", "value"] = "4"
        tables.write(studies.study_settings(settings), out / "study_settings.csv")
    report.write(
        folder,
        out,
        out,
        CAPTIONS,
        out / "report.html",
        more_tables=COMPARISONS if compared else [],
        command="make <demo>",
    )
    return out / "report.html"
