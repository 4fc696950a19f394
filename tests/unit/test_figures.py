import re
import xml.etree.ElementTree as ElementTree

import pytest

from heirloom import figures, tables

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def study(study_folder):
    return tables.load_study(study_folder)


@pytest.fixture(scope="module")
def drawn(study):
    changes = tables.changes(study)
    return {name: draw(changes, study.plan) for name, draw in figures.FIGURES.items()}


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


def test_equal_input_gives_equal_bytes(study, drawn):
    changes = tables.changes(study)
    for name, draw in figures.FIGURES.items():
        assert draw(changes, study.plan) == drawn[name]
        assert "dc:date" not in drawn[name]


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


def test_figure6_shows_every_student(drawn, study):
    text = words(drawn["figure6"])
    for student in tables.students(study.plan):
        assert figures.student_label(student, study.plan) in text


def test_a_study_without_students_still_draws(study):
    changes = tables.changes(study).iloc[:0]
    plan = {**study.plan, "models": {}}
    for draw in figures.FIGURES.values():
        assert draw(changes, plan).startswith("<svg ")


def test_undefined_change_is_said(study):
    changes = tables.changes(study)
    ends = [column for column in changes.columns if column.startswith("change_vs_")]
    changes.loc[changes["metric"] == "emt", ends] = None
    assert words(figures.figure1(changes, study.plan)).count("undefined") == 2
    assert "undefined" in words(figures.figure6(changes, study.plan))


def test_labels_name_only_what_differs():
    def model(base, seed):
        return {"role": "student", "base": base, "dataset": "length-multi", "seed": seed}

    one = {"models": {"a": model("x", 1)}}
    assert figures.student_label("a", one) == "length-multi"
    two = {"models": {"a": model("x", 1), "b": model("y", 2)}}
    assert figures.student_label("b", two) == "y.length-multi.s2"


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
    assert figures.percent(value) == text


def test_write_all(study_folder, tmp_path):
    tables.write_all(study_folder, tmp_path)
    figures.write_all(study_folder, tmp_path, tmp_path / "figures")
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} == set(figures.FIGURES)
