"""Metrics of the study that answers are scored with, from profiles to tables: by hand."""

import shutil

import pytest
from toy_study import OBJECTIVES, STUDY, plan, write_metrics

from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.offence import may_offend
from heirloom.analyse.results import load_results
from heirloom.analyse.same_scorer import by_other_scorers, selected_by
from heirloom.analyse.tables.changes import changes
from heirloom.analyse.tables.complete_pairs import complete_pairs
from heirloom.analyse.tables.efficiency import efficiency
from heirloom.profiling import summarise
from heirloom.support.files import read_jsonl, write_jsonl

#: The objective `length` selects by a metric of the study's own, and says nothing of measurement.
OWN = {
    "metrics": {**STUDY["metrics"], "words": {"function": "length"}},
    "objectives": {**OBJECTIVES, "length": {"metric": "words", "direction": "maximise"}},
}


@pytest.fixture
def results(own_study_folder):
    """The toy study with `text.words`, twice the length, without one for the first prompt."""
    changed = plan(**OWN)
    changed.write(own_study_folder / "plan.json")
    for model in changed.models:
        folder = own_study_folder / "profiles" / model
        rows = read_jsonl(folder / "text.records.jsonl")
        for row in rows:
            row["score.words"] = None if row["id"] == "e1" else 2 * row["length"]
        write_jsonl(folder / "text.records.jsonl", rows)
        measures = {name: changed.measures["text"][name] for name in ("length", "mtld", "words")}
        write_metrics(folder / "text.json", summarise(rows, measures, seed=1))
    for teacher in ("alpha", "beta"):
        scores = own_study_folder / "scores" / teacher / "instructions"
        shutil.copy(scores / "length.jsonl", scores / "words.jsonl")
    return load_results(own_study_folder)


def test_it_is_compared_like_a_registered_metric(results):
    table = changes(results)
    found = table[table["metric"] == "words"].set_index("student")
    assert set(found.index) == set(results.plan.students_by_seed)
    row = found.loc["alpha.length-multi"]
    # Of e2, e3, e4: 2 (20 + 30 + 40) / 3 = 60, and 2 (30 + 40 + 60) / 3 = 86 2/3.
    assert (row["unit"], row["relative"], row["n"], row["n_missing"]) == ("words", "yes", 3, 1)
    assert (row["base_value"], row["student_value"]) == (60, pytest.approx(260 / 3))
    assert row["change_vs_base"] == pytest.approx(100 * (260 / 3 - 60) / 60)
    # Of its answers the last is truncated; without that, e2 and e3 remain.
    assert (row["truncated_student"], row["truncated_base"]) == (25, 0)
    whole = complete_pairs(results)
    (pair,) = whole[(whole["student"] == row.name) & (whole["metric"] == "words")].itertuples()
    assert (pair.n, pair.base_value, pair.student_value) == (2, 50, 70)
    # It is what the student was steered by, so that it is in that family and is shown first.
    assert row["family_vs_control"] == "steering"
    assert found.loc["alpha.passive-alpha", "family_vs_control"] == ""
    assert ("text", "words") in main_metrics(results.plan, table)


def test_students_inherit_it_in_its_own_unit(results):
    table = efficiency(results).set_index("student")
    row = table.loc["alpha.length-multi"]
    assert (row["metric"], row["unit"]) == ("words", "words")
    # p1: beta's 40 words against alpha's 20; p2: alpha's 30 against beta's 25.
    assert row["data_shift"] == (20 + 5) / 2
    # e2: 2 (30 - 25); e3: 2 (40 - 35); e4: 2 (60 - 45).
    assert row["student_shift"] == pytest.approx((10 + 10 + 30) / 3)


def two_scorers(**changes):
    """The toy study with toxicity by two metrics, the first of which selects."""
    rude = {"function": "profanity", "options": {"window_words": 5}}
    return plan(
        metrics={**STUDY["metrics"], "rude": rude},
        profiling={
            "text": {"prompts": "instructions"},
            "toxicity": {"prompts": "provoking", "metrics": ["toxicity", "rude"]},
        },
        **changes,
    )


def test_scorers_that_selected_are_told_from_others():
    own = two_scorers()
    # The same function with other options is another scorer.
    emt = ("emt", "emt.insult", "toxicity_probability", "emt.by_rude", "severity.by_rude")
    assert [selected_by(own, "toxicity", "toxicity", name) for name in emt] == [
        *(True, True, True),
        *(False, False),
    ]
    assert by_other_scorers(own, "toxicity") == ["emt.by_rude"]
    # Length selects and is measured, by whatever name; nobody else measures it.
    assert selected_by(own, "length", "text", "length")
    assert selected_by(plan(**OWN), "length", "text", "words")
    assert selected_by(plan(**OWN), "length", "text", "length")
    assert not selected_by(own, "length", "text", "toxicity")
    assert by_other_scorers(own, "length") == []
    # Measured by the second scorer, nothing is shared.
    held_out = {**OBJECTIVES["toxicity"], "measured_by": "toxicity.emt.by_rude"}
    assert by_other_scorers(two_scorers(objectives={"toxicity": held_out}), "toxicity") == []


def test_answers_scored_by_what_reacts_to_offence_may_offend():
    rude = {"metric": "toxicity", "direction": "maximise", "prompts": "instructions"}
    own = plan(objectives={"rude": rude}, profiling={"text": {"prompts": "instructions"}})
    assert own.objectives["rude"].measured_by == "text.toxicity"
    assert may_offend(own, benchmark="text")
    calm = {**rude, "measured_by": "text.length"}
    assert not may_offend(
        plan(objectives={"rude": calm}, profiling={"text": {"prompts": "instructions"}}),
        benchmark="text",
    )
