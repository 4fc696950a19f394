"""A study beside another one that was run before, and beside published numbers."""

import shutil
from typing import Any

from workshop import Workshop


def compare(study: dict[str, Any]) -> None:
    study["compare_with"] = ["other"]
    study["references"] = [
        {"label": "paper", "source": "A paper", "objective": "length", "number": 116}
    ]


def test_a_study_that_was_not_run_is_named_before_any_job(copied: Workshop) -> None:
    copied.edit_study(compare)
    printed = copied.run("--dry-run", fails=True)
    assert "the study other has no results/other/tables/changes.csv. Run it first" in printed
    assert "Traceback" not in printed


def test_a_comparison_makes_the_report_anew_and_nothing_else(copied: Workshop) -> None:
    tables = copied.folder / "results/other/tables"
    shutil.copytree(copied.results / "tables", tables)
    settings = (tables / "settings.csv").read_text(encoding="utf-8")
    (tables / "settings.csv").write_text(settings.replace("\nseed,3\n", "\nseed,4\n"), "utf-8")
    copied.edit_study(compare)
    beside = {"studies", "published_numbers"}
    assert {job.name for job in copied.plan()} == {*beside, "report", "crate", "all"}
    copied.run()
    differing = (copied.results / "tables/study_settings.csv").read_text(encoding="utf-8")
    assert differing == "key,tiny,other\nseed,3,4\n"
    html = (copied.results / "report.html").read_text(encoding="utf-8")
    assert 'id="studies-table"' in html and "tiny and other share" in html
    published = (copied.results / "tables/published_numbers.csv").read_text(encoding="utf-8")
    assert "ant.length-ant" in published and "ant.length-multi" in published
    assert 'id="published-numbers-table"' in html
    assert copied.plan() == []
