"""Agreement of judges: kappa against scikit-learn, ties, and table and figure of a study."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from toy_study import write_metrics

from heirloom.analyse import tables
from heirloom.analyse.contents import figure_names, table_names
from heirloom.analyse.results import load_study, students
from heirloom.analyse.tables.agreement import HUMAN, agreement
from heirloom.profiling.data.preferences import Pair, read_pairs
from heirloom.profiling.judge import measure
from heirloom.report import figures
from heirloom.report.labels import student_label
from heirloom.statistics.agreement import compare_judges, kappa_of
from heirloom.statistics.estimates import estimate
from heirloom.support.files import Record, read_json, write_json, write_jsonl

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "preferences"
SVG = "{http://www.w3.org/2000/svg}"


# Kappa


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.choice(["first", "second", "tie"], 50, p=[0.6, 0.3, 0.1])
    other = np.where(rng.random(50) < 0.5, one, rng.choice(["first", "second"], 50))
    counts = rng.multinomial(50, [1 / 50] * 50, size=3)
    weights = np.vstack([np.ones(50), counts]).astype(np.float64)
    found = kappa_of("a", "b")({"a": one, "b": other}, weights)
    assert found[0] == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    for drawn, kappa in zip(counts, found[1:], strict=True):
        expected = cohen_kappa_score(np.repeat(one, drawn), np.repeat(other, drawn))
        assert kappa == pytest.approx(expected, abs=1e-12)


def test_kappa_by_hand_and_undefined() -> None:
    # Equal in 3 of 4; chance 3/4 * 2/4 + 1/4 * 2/4 = 1/2; (3/4 - 1/2) / (1 - 1/2) = 1/2.
    rows = [{"a": a, "b": b} for a, b in ("xx", "xx", "xy", "yy")]
    assert estimate(rows, kappa_of("a", "b"), ["a", "b"], seed=1).value == 0.5
    same = estimate([{"a": "x", "b": "x"}] * 4, kappa_of("a", "b"), ["a", "b"], seed=1)
    assert same.value is None and same.reason == "it is undefined for these examples"


# Two judges


def test_ties_and_missing_verdicts() -> None:
    one = {"1": "first", "2": "first", "3": "tie", "4": "tie", "5": None, "6": "second", "7": "tie"}
    other = {"1": "first", "2": "second", "3": "tie", "4": "first", "5": "first", "6": "second"}
    found = compare_judges(one, {**other, "8": "first"}, seed=1)
    # Both were shown 1 to 6; 5 has one verdict; 3 and 4 have a tie; of 1, 2 and 6 two are equal.
    assert (found.n_missing, found.n_ties, found.share.n) == (1, 2, 3)
    assert found.share.value == pytest.approx(2 / 3)
    assert (found.share_with_ties.n, found.share_with_ties.value) == (5, 3 / 5)
    decided = (["first", "first", "second"], ["first", "second", "second"])
    assert found.kappa.value == pytest.approx(cohen_kappa_score(*decided))
    counted = (
        ["first", "first", "tie", "tie", "second"],
        ["first", "second", "tie", "first", "second"],
    )
    assert found.kappa_with_ties.value == pytest.approx(cohen_kappa_score(*counted))
    low, high = found.share.low, found.share.high
    assert low is not None and high is not None and 0 <= low < 2 / 3 < high <= 1
    assert compare_judges(other, one, seed=1).share == found.share
    assert compare_judges({}, other, seed=1).share.value is None


def test_the_published_agreement_of_pandalms_annotators() -> None:
    """The matrix in the README of WeOpenML/PandaLM, which it calls inter-annotator agreement."""
    path = SHARED / "pandalm_testset-v1.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    pairs = read_pairs(path, "pandalm")
    people = [{pair.id: pair.labels[number] for pair in pairs} for number in range(3)]
    kappas = [
        compare_judges(people[a], people[b], seed=1).kappa_with_ties.value
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    assert [round(kappa or 0, 2) for kappa in kappas] == [0.85, 0.88, 0.86]


# Table and figure: six pairs, two annotators; a model's verdicts are f, s, t, or - for none.

NAMES = {"f": "first", "s": "second", "t": "tie"}
LABELS = [("f", "f"), ("f", "f"), ("s", "s"), ("s", "s"), ("f", "s"), ()]
VERDICTS = {
    "alpha": "ffssff",
    "beta": "sfssfs",
    "alpha.passive-alpha.s1": "ffssss",
    "alpha.random-multi.s1": "ssfff-",
    "alpha.length-alpha.s1": "ssffss",
    "alpha.length-multi.s1": "ffsfff",
    "alpha.random-provoking-multi.s1": "ffssff",
    "alpha.toxicity-multi.s1": "tfssft",
}


def judged(model: str, *, labelled: bool) -> list[Record]:
    records: list[Record] = []
    for number, (verdict, labels) in enumerate(zip(VERDICTS[model], LABELS, strict=True)):
        odds = {"f": (1.0, 1.0), "s": (-1.0, -1.0), "t": (1.0, -1.0), "-": (None, 1.0)}[verdict]
        names = tuple(NAMES[label] for label in labels) if labelled else ()
        pair = Pair(f"toys/{number}", "toys", "Why?", "one", "two words", names)
        records.append(measure(pair, log_odds=odds))
    return records


@pytest.fixture(params=[True, False], ids=["labelled", "unlabelled"])
def folder(request: pytest.FixtureRequest, own_study_folder: Path) -> Path:
    """The small study with a judge, whose pairs have labels or none."""
    plan = read_json(own_study_folder / "plan.json")
    benchmarks = [*plan["benchmarks"], "judge"]
    write_json(own_study_folder / "plan.json", {**plan, "benchmarks": benchmarks})
    for model in VERDICTS:
        profile = own_study_folder / "profiles" / model / "judge"
        write_metrics(profile.with_suffix(".json"), {})
        write_jsonl(profile.with_suffix(".records.jsonl"), judged(model, labelled=request.param))
    return own_study_folder


def test_table_by_hand(folder: Path) -> None:
    study = load_study(folder)
    table = agreement(study).set_index(["judge", "other"])
    labelled = bool(study.records["alpha"]["judge"][0]["labels"])
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


def test_figure_by_hand(folder: Path) -> None:
    study = load_study(folder)
    assert "agreement" in table_names(study.plan) and "figure3" in figure_names(study.plan)
    table = agreement(study)
    svg = figures.FIGURES["figure3"]({"agreement": table}, study.plan)
    root = ElementTree.fromstring(svg)
    words = [element.text for element in root.iter(f"{SVG}text")]
    description = root.find(f"{SVG}desc").text
    trained = {student_label(name, study.plan) for name in students(study.plan)}
    order = [word for word in words if word in trained]
    # Equal shares keep the plan's order.
    if HUMAN in set(table["other"]):
        # With the majority ffss: 4 of 4, 0, 0, 3, 4, and 3 of the 3 that it decides.
        assert order == [
            *("passive-alpha", "random-provoking-multi", "toxicity-multi"),
            *("length-multi", "random-multi", "length-alpha"),
        ]
        assert "humans" in words and "length-multi 75 %" in description
    else:
        # With the base ffssff: 4/6, 1/5, 0/6, 5/6, 6/6 and 4 of 4.
        assert order == [
            *("random-provoking-multi", "toxicity-multi", "length-multi"),
            *("passive-alpha", "random-multi", "length-alpha"),
        ]
        assert "humans" not in words and "length-multi 83 %" in description
    assert {"original alpha", "original beta", "same answer, % of pairs"} <= set(words)


def test_what_the_table_says_survives_its_file(folder: Path, tmp_path: Path) -> None:
    tables.write_all(folder, tmp_path)
    study = load_study(folder)
    read = tables.read_all(tmp_path, study.plan)
    drawn = [
        figures.FIGURES["figure3"](built, study.plan)
        for built in (read, {"agreement": agreement(study)})
    ]
    assert drawn[0] == drawn[1]


def test_a_study_without_a_judge_has_none_of_it(own_study_folder: Path) -> None:
    plan = read_json(own_study_folder / "plan.json")
    assert "agreement" not in table_names(plan) and "figure3" not in figure_names(plan)
    profiled = {**plan, "benchmarks": ["judge"], "models": {"alpha": plan["models"]["alpha"]}}
    assert "agreement" in table_names(profiled) and "figure3" not in figure_names(profiled)


def test_no_pair_at_all(folder: Path) -> None:
    study = load_study(folder)
    empty = study.__class__(
        **{**study.__dict__, "records": {m: {"judge": []} for m in study.plan["models"]}}
    )
    assert agreement(empty).empty
    assert "With original alpha: nothing." in figures.FIGURES["figure3"](
        {"agreement": agreement(empty)}, study.plan
    )
