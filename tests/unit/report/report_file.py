"""Helpers of the report's tests: a report as the workflow writes it, and changed plans."""

import shutil
from dataclasses import replace
from pathlib import Path

from heirloom.analyse.tables import read_text, write, write_tables
from heirloom.analyse.tables.studies import studies, study_settings
from heirloom.report.figures import write_figures
from heirloom.report.page import write_page
from heirloom.study.config import study_type
from heirloom.study.plan import Plan

COMPARISONS = ("studies", "study_settings")


def changed(plan: Plan, **changes) -> Plan:
    """The plan with other fields, or other values under keys of its study file."""
    fields = {name: changes.pop(name) for name in ("datasets", "models") if name in changes}
    study = study_type().model_validate({**plan.config, **changes})
    return replace(plan, study=study, **fields)


def write_report(folder: Path, out: Path, *, compared: bool = False) -> Path:
    """Copy the study in `folder` to `out`, write its report there and return the report's path.

    `compared`: with another study next to it, which is the same by another name.
    """
    root = shutil.copytree(folder, out / "copy")
    write_tables(root)
    write_figures(root)
    if compared:
        _compare(root / "tables")
    write_page(root, apart=COMPARISONS if compared else [], command="make <demo>")
    return root / "report.html"


def _compare(tables: Path) -> None:
    changes, settings = (
        {study: read_text(tables, name) for study in ("toy", "twin")}
        for name in ("changes", "settings")
    )
    settings["twin"].loc[settings["twin"]["key"] == "generate.k", "value"] = "4"
    write(studies(changes), tables / "studies.csv")
    write(study_settings(settings), tables / "study_settings.csv")
