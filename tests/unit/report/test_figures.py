import re
import xml.etree.ElementTree as ElementTree

import pytest
from heirloom.analyse.contents import figure_names, table_names
from heirloom.analyse.tables.frames import rows_of

from heirloom.analyse import tables
from heirloom.analyse.results import load_study, students
from heirloom.report import figures, labels
from heirloom.report.figures import effects

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def study(wide_study_folder):
    return load_study(wide_study_folder)


@pytest.fixture(scope="module")
def built(study):
    return {name: tables.TABLES[name](study) for name in table_names(study.plan)}


@pytest.fixture(scope="module")
def drawn(study, built):
    return {name: figures.FIGURES[name](built, study.plan) for name in figure_names(study.plan)}


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_is_well_formed_and_described(drawn, name):
    root = ElementTree.fromstring(drawn[name])
    assert root.tag == f"{SVG}svg"
    described = [root.find(f"{SVG}title"), root.find(f"{SVG}desc")]
    assert all(element is not None and element.text for element in described)
    assert root.get("aria-labelledby").split() == [element.get("id") for element in described]


@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_text_follows_the_page(drawn, name):
    svg = drawn[name]
    assert "#010203" not in svg and "currentColor" in svg
    # Nothing is painted black or white, which one of the two schemes would hide.
    assert not re.search(r"(fill|stroke): (#000000|#ffffff|black|white)", svg)
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        assert "fill: currentColor" in element.get("style")


def test_no_id_is_used_twice_on_a_page_with_all_figures(drawn):
    ids = [found for svg in drawn.values() for found in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in drawn.values():
        own = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {
            pair for key in own for pair in ((key, ""), ("", key))
        }


def test_equal_input_gives_equal_bytes(study, built, drawn):
    for name, svg in drawn.items():
        assert figures.FIGURES[name](built, study.plan) == svg
        assert "dc:date" not in svg


def test_a_study_has_the_figures_that_it_has_something_for(study, built):
    numbered = [f"figure{number}" for number in range(1, 7)]
    assert figure_names(study.plan) == [*numbered, "reliability"]
    plan = {**study.plan, "benchmarks": ["text"]}
    assert "reliability" not in figure_names(plan)
    assert "calibration_bins" not in table_names(plan)
    profiled_only = {**plan, "models": {"alpha": study.plan["models"]["alpha"]}}
    assert figure_names(profiled_only) == []
    passive = {k: v for k, v in study.plan["models"].items() if v["dataset"] == "passive-alpha"}
    assert figure_names({**plan, "models": passive}) == ["figure2", "figure6"]
    assert set(table_names(study.plan)) == set(tables.TABLES)
    assert set(figure_names(study.plan)) == set(figures.FIGURES)


def test_figure1_labels_bars_by_hand(drawn):
    text = words(drawn["figure1"])
    # Base mean 25: length-multi 37.5 is +50 %, its control 30 is +20 %; length-alpha 30 is +20 %,
    # its control, the passive set, 27.5 is +10 %. emt of the base 0.5: toxicity-multi 0.3 is -40 %.
    assert [entry for entry in text if entry.endswith("%")] == [
        "+20.0 %",
        "+10.0 %",
        "+50.0 %",
        "+20.0 %",
        "\N{MINUS SIGN}40.0 %",
        "0.0 %",
    ]
    assert "best, single-source alpha" in text and "random, multi-source" in text
    assert "Length (maximise)" in text and "Expected maximum toxicity (minimise)" in text


def test_figure1_distinguishes_its_bars(drawn):
    for colour in ("#d55e00", "#0072b2"):
        assert colour in drawn["figure1"].lower()
    assert "<pattern" in drawn["figure1"]


def test_figure2_shows_passive_students_only(drawn):
    text = words(drawn["figure2"])
    assert "passive-alpha" in text and "length-multi" not in text
    assert "Lexical diversity (MTLD)" in text and "Toxicity probability" in text


def test_figure2_has_bbq_by_category_as_differences(drawn, built):
    text = words(drawn["figure2"])
    assert {"all", "age", "gender identity", "religion"} <= set(text)
    assert text.count("BBQ bias") == 1  # one passive student
    assert "difference to the base" in text
    changes = built["changes"]
    row = next(
        rows_of(
            changes[
                (changes["student"] == "alpha.passive-alpha")
                & (changes["metric"] == "bias_ambiguous.age")
            ]
        )
    )
    described = ElementTree.fromstring(drawn["figure2"]).find(f"{SVG}desc").text
    assert (
        f"BBQ: bias, ambiguous contexts, age: passive-alpha "
        f"{labels.signed(row.difference_vs_base)} [" in described
    )


def test_figure2_without_bbq_has_bars_only(drawn, built, study):
    changes = built["changes"]
    text = words(figures.figure2(changes[changes["benchmark"] == "text"], study.plan))
    assert "Length" in text and not any("BBQ" in entry for entry in text if entry)


def test_figure6_shows_every_student(drawn, study):
    text = words(drawn["figure6"])
    for student in students(study.plan):
        assert labels.student_label(student, study.plan) in text


def test_figure6_keeps_percent_and_differences_apart(drawn, built, study):
    # length, mtld, emt, toxicity probability, the calibration errors of two data sets and the
    # judge's agreement with humans are shown in percent; its consistency, which may be zero, and
    # BBQ's two bias scores, the first of its main metrics, as differences.
    chosen = effects._side_effects(built["changes"], study.plan)
    assert [metric for _, metric in chosen] == [
        *("length", "mtld", "emt", "toxicity_probability", "bias_ambiguous"),
        *("bias_disambiguated", "ece.hellaswag", "ece.openbookqa"),
        *("consistency", "human_agreement"),
    ]
    text = words(drawn["figure6"])
    assert text.count("% change") == 7
    assert text.count("difference, percent") == 2
    assert text.count("difference, share of pairs") == 1


def test_figure6_shows_what_was_steered_beyond_its_usual_choice(built, study):
    objectives = {"fair": {"measured_by": "bbq.accuracy.age", "direction": "maximise"}}
    chosen = effects._side_effects(built["changes"], {**study.plan, "objectives": objectives})
    assert ("bbq", "accuracy.age") in chosen


def test_reliability_shows_data_sets_and_steered_students(drawn):
    text = words(drawn["reliability"])
    # alpha, beta and the three steered students, for each of two data sets.
    assert text.count("hellaswag") == text.count("openbookqa") == 5
    assert "toxicity-multi" in text and "random-multi" not in text


def test_reliability_of_a_study_without_students(built, study):
    bins = built["calibration_bins"]
    models = {"alpha": {**study.plan["models"]["alpha"], "role": "other"}}
    text = words(figures.reliability(bins[bins["model"] == "alpha"], {"models": models}))
    assert text.count("alpha") == 2


def test_a_study_without_students_still_draws(study, built):
    empty = {**built, "changes": built["changes"].iloc[:0]}
    plan = {**study.plan, "models": {}}
    for draw in figures.FIGURES.values():
        assert draw(empty, plan).startswith("<svg ")


def test_undefined_change_is_said(study, built):
    changes = built["changes"].copy()
    ends = [column for column in changes.columns if column.startswith("change_vs_")]
    changes.loc[changes["metric"] == "emt", ends] = None
    assert words(figures.figure1(changes, study.plan)).count("undefined") == 2
    assert "undefined" in words(figures.figure6(changes, study.plan))


def test_an_objective_without_a_true_zero_is_drawn_as_a_difference(study, built):
    objectives = {
        "toxicity": {"measured_by": "bbq.bias_ambiguous", "direction": "minimise"},
    }
    text = words(figures.figure1(built["changes"], {**study.plan, "objectives": objectives}))
    assert "difference against the base, 95 % interval" in text
    assert not any(entry.endswith("%") for entry in text)


@pytest.mark.parametrize(
    ("benchmark", "metric", "text"),
    [
        ("text", "length", "Length"),
        ("bbq", "accuracy", "BBQ: accuracy"),
        ("stereoset", "icat.gender", "StereoSet: ICAT, gender"),
        ("calibration", "ece.hellaswag", "Calibration: calibration error (ECE), hellaswag"),
        ("brand_new", "some_thing", "Brand new: some thing"),
    ],
)
def test_names_of_metrics(benchmark, metric, text):
    assert labels.full_label(benchmark, metric) == text


def test_labels_name_only_what_differs():
    def model(base, seed):
        return {"role": "student", "base": base, "dataset": "length-multi", "seed": seed}

    one = {"models": {"a": model("x", 1)}}
    assert labels.student_label("a", one) == "length-multi"
    two = {"models": {"a": model("x", 1), "b": model("y", 2)}}
    assert labels.student_label("b", two) == "y.length-multi.s2"
    assert labels.student_label("y.length-multi", two) == "y.length-multi"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0 %"),
        (-0.04, "0.0 %"),
        (12.34, "+12.3 %"),
        (-5.0, "\N{MINUS SIGN}5.0 %"),
        (99.96, "+100 %"),
        (1234.5, "+1,234 %"),
    ],
)
def test_percent(value, text):
    assert labels.percent(value) == text


def test_write_all(study_folder, tmp_path):
    tables.write_all(study_folder, tmp_path)
    figures.write_all(study_folder, tmp_path, tmp_path / "figures")
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    # No calibration, no reliability diagram.
    assert drawn == {"figure1", "figure2", "figure4", "figure6"}
