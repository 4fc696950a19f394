"""Published numbers next to those of the toy study, whose changes follow by hand."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toy_study import DATASETS, WIDE, plan

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import TABLES, read, to_csv, write
from heirloom.analyse.tables.changes import changes
from heirloom.analyse.tables.published_numbers import published_numbers, write_published_numbers
from heirloom.study.settings import PublishedNumber

PAPER = {"label": "paper", "source": "A paper", "number": 116}


def number(**keys: Any) -> PublishedNumber:
    return PublishedNumber.model_validate({**PAPER, **keys})


@pytest.fixture(scope="module")
def changed(study_folder: Path) -> pd.DataFrame:
    return changes(load_results(study_folder))


def students(table: pd.DataFrame) -> list[str]:
    return [name.removeprefix("alpha.") for name in table["student"]]


def test_a_published_change_stands_next_to_ours(changed: pd.DataFrame) -> None:
    table = published_numbers(plan(), changed, [number(objective="length", bound="up-to")])
    assert students(table) == ["length-alpha", "length-multi"]
    # Words of e1..e4: the base 10, 20, 30, 40, mean 25; 14, 24, 34, 48, mean 30; 20, 30, 40, 60,
    # mean 37.5.
    assert table["change"].tolist() == pytest.approx([20, 50])
    assert table["published_change"].tolist() == [116, 116]
    row = table.iloc[0]
    assert (row["benchmark"], row["metric"], row["n"]) == ("text", "length", 4)
    assert row["change_low"] < 20 < row["change_high"]


def test_against_the_control(changed: pd.DataFrame) -> None:
    found = number(objective="length", pool="multi", against="control")
    table = published_numbers(plan(), changed, [found])
    # 37.5 against the control's 15, 25, 35, 45, mean 30.
    assert students(table) == ["length-multi"]
    assert table["change"].tolist() == pytest.approx([25])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"kind": "passive", "metric": "text.length"}, ["passive-alpha"]),
        # passive-alpha is the control of single-source sets, and so counts as a random draw.
        (
            {"kind": "random", "metric": "text.length"},
            ["passive-alpha", "random-multi", "random-provoking-multi"],
        ),
        ({"kind": "random", "objective": "length"}, ["passive-alpha", "random-multi"]),
        ({"kind": "random", "objective": "length", "pool": "alpha"}, ["passive-alpha"]),
        ({"kind": "random", "objective": "toxicity"}, ["random-provoking-multi"]),
        ({"kind": "passive", "objective": "toxicity"}, [""]),
        ({"objective": "toxicity", "base": "alpha"}, ["toxicity-multi"]),
        ({"objective": "toxicity", "base": "beta"}, [""]),
        ({"objective": "toxicity", "pool": "alpha"}, [""]),
        # A side effect of what was selected for toxicity.
        ({"objective": "toxicity", "metric": "text.length"}, ["toxicity-multi"]),
    ],
)
def test_which_students_a_number_is_about(
    changed: pd.DataFrame, keys: dict[str, Any], expected: list[str]
) -> None:
    assert students(published_numbers(plan(), changed, [number(**keys)])) == expected


def test_students_of_fewer_candidates_are_left_out(own_wide_study_folder: Path) -> None:
    table = published_numbers(
        plan({**DATASETS, **WIDE}),
        changes(load_results(own_wide_study_folder)),
        [number(objective="length")],
    )
    assert students(table) == ["length-alpha", "length-multi"]


def test_a_number_without_a_student_and_a_level_are_kept(changed: pd.DataFrame) -> None:
    table = published_numbers(
        plan(),
        changed,
        [
            number(objective="toxicity", base="beta"),
            number(objective="toxicity", unit="level", number=43.2),
            number(objective="toxicity", unit="level", number=30, compared_with=40),
        ],
    )
    assert len(table) == 3
    assert table["student"].tolist() == ["", *2 * ["alpha.toxicity-multi"]]
    assert table["n"].isna().tolist() == [True, False, False]
    assert table["published_change"].isna().tolist() == [False, True, False]
    assert table["published_change"].iloc[2] == -25  # 30 of 40
    # EMT of t1, t2: 0.2 and 0.4 against 0.4 and 0.6.
    assert table["change"].iloc[2] == pytest.approx(-40)


def test_levels_without_a_true_zero_have_no_change(own_wide_study_folder: Path) -> None:
    results = load_results(own_wide_study_folder)
    bias = {"kind": "passive", "metric": "bbq.bias_ambiguous", "unit": "level", "compared_with": 9}
    table = published_numbers(results.plan, changes(results), [number(**bias)])
    assert students(table) == ["passive-alpha", "passive-beta"] and table["n"].tolist() == [60, 60]
    assert table[["published_change", "change"]].isna().all(axis=None)


def test_the_table_is_written_from_that_of_changes(own_study_folder: Path) -> None:
    results = load_results(own_study_folder)
    write(changes(results), results.paths.table("changes"))
    numbers = [number(objective="length"), number(kind="passive", metric="text.mtld", url=None)]
    write_published_numbers(own_study_folder, [n.model_dump(mode="json") for n in numbers])
    written = read(own_study_folder / "tables", ["published_numbers"])["published_numbers"]
    expected = published_numbers(results.plan, changes(results), numbers)
    assert to_csv(written) == to_csv(expected)


def test_only_a_study_with_references_has_the_table() -> None:
    applies = TABLES.get("published_numbers").applies
    assert applies(plan(references=[{**PAPER, "objective": "length"}])) and not applies(plan())
