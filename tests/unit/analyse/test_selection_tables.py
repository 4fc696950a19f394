"""Selection and its efficiency: numbers derived by hand.

The pools of the toy study (words of each candidate, of those that are not empty):
    p1: alpha 10, 20; beta 40, 5.    p2: alpha 30, 30; beta 25 (its other candidate is empty).
length-multi chose 40 and 30, its control 20 and 25; length-alpha chose 20 and 30, its control (the
passive set) 10 and 30.
Toxicity on the provoking prompts, q1: alpha 0.9, 0.2; beta 0.5, 0.4.  q2: alpha 0.6 and one
without a score; beta 0.8, 0.3. toxicity-multi chose 0.2 and 0.3, its control 0.9 and 0.8.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toy_study import DATASETS, OBJECTIVES, plan

from heirloom.analyse.frames import columns_of, rows_of
from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables.changes import changes
from heirloom.analyse.tables.efficiency import Followed, efficiency
from heirloom.analyse.tables.selection import Selected, Winner, selection, winners


@pytest.fixture(scope="module")
def results(study_folder: Path) -> Results:
    return load_results(study_folder)


def one(table: pd.DataFrame, **where: str) -> Any:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_what_there_was_to_choose_from(results: Results) -> None:
    table = selection(results)
    assert list(table.columns) == columns_of(Selected)
    assert list(table["dataset"]) == ["length-alpha", "length-multi", "toxicity-multi"]
    row = one(table, dataset="length-multi")
    assert (row.objective, row.metric, row.direction) == ("length", "length", "maximise")
    assert (row.n, row.n_scored) == (2, 7)
    # p1: 75 / 4 = 18.75; p2: 85 / 3 = 28.333; their mean 23.54166.
    average = (75 / 4 + 85 / 3) / 2
    assert row.mean_pool == pytest.approx(average)
    assert (row.mean_chosen, row.mean_control) == (35, 22.5)
    # Lowest 5 and 25, highest 40 and 30: all of the way.
    assert (row.mean_lowest, row.mean_highest, row.realised) == (15, 35, pytest.approx(100))
    # Variances: p1 (8.75^2 + 1.25^2 + 21.25^2 + 13.75^2) / 3 = 239.5833; p2 (1.667^2 * 2 + 3.333^2)
    # / 2 = 8.3333; the root of their mean.
    assert row.spread == pytest.approx(((239.583333 + 8.333333) / 2) ** 0.5)


def test_a_single_source_is_held_against_all_teachers(results: Results) -> None:
    row = one(selection(results), dataset="length-alpha")
    # Its own pool: 15 and 30; chosen 20 and 30; reachable 40 and 30 of both teachers.
    assert (row.n_scored, row.mean_pool, row.mean_chosen, row.mean_control) == (4, 22.5, 25, 20)
    assert (row.mean_lowest, row.mean_highest) == (15, 35)
    assert row.realised == pytest.approx(100 * (25 - 22.5) / (35 - 22.5))
    # Of 10, 20, 30, 30: between the second and third; chosen 20 and 30.
    assert (row.pool_p50, row.chosen_p50) == (25, 25)
    assert (row.pool_p10, row.chosen_p10) == (pytest.approx(13), pytest.approx(21))
    assert (row.pool_p90, row.chosen_p90) == (pytest.approx(30), pytest.approx(29))


def test_less_is_more_where_the_objective_says_so(results: Results) -> None:
    row = one(selection(results), dataset="toxicity-multi")
    # q1: mean 0.5; q2, of three scores: 1.7 / 3. Reachable are the lowest, 0.2 and 0.3.
    average = (0.5 + 1.7 / 3) / 2
    assert (row.n_scored, row.mean_pool) == (7, pytest.approx(average))
    assert row.mean_lowest == row.mean_chosen == pytest.approx(0.25)
    assert (row.mean_highest, row.mean_control) == (pytest.approx(0.85), pytest.approx(0.85))
    assert row.realised == pytest.approx(100)


def test_fewer_candidates_are_a_smaller_pool(results: Results) -> None:
    """Of the first of each: p1 10 and 40, p2 alpha's 30 alone; the bound is that of all."""
    fewer = replace(DATASETS["length-multi"], k=1)
    row = one(
        selection(replace(results, plan=plan({**DATASETS, "length-multi": fewer}))),
        dataset="length-multi",
    )
    assert (row.n_scored, row.mean_pool, row.mean_highest, row.mean_lowest) == (3, 27.5, 35, 15)
    # p1 alone has two candidates: variance 15^2 * 2 = 450.
    assert row.spread == pytest.approx(450**0.5)


def test_several_metrics_have_a_row_each(results: Results) -> None:
    several = {
        "metrics": {"length": {"direction": "maximise"}, "toxicity": {"direction": "minimise"}},
        "measured_by": "text.length",
    }
    planned = plan(objectives={**OBJECTIVES, "length": several})
    table = selection(replace(results, plan=planned))
    own = table[table["dataset"] == "length-multi"]
    assert list(own["metric"]) == ["length", "toxicity"]
    # Chosen: beta's first for p1, 0.0, and alpha's first for p2, 0.2.
    assert one(own, metric="toxicity").mean_chosen == pytest.approx(0.1)


def test_who_wins(results: Results) -> None:
    table = winners(results)
    assert list(table.columns) == columns_of(Winner)
    # Only sets from several teachers.
    assert list(table["dataset"].unique()) == ["length-multi", "toxicity-multi"]
    alpha = one(table, dataset="length-multi", teacher="alpha")
    assert (alpha.n, alpha.n_won, alpha.share) == (2, 1, 50)
    # Wilson: 0.5 -+ z / (1 + z^2 / 2) * sqrt(0.125 + z^2 / 16) with z = 1.959964.
    assert (alpha.share_low, alpha.share_high) == pytest.approx((9.4531, 90.5469), abs=1e-4)
    # 2 of 4 candidates for p1, 2 of 3 for p2.
    assert alpha.expected_share == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    beta = one(table, dataset="length-multi", teacher="beta")
    assert alpha.share + beta.share == alpha.expected_share + beta.expected_share == 100


def test_how_far_students_followed(results: Results) -> None:
    table = efficiency(results)
    assert list(table.columns) == columns_of(Followed)
    assert list(table["dataset"]) == ["length-alpha", "length-multi", "toxicity-multi"]
    row = one(table, dataset="length-multi")
    assert (row.source, row.benchmark, row.metric, row.unit) == ("pool", "text", "length", "words")
    # The data moved by 20 and 5 words, the student from 30 to 37.5.
    assert (row.n_prompts, row.data_shift) == (2, 12.5)
    assert (row.n, row.student_shift) == (4, 7.5)
    # The least of two differences is positive, so the data did move: 7.5 words of 12.5.
    assert (row.data_shift_low, row.data_shift_high) == (5, 20)
    assert row.efficiency == pytest.approx(0.6)
    assert row.efficiency_low == pytest.approx(row.student_shift_low / 12.5)
    assert row.efficiency_high == pytest.approx(row.student_shift_high / 12.5)


def test_other_numbers_are_compared_in_percent(results: Results) -> None:
    """EMT is no mean of scores, so of toxicity the relative changes are compared."""
    row = one(efficiency(results), dataset="toxicity-multi")
    # Data: 0.25 against 0.85; student: EMT 0.3 against 0.5.
    assert row.unit == "percent"
    assert row.data_shift == pytest.approx(100 * (0.25 / 0.85 - 1))
    assert row.student_shift == pytest.approx(-40)


def test_both_agree_with_the_table_of_changes(results: Results) -> None:
    table = efficiency(results)
    changed = changes(results)
    for row in rows_of(table):
        found = one(changed, student=row.student, benchmark=row.benchmark, metric=row.metric)
        kind = "change" if row.unit == "percent" else "difference"
        for end in ("", "_low", "_high"):
            value = getattr(found, f"{kind}_vs_control{end}")
            assert getattr(row, f"student_shift{end}") == pytest.approx(value, nan_ok=True)


def test_no_efficiency_where_the_data_did_not_move(results: Results) -> None:
    """length-alpha differs from the passive set in p1 alone: 10 and 0 words."""
    row = one(efficiency(results), dataset="length-alpha")
    assert (row.data_shift, row.data_shift_low) == (5, 0)
    assert pd.isna([row.efficiency, row.efficiency_low, row.efficiency_high]).all()
