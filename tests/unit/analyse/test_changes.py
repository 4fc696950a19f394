"""The table of changes: numbers derived by hand from the lists of the toy study."""

from dataclasses import replace

import pandas as pd
import pytest
from toy_study import DATASETS, plan, write_metrics

from heirloom.analyse.frames import columns_of
from heirloom.analyse.results import load_results
from heirloom.analyse.tables.changes import Change, changes
from heirloom.analyse.tables.profiles import profiles
from heirloom.profiling import BENCHMARKS, Benchmark, Metric, Options, summarise
from heirloom.profiling.profile import Profile
from heirloom.statistics.comparisons import holm
from heirloom.statistics.resampling import mean_of
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


def test_change_by_hand(results):
    row = one(changes(results), student="alpha.length-multi", metric="length")
    # base (10 + 20 + 30 + 40) / 4 = 25, student (20 + 30 + 40 + 60) / 4 = 37.5: +50 %;
    # control (15 + 25 + 35 + 45) / 4 = 30: +25 %.
    assert (row.base_value, row.student_value, row.control_value) == (25, 37.5, 30)
    assert row.change_vs_base == pytest.approx(50)
    assert row.change_vs_control == pytest.approx(25)
    assert (row.n, row.n_missing) == (4, 0)
    assert (row.selection, row.source, row.objective) == ("best", "pool", "length")
    assert (row.control, row.unit, row.n_seeds) == ("alpha.random-multi", "words", 1)
    assert pd.isna(row.seed_sd)
    assert row.change_vs_base_low < 50 < row.change_vs_base_high
    # The gain is between +10 (e1..e3) and +20 on a base of at most 40: at least 25 %.
    assert row.change_vs_base_low >= 25


def test_a_null_example_is_dropped_from_both_sides(results):
    row = one(changes(results), student="alpha.length-multi", metric="mtld")
    # e4 is null: base (50 + 60 + 70) / 3 = 60, student (60 + 70 + 80) / 3 = 70, 100 * 10 / 60.
    assert (row.n, row.n_missing, row.base_value, row.student_value) == (3, 1, 60, 70)
    assert row.change_vs_base == pytest.approx(100 / 6)


def test_no_control_is_null(results):
    row = one(changes(results), student="alpha.passive-alpha", metric="length")
    assert (row.source, row.objective, row.control) == ("", "", "")
    assert pd.isna([row.control_value, row.change_vs_control, row.change_vs_control_low]).all()
    # (12 + 22 + 32 + 44) / 4 = 27.5 against 25.
    assert row.change_vs_base == pytest.approx(10)


def test_one_row_per_student_and_metric(results):
    table = changes(results)
    assert list(table.columns) == columns_of(Change)
    assert len(table) == 6 * 4
    assert list(dict.fromkeys(table.student)) == list(results.plan.students_by_seed)
    unchanged = one(table, student="alpha.random-provoking-multi", metric="length")
    assert (unchanged.change_vs_base, unchanged.change_vs_base_high) == (0, 0)
    assert unchanged.p_vs_base == 1


def test_families_by_hand(results):
    table = changes(results)
    # Steered against controls: length of two students, emt of one. The other main metrics are
    # families by benchmark; nothing is compared with the controls of passive and random students.
    assert dict(table["family_vs_control"].value_counts()) == {
        **{"": 3 * 4, "steering": 3},
        **{"text": 3 * 2 - 2, "toxicity": 3 * 2 - 1},
    }
    assert dict(table["family_vs_base"].value_counts()) == {"text": 6 * 2, "toxicity": 6 * 2}
    steered = table[table["family_vs_control"] == "steering"]
    # Four examples that all gained, twice: 2 / 2^4; two examples: 2 / 2^2.
    assert list(steered["p_vs_control"]) == [1 / 8, 1 / 8, 1 / 2]
    assert list(steered["p_holm_vs_control"]) == [3 / 8, 3 / 8, 1 / 2]
    # The same signs, all of them.
    assert list(steered["p_permutation_vs_control"]) == [1 / 8, 1 / 8, 1 / 2]
    others = table[table["family_vs_control"] != "steering"]
    assert others["p_permutation_vs_control"].isna().all()
    for reference in ("base", "control"):
        for family, rows in table.groupby(f"family_vs_{reference}"):
            if family:
                assert list(rows[f"p_holm_vs_{reference}"]) == holm(list(rows[f"p_vs_{reference}"]))


def test_adjusted_intervals_are_wider(results):
    table = changes(results)
    for reference in ("base", "control"):
        for kind in ("change", "difference"):
            name = f"{kind}_vs_{reference}"
            own = table[(table[f"family_vs_{reference}"] != "") & table[f"{name}_low"].notna()]
            outside = own[f"{name}_low_adjusted"] - own[f"{name}_low"]
            assert len(own) and (outside <= 0).all() and (outside < 0).any()
            assert (own[f"{name}_high_adjusted"] >= own[f"{name}_high"]).all()
            assert table[f"{name}_low_adjusted"].notna().sum() == len(own)
    row = one(table, student="alpha.length-multi", metric="length")
    # Bonferroni for three tests with three degrees of freedom: t for 1 - 0.05 / 6 is 4.857 instead
    # of 3.182, 1.526 times as far from the value.
    expected = row.difference_vs_control - 1.526 * (
        row.difference_vs_control - row.difference_vs_control_low
    )
    assert row.difference_vs_control_low_adjusted == pytest.approx(expected, abs=0.01)


@pytest.fixture
def two_seeds(own_study_folder):
    """The study with a second seed of length-multi and of its control, 4 and 2 words longer."""
    root, models = own_study_folder, dict(plan().models)
    for name, more in (("random-multi", 2), ("length-multi", 4)):
        first, second = f"alpha.{name}.s1", f"alpha.{name}.s2"
        control = "alpha.random-multi.s2" if models[first].control else None
        models[second] = replace(models[first], id=second, seed=2, control=control)
        for benchmark in plan().benchmarks:
            old, new = (root / "profiles" / model / benchmark for model in (first, second))
            records = read_jsonl(old.with_suffix(".records.jsonl"))
            for record in records:
                if "length" in record:
                    record["length"] += more
            write_jsonl(new.with_suffix(".records.jsonl"), records)
            write_metrics(new.with_suffix(".json"), Profile.read(old.with_suffix(".json")).metrics)
    replace(plan(), models=models).write(root / "plan.json")
    return root


def test_seeds_are_pooled_by_hand(two_seeds):
    results = load_results(two_seeds)
    table = changes(results)
    assert len(table) == 6 * 4  # as many as with one seed
    row = one(table, student="alpha.length-multi", metric="length")
    # Seeds 37.5 and 41.5, mean 39.5, against 25; controls 30 and 32, mean 31: differences of 7.5
    # and 9.5.
    assert (row.n_seeds, row.n, row.control) == (2, 4, "alpha.random-multi")
    assert (row.base_value, row.student_value, row.control_value) == (25, 39.5, 31)
    assert row.change_vs_base == pytest.approx(58)
    assert row.change_vs_control == pytest.approx(100 * (39.5 / 31 - 1))
    assert (row.difference_vs_base, row.difference_vs_control) == (14.5, 8.5)
    assert row.seed_sd == pytest.approx(2**0.5)  # of the differences to the control
    control = one(table, student="alpha.random-multi", metric="length")
    assert (control.n_seeds, control.difference_vs_base) == (2, 6)
    assert control.seed_sd == pytest.approx(2**0.5)  # 5 and 7 above the base
    assert one(table, student="alpha.length-alpha", metric="length").n_seeds == 1
    profiled = profiles(results)
    assert len(profiled[profiled["model"].str.startswith("alpha.length-multi.s")]) == 2 * 4


def test_metric_without_records_is_an_error(own_study_folder):
    path = own_study_folder / "profiles" / "alpha" / "text.records.jsonl"
    write_jsonl(path, [{"id": row["id"], "mtld": 1.0} for row in read_jsonl(path)])
    with pytest.raises(HeirloomError, match=r"profiles/alpha/text.* no field 'length'"):
        changes(load_results(own_study_folder))


def test_base_and_control_may_have_different_examples(own_study_folder):
    path = own_study_folder / "profiles/alpha.random-multi.s1/text.records.jsonl"
    records = read_jsonl(path)
    write_jsonl(path, [{**r, "mtld": None} if r["id"] == "e1" else r for r in records])
    table = changes(load_results(own_study_folder))
    row = one(table, student="alpha.length-multi", metric="mtld")
    # e4 has no value in the student, e1 none in the control: e2 and e3 are left for that one.
    assert (row.n, row.n_missing, row.student_value) == (3, 1, 70)
    assert (row.n_vs_control, row.n_missing_vs_control) == (2, 2)
    assert row.student_value_vs_control == (70 + 80) / 2
    by_hand = 100 * (row.student_value_vs_control / row.control_value - 1)
    assert row.change_vs_control == pytest.approx(by_hand)


# Metrics that are no means of one field, on a study of one base and one student with a control


STUDENT, CONTROL = "alpha.length-multi.s1", "alpha.random-multi.s1"
POOLED = "alpha.length-multi"


def _net(columns, weights):
    """100 * (wins - losses) / games: a share of sums, and no ratio scale."""
    return (
        100 * (weights @ columns["won"] - weights @ columns["lost"]) / (weights @ columns["games"])
    )


GAMES = {
    "net": Metric("points", "higher", ("won", "lost", "games"), _net, relative=False),
    "net.chess": Metric(
        "points", "higher", ("won", "lost", "games"), _net, {"kind": "chess"}, relative=False
    ),
    "games": Metric("games"),
    "games.go": Metric("games", None, ("games",), mean_of("games"), {"kind": "go"}),
    "p_value": Metric("probability", None, ("won",), mean_of("won"), compared=False),
}

# id, kind, won, lost, games of the base, the control and the student.
PLAYED = {
    "alpha": [("a", "chess", 1, 3, 4), ("b", "chess", 2, 2, 4), ("c", "draughts", 4, 0, 4)],
    CONTROL: [("a", "chess", 2, 2, 4), ("b", "chess", 2, 2, 4), ("c", "draughts", 2, 2, 4)],
    STUDENT: [("a", "chess", 3, 1, 4), ("b", "chess", None, 1, 6), ("c", "draughts", 4, 0, 8)],
}


@pytest.fixture
def games(own_study_folder, monkeypatch):
    """The study with a benchmark that only its test knows."""
    known = Benchmark("games", "Games", "Games.", Options, GAMES, lambda *_: [])
    monkeypatch.setitem(BENCHMARKS._components, "games", known)
    root = own_study_folder
    played = plan(
        {name: DATASETS[name] for name in ("random-multi", "length-multi")},
        profiling={"games": {}, "text": {"prompts": "instructions"}},
    )
    played = replace(played, models={name: played.models[name] for name in PLAYED})
    played.write(root / "plan.json")
    for model, rows in PLAYED.items():
        fields = ("id", "kind", "won", "lost", "games")
        records = [dict(zip(fields, row, strict=True)) for row in rows]
        write_jsonl(root / "profiles" / model / "games.records.jsonl", records)
        metrics = summarise(records, GAMES, seed=1)
        write_metrics(root / "profiles" / model / "games.json", metrics)
    return root


def test_a_ratio_of_sums_by_hand(games):
    row = one(changes(load_results(games)), student=POOLED, metric="net")
    # b lacks a win count in the student: a and c are left. Base 100 * (5 - 3) / 8 = 25, student
    # 100 * (7 - 1) / 12 = 50, control 100 * (4 - 4) / 8 = 0.
    assert (row.n, row.n_missing, row.relative, row.unit) == (2, 1, "no", "points")
    assert (row.base_value, row.student_value, row.control_value) == (25, 50, 0)
    assert (row.difference_vs_base, row.difference_vs_control) == (25, 50)
    # Resampled: a alone -50 and 50, c alone 100 and 50, both 25 and 50: differences of 100, -50
    # and 25. Against the control: 50 and 0, 50 and 0.
    assert (row.difference_vs_base_low, row.difference_vs_base_high) == (-50, 100)
    assert (row.difference_vs_control_low, row.difference_vs_control_high) == (50, 50)
    columns = [column for column in row.index if column.startswith("change_vs_")]
    assert len(columns) == 10 and pd.isna(row[columns]).all()


def test_a_category_uses_its_own_examples(games):
    row = one(changes(load_results(games)), student=POOLED, metric="net.chess")
    # a alone: base -50, student 50; b is missing, c is no chess and not missing either.
    assert (row.n, row.n_missing, row.difference_vs_base) == (1, 1, 100)
    assert pd.isna(row.difference_vs_base_low)


def test_relative_metrics_have_both(games):
    row = one(changes(load_results(games)), student=POOLED, metric="games")
    # (4 + 6 + 8) / 3 = 6 against 4.
    assert (row.relative, row.change_vs_base, row.difference_vs_base) == ("yes", 50, 2)
    assert (row.difference_vs_base_low, row.difference_vs_base_high) == (0, 4)
    assert (row.change_vs_base_low, row.change_vs_base_high) == (0, 100)


def test_metrics_that_are_absent_or_not_compared_have_no_row(games):
    results = load_results(games)
    assert "games.go" not in results.profiles[STUDENT]["games"].metrics
    changed = changes(results)
    reported = set(changed[changed["benchmark"] == "games"]["metric"])
    assert reported == {"net", "net.chess", "games"}
    profile = one(profiles(results), model=STUDENT, metric="p_value")
    assert profile.value == 3.5 and pd.isna(profile.low)  # (3 + 4) / 2, no interval


def test_a_category_that_only_one_student_has(games):
    # The control never played chess: there is nothing to compare with there.
    path = games / "profiles" / CONTROL / "games.records.jsonl"
    write_jsonl(path, [{**row, "kind": "go"} for row in read_jsonl(path)])
    row = one(changes(load_results(games)), student=POOLED, metric="net.chess")
    assert (row.n, row.n_vs_control, row.n_missing_vs_control) == (1, 0, 2)
    assert pd.isna(row.difference_vs_control) and pd.isna(row.control_value)


def test_rows_stand_in_the_order_of_the_profiles(games):
    changed = changes(load_results(games))
    assert list(dict.fromkeys(changed["student"])) == ["alpha.random-multi", POOLED]
    assert list(changed[changed["student"] == POOLED]["metric"]) == [
        *("net", "net.chess", "games", "length", "mtld"),
    ]


def test_a_metric_that_no_benchmark_defines_any_more_is_an_error(own_study_folder):
    for path in own_study_folder.glob("profiles/*/text.json"):
        write_metrics(path, {"gone": Profile.read(path).metrics["length"]})
    with pytest.raises(
        HeirloomError, match=r"text\.gone, which the benchmark text does not define"
    ):
        changes(load_results(own_study_folder))
