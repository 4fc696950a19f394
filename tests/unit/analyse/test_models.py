"""Models by metrics, of the toy study, whose values follow by hand."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from toy_study import DATASETS, WIDE, plan, write_metrics

from heirloom.analyse.results import load_results
from heirloom.analyse.tables.models import models

ROWS = [
    *("alpha", "beta", "alpha.random-multi", "alpha.random-provoking-multi"),
    *("alpha.length-alpha", "alpha.length-multi", "alpha.toxicity-multi", "alpha.passive-alpha"),
]


def test_models_as_rows_and_main_metrics_as_columns(study_folder: Path) -> None:
    table = models(load_results(study_folder)).set_index("model")
    assert list(table.index) == ROWS
    assert [c for c in table.columns if "." in c and not c.endswith(("_low", "_high"))] == [
        *("text.length", "text.mtld", "toxicity.emt", "toxicity.toxicity_probability")
    ]
    # Words of e1..e4 of length-multi: 20, 30, 40, 60. The toy's intervals are all alike.
    assert table.loc["alpha.length-multi", "text.length"] == 37.5
    ends = table.loc["alpha.length-multi", ["text.length_low", "text.length_high"]]
    assert ends.tolist() == [0, 100]
    assert table.loc["alpha.toxicity-multi", "toxicity.emt"] == pytest.approx(0.3)
    about = ["role", "base", "selection", "objective", "source"]
    assert table.loc["beta", about].tolist() == ["teacher", "", "", "", ""]
    assert table.loc["alpha.length-alpha", about].tolist() == [
        *("student", "alpha", "best", "length", "own")
    ]
    assert table["n_seeds"].isna().tolist() == [True, True] + 6 * [False]


def test_students_of_fewer_candidates_and_second_draws_are_left_out(
    own_wide_study_folder: Path,
) -> None:
    results = load_results(own_wide_study_folder)
    assert set(WIDE) <= set(results.plan.datasets)
    assert models(results)["model"].tolist() == [*ROWS, "alpha.passive-beta"]


def test_seeds_are_averaged(own_study_folder: Path) -> None:
    first = "alpha.length-multi.s1"
    own = plan()
    again = replace(own.models[first], id="alpha.length-multi.s2", seed=2)
    replace(own, models={**own.models, again.id: again}).write(own_study_folder / "plan.json")
    values = {"length": 50.0, "mtld": None}
    for benchmark, metrics in (("text", values), ("toxicity", {"emt": 0.5})):
        found = {
            name: {"value": value, "unit": "u", "direction": None, "n": 4, "n_missing": 0}
            for name, value in metrics.items()
        }
        write_metrics(own_study_folder / f"profiles/{again.id}/{benchmark}.json", found)
    table = models(load_results(own_study_folder)).set_index("model")
    row = table.loc["alpha.length-multi"]
    # 37.5 and 50: mean 43.75, standard deviation 12.5 / sqrt(2).
    assert row["text.length"] == 43.75 and row["n_seeds"] == 2
    assert row["text.length_sd"] == pytest.approx(8.8388, abs=1e-4)
    assert pd.isna(row["text.length_low"])
    # The second seed has no MTLD: 70 of the first would not be the mean over two.
    assert pd.isna(row["text.mtld"]) and pd.isna(row["text.mtld_sd"])
    assert table.loc["alpha", "text.length_low"] == 0 and pd.isna(
        table.loc["alpha", "text.length_sd"]
    )


def test_students_of_each_base_stand_together(own_study_folder: Path) -> None:
    """Two bases, and the teacher between them and their students."""
    own = plan(DATASETS, bases=["alpha", "beta"])
    twin = replace(own.models["alpha.passive-alpha.s1"], id="beta.passive-alpha.s1", base="beta")
    changed = {**own.models, "beta": replace(own.models["beta"], role="base"), twin.id: twin}
    replace(own, models=changed).write(own_study_folder / "plan.json")
    profiles = own_study_folder / "profiles"
    (profiles / twin.id).symlink_to(profiles / "alpha.passive-alpha.s1")
    assert models(load_results(own_study_folder))["model"].tolist() == [*ROWS, "beta.passive-alpha"]
