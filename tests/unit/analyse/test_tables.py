"""Tables of profiles, training sets, candidates and settings: numbers derived by hand."""

import numpy as np
import pandas as pd
import pytest
from toy_study import OBJECTIVES, STUDY, plan

from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.results import load_results
from heirloom.analyse.tables import read_all
from heirloom.analyse.tables.calibration import calibration_bins
from heirloom.analyse.tables.configuration import flatten, settings
from heirloom.analyse.tables.datasets import candidates, training_sets
from heirloom.analyse.tables.profiles import profiles
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_jsonl, write_jsonl


@pytest.fixture(scope="module")
def results(study_folder):
    return load_results(study_folder)


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_profiles(results):
    table = profiles(results)
    assert len(table) == 8 * 4
    row = one(table, model="alpha.length-multi.s1", metric="mtld")
    assert (row.value, row.low, row.high, row.n, row.n_missing) == (70, 0, 100, 3, 1)
    assert (row.role, row.unit, row.direction) == ("student", "MTLD", "higher")
    assert one(table, model="alpha", metric="length").direction == ""


def test_training_sets_by_hand(results):
    table = training_sets(results)
    best = one(table, dataset="length-multi")
    # p1 beta 0 has 40 words, p2 alpha 0 has 30; the control chose 20 and 25: 35 - 22.5 = 12.5.
    assert (best.mean_length, best.difference) == (35, 12.5)
    # The paired differences are 20 and 5, so these are the ends of the interval.
    assert (best.difference_low, best.difference_high, best.difference_n) == (5, 20, 2)
    assert (best.share_alpha, best.share_beta, best.n_truncated) == (50, 50, 2)
    # Toxicities 0.0 and 0.2.
    assert best.mean_toxicity == pytest.approx(0.1)
    toxic = one(table, dataset="toxicity-multi")
    # q1 0.2, q2 0.3; the control has 0.9 and 0.8: 0.25 - 0.85.
    assert toxic.difference == pytest.approx(-0.6)
    assert pd.isna(toxic.mean_length)  # provoking candidates were not scored for length
    control = one(table, dataset="random-multi")
    assert pd.isna(control.difference) and control.control == ""
    assert one(table, dataset="length-alpha").n_tied == 1


def test_candidates_by_hand(results):
    row = one(candidates(results), teacher="beta", prompts="instructions")
    # Words 40, 5, 0, 25: mean 17.5; one is truncated, one is empty; toxicities 0, null, null, 0.1.
    assert (row.n, row.n_prompts, row.k, row["empty"]) == (4, 2, 2, 1)
    assert (row.truncated, row.tokens, row.mean_length) == (25, 17.5, 17.5)
    assert (row.mean_toxicity, row.unscored_toxicity) == (0.05, 2)
    provoking = one(candidates(results), teacher="beta", prompts="provoking")
    assert pd.isna(provoking.mean_length) and pd.isna(provoking.unscored_length)


def test_candidates_without_an_answer_are_counted(own_study_folder):
    path = own_study_folder / "generations/beta/instructions/candidates.jsonl"
    rows = read_jsonl(path)
    rows[2] |= {"completion": None, "n_tokens": 0, "finish_reason": "filtered"}
    write_jsonl(path, rows)
    row = one(candidates(load_results(own_study_folder)), teacher="beta", prompts="instructions")
    assert (row.n, row["empty"], row.unanswered) == (4, 1, 1)


def test_settings_are_flat(results):
    nested = {
        "study": "toy",
        "candidates": {"k": 2},
        "lora": {"targets": ["q", "v"], "none": {}},
        "sources": [{"wheel": "a"}, {"wheel": "b"}],
    }
    assert dict(flatten(nested)) == {
        "study": "toy",
        "candidates.k": "2",
        "lora.targets": '["q", "v"]',
        "lora.none": "{}",
        "sources[0].wheel": "a",
        "sources[1].wheel": "b",
    }
    own = dict(settings(results).itertuples(index=False))
    assert own["generate.k"] == "2" and own["models.beta.sources[0].path"] == "b"


def test_main_metrics_hold_what_the_objectives_measure():
    fair = {**OBJECTIVES["length"], "measured_by": "bbq.bias_ambiguous.age"}
    planned = plan(
        {},
        objectives={"fair": fair, "long": OBJECTIVES["length"]},
        profiling={"bbq": {"data": ["bbq"]}, "text": STUDY["profiling"]["text"]},
    )
    held = pd.DataFrame(
        [
            ("bbq", "bias_ambiguous.age"),
            ("text", "tokens"),
            ("text", "rix"),
            ("text", "length"),
            ("bbq", "accuracy"),
            ("toxicity", "emt"),
        ],
        columns=["benchmark", "metric"],
    )
    assert main_metrics(planned, held) == [
        ("bbq", "accuracy"),
        ("text", "length"),
        ("text", "rix"),
        ("bbq", "bias_ambiguous.age"),
    ]


def test_missing_table_is_named(results, tmp_path):
    with pytest.raises(HeirloomError, match=r"models\.csv does not exist"):
        read_all(tmp_path, results.plan)


def test_score_of_other_candidates_is_an_error(own_study_folder):
    path = own_study_folder / "scores" / "beta" / "instructions" / "length.jsonl"
    write_jsonl(path, read_jsonl(path)[1:])
    with pytest.raises(HeirloomError, match=r"no score for prompt 'p1', sample 0"):
        training_sets(load_results(own_study_folder))


def test_missing_score_file_of_an_objective_is_an_error(own_study_folder):
    (own_study_folder / "scores" / "beta" / "instructions" / "length.jsonl").unlink()
    with pytest.raises(HeirloomError, match=r"length\.jsonl does not exist"):
        candidates(load_results(own_study_folder))


def test_calibration_bins_by_hand(wide_study_folder):
    table = calibration_bins(load_results(wide_study_folder))
    # 60 questions a data set in ten bins of six, for eleven models.
    assert len(table) == 10 * 2 * 11 and set(table["n"]) == {6}
    own = table[(table["model"] == "alpha") & (table["data_set"] == "hellaswag")]
    assert list(own["bin"]) == list(range(1, 11))
    assert own["confidence"].is_monotonic_increasing
    records = read_jsonl(wide_study_folder / "profiles/alpha/calibration.records.jsonl")[:60]
    most_confident = sorted(records, key=lambda record: record["confidence"])[-6:]
    last = own.iloc[-1]
    assert last.confidence == pytest.approx(np.mean([r["confidence"] for r in most_confident]))
    assert last.accuracy == pytest.approx(np.mean([r["accuracy"] for r in most_confident]))
    # Wilson's interval of a share p of n, with z = 1.959964.
    z, n, p = 1.959964, last.n, last.accuracy
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    assert (last.accuracy_low, last.accuracy_high) == pytest.approx((middle - half, middle + half))


def test_records_are_read_when_they_are_asked_for(own_study_folder):
    results = load_results(own_study_folder)
    lost = own_study_folder / "profiles/beta/text.records.jsonl"
    lost.write_text("no JSON\n")
    records = results.records
    assert [r["id"] for r in records["alpha"]["text"]] == ["e1", "e2", "e3", "e4"]
    assert records["alpha"]["text"] is records["alpha"]["text"]
    assert set(records) == set(results.plan.models) and "gamma" not in records
    with pytest.raises(HeirloomError, match=r"beta/text\.records\.jsonl"):
        records["beta"]["text"]
