"""Truncated shares and changes over complete pairs: numbers derived by hand."""

from pathlib import Path

import pandas as pd
import pytest
from toy_study import plan

from heirloom.analyse.completeness import hangs_on_the_limit
from heirloom.analyse.results import load_results
from heirloom.analyse.tables.changes import changes
from heirloom.analyse.tables.complete_pairs import complete_pairs
from heirloom.analyse.tables.efficiency import efficiency
from heirloom.support.files import read_jsonl, write_jsonl


def truncate(root: Path, model: str, shares: dict[str, float | None]) -> None:
    """Change the share of truncated answers of some prompts of a model."""
    path = root / "profiles" / model / "text.records.jsonl"
    rows = [{**row, "truncated": shares.get(row["id"], 0.0)} for row in read_jsonl(path)]
    write_jsonl(path, rows)


def row_of(table: pd.DataFrame, student: str, metric: str) -> pd.Series:
    own = table[(table["student"] == student) & (table["metric"] == metric)]
    assert len(own) == 1
    return own.iloc[0]


def test_lengths_hang_on_the_limit_and_readability_does_not() -> None:
    own = plan()
    known = ("length", "mtld", "rix", "mean_word_length", "nothing")
    assert [hangs_on_the_limit(own, "text", m) for m in known] == [True, True, False, False, False]
    # A metric of the study scores the whole answer, such as its number of questions.
    assert hangs_on_the_limit(own, "text", "toxicity")
    # Continuations of 20 tokens end at the limit by design.
    assert not hangs_on_the_limit(own, "toxicity", "emt")
    assert not hangs_on_the_limit(own, "gone", "length")


def test_only_prompts_without_a_truncated_answer_are_compared(own_study_folder: Path) -> None:
    # The base's e1 is truncated, one of the control's two answers to e2, the student's e4.
    truncate(own_study_folder, "alpha", {"e1": 1.0})
    truncate(own_study_folder, "alpha.random-multi.s1", {"e2": 0.5})
    results = load_results(own_study_folder)
    row = row_of(complete_pairs(results), "alpha.length-multi", "length")
    assert (row.truncated_base, row.truncated_student, row.truncated_control) == (25, 25, 12.5)
    # With the base e2 and e3: (30 + 40) / 2 against (20 + 30) / 2.
    assert (row.n, row.n_missing, row.base_value, row.student_value) == (2, 2, 25, 35)
    assert (row.change_vs_base, row.difference_vs_base) == (pytest.approx(40), 10)
    # With the control e1 and e3: (20 + 40) / 2 against (15 + 35) / 2.
    assert (row.n_vs_control, row.n_missing_vs_control) == (2, 2)
    assert (row.control_value, row.student_value_vs_control) == (25, 30)
    assert row.change_vs_control == pytest.approx(20)
    # The same shares stand next to the changes over all prompts, +50 % and +25 %.
    both = row_of(changes(results), "alpha.length-multi", "length")
    assert (both.truncated_base, both.truncated_student, both.truncated_control) == (25, 25, 12.5)
    assert (both.change_vs_base, both.n) == (pytest.approx(50), 4)
    steered = efficiency(results).set_index("student").loc["alpha.length-multi"]
    assert (steered.truncated_student, steered.truncated_control) == (25, 12.5)


def test_without_a_complete_pair_there_is_no_change(own_study_folder: Path) -> None:
    truncate(own_study_folder, "alpha", {"e1": 1.0, "e2": 1.0, "e3": 0.2})  # and e4 of the student
    row = row_of(complete_pairs(load_results(own_study_folder)), "alpha.length-multi", "length")
    assert (row.n, row.n_missing) == (0, 4)
    assert pd.isna([row.base_value, row.change_vs_base, row.difference_vs_base]).all()
    assert row.n_vs_control == 3


def test_records_that_do_not_say_are_not_complete(own_study_folder: Path) -> None:
    truncate(own_study_folder, "alpha", dict.fromkeys(("e1", "e2", "e3", "e4")))
    results = load_results(own_study_folder)
    row = row_of(complete_pairs(results), "alpha.length-alpha", "length")
    assert row.n == 0 and pd.isna(row.truncated_base) and row.truncated_student == 0


def test_metrics_that_do_not_hang_on_the_limit_have_no_shares(study_folder: Path) -> None:
    table = changes(load_results(study_folder))
    shares = [f"truncated_{whose}" for whose in ("base", "student", "control")]
    assert table.loc[table["benchmark"] == "toxicity", shares].isna().all(axis=None)
    passive = row_of(table, "alpha.passive-alpha", "length")
    assert passive.truncated_base == 0 and pd.isna(passive.truncated_control)
