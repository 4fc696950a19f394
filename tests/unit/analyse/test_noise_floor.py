"""The noise floor: two random draws of one pool, numbers derived by hand from the toy study."""

from dataclasses import replace

import pandas as pd
import pytest
from toy_study import WIDE_RECORDS

from heirloom.analyse.comparisons import compare_models, correct
from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables.changes import changes
from heirloom.analyse.tables.inherited import inherited
from heirloom.analyse.tables.noise_floor import drawn_twice, noise_floor
from heirloom.report.findings.families import families


@pytest.fixture(scope="module")
def results(wide_study_folder) -> Results:
    return load_results(wide_study_folder)


@pytest.fixture(scope="module")
def floors(results) -> pd.DataFrame:
    return noise_floor(results)


def of(floors: pd.DataFrame, metric: str) -> pd.DataFrame:
    return floors[floors["metric"] == metric].set_index("student")


def test_two_draws_by_hand(floors):
    row = of(floors, "length").loc["alpha.length-multi"]
    # First draw (15 + 25 + 35 + 45) / 4 = 30, second (18 + 25 + 34 + 47) / 4 = 31: +3.33 %.
    assert (row.first_value, row.second_value, row.n, row.n_missing) == (30, 31, 4, 0)
    assert (row["first"], row.second) == ("alpha.random-multi", "alpha.random-multi-redraw")
    assert (row.base, row.pool, row.prompts, row.n_seeds) == ("alpha", "multi", "instructions", 1)
    assert (row.unit, row.floor) == ("%", pytest.approx(100 / 30))
    # The examples differ by +3, 0, -1 and +2, at most +20 % (e1 alone) and at least -2.9 % (e3).
    assert -100 / 35 - 1e-9 <= row.floor_low < 0 < row.floor_high <= 20 + 1e-9


def test_effects_next_to_the_floor(floors, results):
    rows = of(floors, "length")
    # Both students have the first draw as their control; the best of two gains 25 %, beyond
    # whatever two draws differ by, and the best of one nothing: (15 + 25 + 30 + 50) / 4 = 30.
    assert list(rows.index) == ["alpha.length-multi", "alpha.length-multi-k1"]
    assert list(rows["effect"]) == [pytest.approx(25), 0]
    assert list(rows["exceeds"]) == ["yes", "no"]
    table = changes(results)
    same = table[(table["student"] == "alpha.length-multi") & (table["metric"] == "length")]
    ends = same.iloc[0][["change_vs_control_low", "change_vs_control_high"]]
    assert list(rows.iloc[0][["effect_low", "effect_high"]]) == list(ends)


def test_metrics_that_nobody_was_steered_towards_have_a_floor(floors):
    (row,) = of(floors, "mtld").reset_index().itertuples()
    # e4 is null in the second draw: (55 + 65 + 75) / 3 = 65 in both.
    assert (row.student, row.exceeds, row.n, row.n_missing) == ("", "", 3, 1)
    assert (row.first_value, row.second_value, row.floor) == (65, 65, 0)
    assert pd.isna(row.effect)
    # Toxicity was steered against another control, which was drawn once.
    assert list(of(floors, "emt").index) == [""]


def test_a_scale_without_a_zero_has_a_floor_in_its_unit(floors):
    (row,) = of(floors, "bias_ambiguous").reset_index().itertuples()
    assert row.unit != "%" and row.floor == pytest.approx(row.second_value - row.first_value)


def test_second_draws_are_no_tests(results):
    """Their intervals are there, and change no p value of a student that is tested."""
    table = changes(results)
    again = table["student"] == "alpha.random-multi-redraw"
    own = table[again]
    assert len(own) and set(own["family_vs_control"]) == {""} and set(own["control"]) == {""}
    assert own["p_vs_base"].notna().any() and own["difference_vs_base_low"].notna().any()
    assert set(own["family_vs_base"]) == {""} and own["p_holm_vs_base"].isna().all()
    plan = results.plan
    kept = {name: model for name, model in plan.models.items() if "redraw" not in name}
    once = replace(plan, models=kept)
    text = {("text", "length"), ("text", "mtld")}
    tested = correct(once, compare_models(Results(once, results.paths), text))
    for one in tested:
        row = table[(table["student"] == one.student) & (table["metric"] == one.metric)].iloc[0]
        assert row["p_holm_vs_base"] == one.against["base"].p_holm
    found = families(plan, table)
    assert found == families(plan, table[~again]) and len(found.rows) > 2
    assert "alpha.random-multi-redraw" not in set(inherited(results)["student"])
    assert set(own["source"]) == {"pool"}
    assert "alpha.random-multi-redraw.s1" in WIDE_RECORDS  # the study has it


def test_a_study_that_draws_once_has_no_such_table(results, study_folder):
    assert drawn_twice(results.plan)
    assert not drawn_twice(load_results(study_folder).plan)
