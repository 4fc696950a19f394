"""Inheritance coefficients and gains in agreement of the toy study, by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from toy_study import DATASETS, add_benchmark, plan

from heirloom.analyse.frames import columns_of
from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables import table_names
from heirloom.analyse.tables.agreement_gain import Gained, gained
from heirloom.analyse.tables.inherited import (
    AWAY,
    NEITHER,
    TOWARDS,
    UNCLEAR,
    Position,
    inherited,
)
from heirloom.profiling.data.preferences import Pair
from heirloom.profiling.judge import measure
from heirloom.support.files import Record, write_jsonl

#: Words of eight answers of alpha; every other model's are as many more in each.
ALPHA = [10, 20, 30, 40, 50, 60, 70, 80]
MORE = {
    "beta": 20,
    "alpha.passive-alpha.s1": 5,
    "alpha.random-multi.s1": 10,
    "alpha.length-alpha.s1": 20,
    "alpha.length-multi.s1": 30,
    "alpha.random-provoking-multi.s1": 0,
    "alpha.toxicity-multi.s1": -10,
}


@pytest.fixture
def results(own_study_folder: Path) -> Results:
    """Eight answers per model, all of the same diversity."""
    for model in ("alpha", *MORE):
        answer(own_study_folder, model, [words + MORE.get(model, 0) for words in ALPHA])
    return load_results(own_study_folder)


def answer(root: Path, model: str, words: Sequence[float | None]) -> None:
    write_jsonl(
        root / "profiles" / model / "text.records.jsonl",
        [{"id": f"e{index}", "length": n, "mtld": 50.0} for index, n in enumerate(words)],
    )


def of_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[table["metric"] == metric].set_index("student")


def test_positions_by_hand(results: Results) -> None:
    table = inherited(results)
    assert list(table.columns) == columns_of(Position)
    # Students of alpha alone have no other teacher; of the pool, beta is one.
    students = ["random-multi", "length-multi", "random-provoking-multi", "toxicity-multi"]
    assert list(table["student"].unique()) == [f"alpha.{name}" for name in students]
    assert set(table["teacher"]) == {"beta"}
    lengths = of_metric(table, "length")
    # Of the teacher's 20 words: 10, 30, 0 and -10 fewer, in every example alike.
    assert lengths["coefficient"].tolist() == [0.5, 1.5, 0, -0.5]
    assert lengths["coefficient_low"].tolist() == pytest.approx([0.5, 1.5, 0, -0.5])
    assert lengths["coefficient_high"].tolist() == pytest.approx([0.5, 1.5, 0, -0.5])
    # Eight pairs have no p value below 2^-7; Holm: times two metrics of the teacher's, and times
    # four coefficients, of which only those of length exist.
    assert lengths["teacher_p_holm"].tolist() == [2 / 2**7] * 4
    assert lengths["p"].tolist() == [1 / 2**7, 1 / 2**7, 1, 1 / 2**7]
    assert lengths["p_holm"].tolist() == [4 / 2**7, 4 / 2**7, 1, 4 / 2**7]
    assert lengths["moved"].tolist() == [TOWARDS, TOWARDS, NEITHER, AWAY]
    row = lengths.loc["alpha.random-multi"]
    assert (row.base_value, row.teacher_value, row.student_value) == (45, 65, 55)
    assert (row.teacher_difference, row.n, row.n_missing, row.unit) == (20, 8, 0, "words")


def test_no_coefficient_where_teacher_and_base_do_not_differ(results: Results) -> None:
    table = inherited(results)
    # The same diversity; two toxic prompts have no p value below 1/2.
    for metric, n in (("mtld", 8), ("emt", 2)):
        rows = of_metric(table, metric)
        assert rows["coefficient"].isna().all() and rows["p"].isna().all()
        assert (rows["moved"] == UNCLEAR).all() and (rows["n"] == n).all()
    assert of_metric(table, "emt")["teacher_difference"].tolist() == pytest.approx([-0.4] * 4)


def test_the_examples_of_a_student_have_to_be_enough(results: Results) -> None:
    # Teacher and base differ in all eight; the student has a value for five, whose least p value is
    # 2^-4.
    few = [words + 10 if index < 5 else None for index, words in enumerate(ALPHA)]
    answer(Path(results.paths.plan()).parent, "alpha.random-multi.s1", few)
    row = of_metric(inherited(load_results(Path(results.paths.plan()).parent)), "length").loc[
        "alpha.random-multi"
    ]
    assert (row.n, row.n_missing, row.teacher_p_holm, row.moved) == (5, 3, 2 / 2**7, UNCLEAR)
    assert pd.isna([row.coefficient, row.p, row.p_holm]).all()


def test_seeds_share_a_row(results: Results) -> None:
    """A second seed of random-multi with the answers of length-multi: 10 and 30 words more."""
    second = "alpha.random-multi.s2"
    models = dict(results.plan.models)
    models[second] = replace(models["alpha.random-multi.s1"], id=second, seed=2)
    pooled = replace(results, plan=replace(results.plan, models=models))
    profiles = {name: results.profiles[name] for name in results.plan.models}
    pooled.__dict__["profiles"] = profiles | {second: profiles["alpha.length-multi.s1"]}
    answer(
        Path(results.paths.plan()).parent,
        second,
        [words + MORE["alpha.length-multi.s1"] for words in ALPHA],
    )
    row = of_metric(inherited(pooled), "length").loc["alpha.random-multi"]
    assert (row.n_seeds, row.student_value, row.coefficient) == (2, 65, 1)
    # The seeds differ by 20 words, one degree of freedom: no movement is clear.
    assert row.coefficient_low < 0 and row.moved == NEITHER


def judged(model: str) -> list[Record]:
    """Ten pairs. Beta prefers the first of all; alpha of four, its students of more or fewer."""
    firsts = {"beta": 10, "alpha": 4, "alpha.random-multi.s1": 10, "alpha.length-alpha.s1": 9}
    return [
        measure(
            Pair(f"toys/{index}", "toys", "Why?", "one", "two words", ()),
            log_odds=(1.0, 1.0) if index < firsts.get(model, 4) else (-1.0, -1.0),
        )
        for index in range(10)
    ]


def test_gains_by_hand(own_study_folder: Path) -> None:
    add_benchmark(own_study_folder, "judge", judged)
    table = gained(load_results(own_study_folder))
    assert list(table.columns) == columns_of(Gained)
    # Alpha is the base of all, so that beta is left.
    assert list(table["student"]) == [f"alpha.{name}" for name in DATASETS]
    assert set(table["judge"]) == {"beta"}
    relations = ["other", "teacher", "other", "teacher", "teacher", "teacher"]
    assert list(table["relation"]) == relations
    rows = table.set_index("student")
    row = rows.loc["alpha.random-multi"]
    assert (row.base_agreement, row.student_agreement, row.gain) == (40, 100, 60)
    # With its base it agrees on the four that both prefer.
    assert (row.agreement_with_base, row.base_lead, row.n) == (40, -60, 10)
    assert rows.loc["alpha.length-alpha"].gain == 50
    still = rows.loc["alpha.length-multi"]
    assert (still.gain, still.p, still.p_holm, still.base_lead) == (0, 1, 1, 60)
    # Corrected among the four students of beta, of which one gained, and among the two others.
    assert row.p_holm == pytest.approx(4 * row.p)
    assert rows.loc["alpha.length-alpha"].p_holm == pytest.approx(
        2 * rows.loc["alpha.length-alpha"].p
    )


def test_a_study_without_other_teachers_has_no_such_tables() -> None:
    names = ("inherited", "agreement_gain")
    assert "inherited" in table_names(plan()) and "agreement_gain" not in table_names(plan())
    own = {name: DATASETS[name] for name in ("passive-alpha", "length-alpha")}
    alone = plan(own, teachers=["alpha"], pools={}, profiling={"judge": {"data": ["humans"]}})
    alone = replace(alone, models={k: m for k, m in alone.models.items() if k != "beta"})
    assert not set(names) & set(table_names(alone))
