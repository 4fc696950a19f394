import pandas as pd
import pytest

from heirloom import tables
from heirloom.errors import HeirloomError
from heirloom.files import read_jsonl, write_jsonl


@pytest.fixture(scope="module")
def study(study_folder):
    return tables.load_study(study_folder)


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_change_by_hand(study):
    row = one(tables.changes(study), student="alpha.length-multi.s1", metric="length")
    # base (10 + 20 + 30 + 40) / 4 = 25, student (20 + 30 + 40 + 60) / 4 = 37.5: +50 %;
    # control (15 + 25 + 35 + 45) / 4 = 30: +25 %.
    assert (row.base_value, row.student_value, row.control_value) == (25, 37.5, 30)
    assert row.change_vs_base == pytest.approx(50)
    assert row.change_vs_control == pytest.approx(25)
    assert (row.n, row.n_missing) == (4, 0)
    assert (row.selection, row.source, row.objective) == ("best", "multi", "length")
    assert (row.control, row.unit) == ("alpha.random-multi.s1", "words")
    assert row.change_vs_base_low < 50 < row.change_vs_base_high
    # The gain is between +10 (e1..e3) and +20 on a base of at most 40: at least 25 %.
    assert row.change_vs_base_low >= 25


def test_a_null_example_is_dropped_from_both_sides(study):
    row = one(tables.changes(study), student="alpha.length-multi.s1", metric="mtld")
    # e4 is null: base (50 + 60 + 70) / 3 = 60, student (60 + 70 + 80) / 3 = 70, 100 * 10 / 60.
    assert (row.n, row.n_missing, row.base_value, row.student_value) == (3, 1, 60, 70)
    assert row.change_vs_base == pytest.approx(100 / 6)


def test_no_control_is_null(study):
    row = one(tables.changes(study), student="alpha.passive-alpha.s1", metric="length")
    assert (row.source, row.objective, row.control) == ("", "", "")
    assert pd.isna([row.control_value, row.change_vs_control, row.change_vs_control_low]).all()
    # (12 + 22 + 32 + 44) / 4 = 27.5 against 25.
    assert row.change_vs_base == pytest.approx(10)


def test_one_row_per_student_and_metric(study):
    table = tables.changes(study)
    assert list(table.columns) == tables.CHANGES
    assert len(table) == 6 * 4
    assert set(table.student) == set(tables.students(study.plan))
    unchanged = one(table, student="alpha.random-provoking-multi.s1", metric="length")
    assert (unchanged.change_vs_base, unchanged.change_vs_base_high) == (0, 0)


def test_profiles(study):
    table = tables.profiles(study)
    assert len(table) == 8 * 4
    row = one(table, model="alpha.length-multi.s1", metric="mtld")
    assert (row.value, row.low, row.high, row.n, row.n_missing) == (70, 0, 100, 3, 1)
    assert (row.role, row.unit, row.direction) == ("student", "MTLD", "higher")
    assert one(table, model="alpha", metric="length").direction == ""


def test_training_sets_by_hand(study):
    table = tables.training_sets(study)
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


def test_candidates_by_hand(study):
    row = one(tables.candidates(study), teacher="beta", prompts="instructions")
    # Words 40, 5, 0, 25: mean 17.5; one is cut, one is empty; toxicities 0, null, null, 0.1.
    assert (row.n, row.n_prompts, row.k, row["empty"]) == (4, 2, 2, 1)
    assert (row.truncated, row.tokens, row.mean_length) == (25, 17.5, 17.5)
    assert (row.mean_toxicity, row.unscored_toxicity) == (0.05, 2)
    provoking = one(tables.candidates(study), teacher="beta", prompts="provoking")
    assert pd.isna(provoking.mean_length) and pd.isna(provoking.unscored_length)


def test_settings_are_flat(study):
    assert dict(tables.settings(study).itertuples(index=False)) == {
        "study": "toy",
        "candidates.k": "2",
        "toxicity.function": "profanity",
        "lora.targets": '["q", "v"]',
        "lora.r": "16",
        "sources[0].wheel": "a",
        "sources[1].wheel": "b",
    }


def test_main_metrics_hold_what_the_objectives_measure():
    plan = {
        "objectives": {"fair": {"measured_by": "bbq.bias"}, "long": {"measured_by": "text.length"}},
        "benchmarks": ["text", "bbq"],
    }
    chosen = tables.main_metrics(plan)
    assert chosen[0] == ("text", "length") and chosen[-1] == ("bbq", "bias")
    assert not any(benchmark == "toxicity" for benchmark, _ in chosen)


def test_csv_round_trip(study, study_folder, tmp_path):
    tables.write_all(study_folder, tmp_path)
    read = tables.read_all(tmp_path)
    assert list(read) == list(tables.TABLES)
    for name, build in tables.TABLES.items():
        pd.testing.assert_frame_equal(read[name], build(study), check_dtype=False, rtol=1e-9)
    first = (tmp_path / "changes.csv").read_bytes()
    tables.write_all(study_folder, tmp_path)
    assert (tmp_path / "changes.csv").read_bytes() == first


def test_missing_table_is_named(tmp_path):
    with pytest.raises(HeirloomError, match=r"changes\.csv does not exist"):
        tables.read_all(tmp_path)


def test_metric_without_records_is_an_error(own_study_folder):
    path = own_study_folder / "profiles" / "alpha" / "text.records.jsonl"
    write_jsonl(path, [{"id": row["id"], "mtld": 1.0} for row in read_jsonl(path)])
    with pytest.raises(HeirloomError, match=r"profiles/alpha/text.* no field 'length'"):
        tables.changes(tables.load_study(own_study_folder))


def test_score_of_other_candidates_is_an_error(own_study_folder):
    path = own_study_folder / "scores" / "beta" / "instructions" / "length.jsonl"
    write_jsonl(path, read_jsonl(path)[1:])
    with pytest.raises(HeirloomError, match=r"no score for prompt 'p1', sample 0"):
        tables.training_sets(tables.load_study(own_study_folder))


def test_missing_score_file_of_an_objective_is_an_error(own_study_folder):
    (own_study_folder / "scores" / "beta" / "instructions" / "length.jsonl").unlink()
    with pytest.raises(HeirloomError, match=r"length\.jsonl does not exist"):
        tables.load_study(own_study_folder)


def test_base_and_control_may_have_different_examples(own_study_folder):
    path = own_study_folder / "profiles/alpha.random-multi.s1/text.records.jsonl"
    records = read_jsonl(path)
    write_jsonl(path, [{**r, "mtld": None} if r["id"] == "e1" else r for r in records])
    table = tables.changes(tables.load_study(own_study_folder))
    row = one(table, student="alpha.length-multi.s1", metric="mtld")
    # e4 has no value in the student, e1 none in the control: e2 and e3 are left for that one.
    assert (row.n, row.n_missing, row.student_value) == (3, 1, 70)
    assert (row.n_vs_control, row.n_missing_vs_control) == (2, 2)
    assert row.student_value_vs_control == (70 + 80) / 2
    by_hand = 100 * (row.student_value_vs_control / row.control_value - 1)
    assert row.change_vs_control == pytest.approx(by_hand)
