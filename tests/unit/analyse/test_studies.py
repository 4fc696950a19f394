import pandas as pd
import pytest

from heirloom.analyse.tables.studies import STUDIES, studies, study_settings
from heirloom.report import views
from heirloom.report.abstract import agreement
from heirloom.study.parse import parse_study
from heirloom.support.errors import HeirloomError

PLAN = {
    "study": "one",
    "benchmarks": ["text"],
    "objectives": {},
    "models": {},
}


def row(student, metric, low, high, benchmark="text"):
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
            row("a.x", "length", 1, 3),
            row("a.x", "mtld", 1, 3),
            row("a.y", "length", -3, -1),
            row("a.y", "mtld", -1, 3),
            row("a.y", "rix", 1, 3),
        ]
    ),
    "two": pd.DataFrame(
        [
            row("a.y", "length", 1, 3),
            row("a.x", "length", 5, 7),
            row("a.y", "mtld", -1, 1),
            row("a.x", "mtld", -2, 1),
            row("b.z", "length", 0, 2),
            row("a.x", "acc", 1, 2, benchmark="general"),
        ]
    ),
}


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


def test_agreement_by_hand():
    # Both clear and equal in sign: length of a.x. Opposite: length of a.y. One only: mtld of a.x.
    # Neither: mtld of a.y. b.z is in one study only.
    assert agreement(PLAN, studies(CHANGES)) == [
        "one and two share 4 comparisons of main metrics with the random control: the interval "
        "excludes zero in both, with the same sign, in 1; with opposite signs in 1; in one of the "
        "two only in 1; in neither in 1."
    ]


def test_studies_stand_beside_each_other():
    view = views.compared(PLAN, studies(CHANGES))
    assert [heading for heading, _ in view.headings] == [
        *("Student", "Metric", "one, vs base", "one, vs control", "two, vs base"),
        "two, vs control",
    ]
    cells = [[cell.text for cell in row] for row in view.rows]
    assert cells[0][:4] == ["a.x", "Length", "+2.0 [+1.0, +3.0] %", "+2.0 [+1.0, +3.0] %"]
    dash = "\N{EN DASH}"
    assert cells[2] == ["b.z", "Length", dash, dash, "+1.0 [0.0, +2.0] %", "+1.0 [0.0, +2.0] %"]
    assert len(cells) == 5


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


def test_no_study_is_compared_with_itself(tmp_path):
    with pytest.raises(HeirloomError, match="not compared with itself"):
        parse_study({"study": "one", "compare_with": ["one"]}, root=tmp_path)
