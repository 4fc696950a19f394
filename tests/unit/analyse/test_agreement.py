from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score
from toy_study import add_benchmark, plan

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import table_names
from heirloom.analyse.tables.agreement import HUMAN, agreement


def test_table_by_hand(judged_study_folder: Path) -> None:
    results = load_results(judged_study_folder)
    table = agreement(results).set_index(["judge", "other"])
    labelled = bool(results.records["alpha"]["judge"][0]["labels"])
    # 8 models: 28 pairs of them; with humans 8 more, and the two annotators.
    assert len(table) == (28 + 8 + 1 if labelled else 28)

    # Of ffssff and sfssfs four of six are equal.
    both = table.loc[("alpha", "beta")]
    assert (both.n, both.n_ties, both.n_missing) == (6, 0, 0)
    assert both.agreement == pytest.approx(100 * 4 / 6)
    assert both.kappa == pytest.approx(cohen_kappa_score(list("ffssff"), list("sfssfs")))
    assert both.agreement_low <= both.agreement <= both.agreement_high
    # ffssff and tfssft: two ties left out, the other four are equal; counted in, they differ.
    ties = table.loc[("alpha", "alpha.toxicity-multi.s1")]
    assert (ties.n, ties.n_ties, ties.agreement, ties.kappa) == (4, 2, 100, 1)
    assert ties.agreement_with_ties == pytest.approx(100 * 4 / 6)
    missing = table.loc[("alpha", "alpha.random-multi.s1")]
    assert (missing.n, missing.n_missing) == (5, 1)
    if labelled:
        # The majority is f f s s and a tie; the sixth pair has no labels and is not missing.
        human = table.loc[("beta", HUMAN)]
        assert (human.n, human.n_ties, human.n_missing, human.agreement) == (4, 1, 0, 75)
        people = table.loc[("human 1", "human 2")]
        assert (people.n, people.agreement) == (5, 80)


def test_a_study_without_a_judge_has_no_such_table() -> None:
    assert "agreement" not in table_names(plan())
    assert "agreement" in table_names(plan(profiling={"judge": {"data": ["humans"]}}))


def test_no_pair_at_all(own_study_folder: Path) -> None:
    add_benchmark(own_study_folder, "judge", lambda model: [])
    assert agreement(load_results(own_study_folder)).empty
