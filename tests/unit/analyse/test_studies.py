import pandas as pd
import pytest
from toy_changes import CHANGES

from heirloom.analyse.tables import TABLES, to_csv, write
from heirloom.analyse.tables.studies import STUDIES, studies, study_settings, write_comparisons
from heirloom.study.parse import parse_study
from heirloom.support.errors import HeirloomError


def test_rows_that_can_be_compared_stand_together():
    table = studies(CHANGES)
    assert list(table.columns) == STUDIES
    # rix and acc are in one study only.
    assert list(zip(table["metric"], table["student"], table["study"], strict=True)) == [
        ("length", "a.x", "one"),
        ("length", "a.x", "two"),
        ("length", "a.y", "one"),
        ("length", "a.y", "two"),
        ("length", "b.z", "two"),
        ("mtld", "a.x", "one"),
        ("mtld", "a.x", "two"),
        ("mtld", "a.y", "one"),
        ("mtld", "a.y", "two"),
    ]
    assert table["change_vs_control"].tolist()[:2] == [2.0, 6.0]


def test_settings_that_differ():
    settings = {
        "one": pd.DataFrame(
            {"key": ["study", "seed", "k", "old"], "value": ["one", "1", "5", "x"]}
        ),
        "two": pd.DataFrame(
            {"key": ["study", "seed", "k", "new"], "value": ["two", "1", "9", "y"]}
        ),
    }
    assert study_settings(settings).to_dict("records") == [
        {"key": "k", "one": "5", "two": "9"},
        {"key": "old", "one": "x", "two": ""},
        {"key": "new", "one": "", "two": "y"},
    ]


def test_a_table_of_another_version_is_refused():
    old = CHANGES["two"].drop(columns="relative")
    with pytest.raises(HeirloomError, match="the study two has no column 'relative'"):
        studies({**CHANGES, "two": old})


def test_tables_of_studies_are_compared_as_they_were_written(tmp_path):
    settings = pd.DataFrame({"key": ["study"], "value": ["one"]})
    for name, changes in CHANGES.items():
        write(changes, tmp_path / name / "tables/changes.csv")
        write(settings, tmp_path / name / "tables/settings.csv")
    write_comparisons({name: tmp_path / name for name in CHANGES})
    written = tmp_path / "one" / "tables"
    assert (written / "studies.csv").read_text() == to_csv(studies(CHANGES))
    assert (written / "study_settings.csv").read_text() == "key,one,two\n"
    assert not (tmp_path / "two/tables/studies.csv").exists()


def test_studies_are_named_as_they_are():
    assert TABLES.get("study_settings").heading("my_study") == "my_study"


def test_no_study_is_compared_with_itself(tmp_path):
    with pytest.raises(HeirloomError, match="not compared with itself"):
        parse_study({"study": "one", "compare_with": ["one"]}, root=tmp_path)
