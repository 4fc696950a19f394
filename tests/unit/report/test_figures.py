import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from report_file import changed
from toy_study import DATASETS, STUDY, plan

from heirloom.analyse.frames import rows_of
from heirloom.analyse.tables import table_names, write_tables
from heirloom.report.figures import FIGURES, figure_names, write_figures
from heirloom.report.figures.objectives import figure1
from heirloom.report.figures.passive import figure2
from heirloom.report.figures.reliability import reliability
from heirloom.report.figures.side_effects import figure6, side_effects
from heirloom.report.names import student_label
from heirloom.report.wording import number, signed

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn(wide, wide_built):
    return {name: FIGURES.get(name).draw(wide_built, wide.plan) for name in figure_names(wide.plan)}


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_study_has_the_figures_that_it_has_something_for(wide):
    numbered = [f"figure{number}" for number in range(1, 7)]
    names = [*numbered, "inherited", "reliability", "win_rates"]
    assert figure_names(wide.plan) == names and set(FIGURES.names()) == {*names}
    text_only = changed(wide.plan, profiling={"text": {"prompts": "instructions"}})
    assert figure_names(text_only) == [*numbered[:2], *numbered[3:], "inherited", "win_rates"]
    assert "calibration_bins" not in table_names(text_only)
    assert figure_names(plan({}, profiling={"text": {"prompts": "instructions"}})) == []
    passive = plan({"passive-alpha": DATASETS["passive-alpha"]})
    assert figure_names(passive) == ["figure2", "figure6"]


def test_figure1_labels_bars_by_hand(drawn):
    text = words(drawn["figure1"])
    # Base mean 25: length-multi 37.5 is +50 %, its control 30 is +20 %; length-alpha 30 is +20 %,
    # its control, the passive set, 27.5 is +10 %. emt of the base 0.5: toxicity-multi 0.3 is -40 %.
    assert [entry for entry in text if entry.endswith("%")] == [
        "+20.0 %",
        "+10.0 %",
        "+50.0 %",
        "+20.0 %",
        "+24.0 %",  # the control drawn again, 31
        "\N{MINUS SIGN}40.0 %",
        "0.0 %",
    ]
    assert "best, own" in text and "random, pool" in text
    assert "Length (maximise)" in text and "Expected maximum toxicity (minimise)" in text


def test_figure1_distinguishes_its_bars(drawn):
    for colour in ("#d55e00", "#0072b2"):
        assert colour in drawn["figure1"].lower()
    assert "<pattern" in drawn["figure1"]


def test_figure2_shows_passive_students_only(drawn):
    text = words(drawn["figure2"])
    assert "passive-alpha" in text and "length-multi" not in text
    assert "Lexical diversity (MTLD)" in text and "Toxicity probability" in text


def test_figure2_has_bbq_by_category_as_differences(drawn, wide_built):
    text = words(drawn["figure2"])
    assert {"all", "age", "gender identity", "religion"} <= set(text)
    assert text.count("BBQ bias") == 2  # two passive students
    assert "difference to the base, points" in text
    changes = wide_built["changes"]
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
        f"{signed(row.difference_vs_base)} [" in described
    )


def test_bbq_scores_share_one_scale_and_those_of_no_answers_are_not_drawn(wide, wide_built):
    changes = wide_built["changes"].copy()
    own = changes["student"] == "alpha.passive-alpha"
    # One answer of one question, which is biased in the student alone: from -100 to 100.
    ends = ["difference_vs_base", "difference_vs_base_low", "difference_vs_base_high"]
    changes.loc[own & (changes["metric"] == "bias_ambiguous.age"), ends] = [200.0, None, None]
    svg = figure2(changes, wide.plan)
    assert "undefined" in words(svg)
    root = ElementTree.fromstring(svg)
    described = root.find(f"{SVG}desc").text
    assert "ambiguous contexts, age: passive-alpha undefined." in described
    assert "passive-alpha +200" not in described
    panels = [[text.text for text in axis.iter(f"{SVG}text")] for axis in root.find(f"{SVG}g")]
    ticks = [
        [text for text in panel if re.fullmatch("\u2212?[0-9]+", text or "")]
        for panel in panels
        if "BBQ bias" in panel
    ]
    assert len(ticks) == 2 and len(ticks[0]) > 2 and ticks[0] == ticks[1]


def test_a_pointer_shows_value_and_interval(drawn):
    tips = [e.text for e in ElementTree.fromstring(drawn["figure1"]).iter(f"{SVG}title")][1:]
    assert any(re.fullmatch(r"best, pool \+50\.0 % \[\+.* % to \+.* %\]", tip) for tip in tips)
    # Bar, interval and its two ends say the same.
    assert {tips.count(tip) for tip in tips} <= {1, 4, 8}
    for svg in drawn.values():
        assert svg.count("<title") > 1 and 'id="hover' not in svg


def test_win_rates_by_hand(wide, wide_built):
    rates = wide_built["win_rates"]
    row = next(rows_of(rates[(rates["judge"] == "beta") & (rates["against"] == "control")]))
    svg = FIGURES.get("win_rates").draw(wide_built, wide.plan)
    assert {"Judge: alpha", "Judge: beta", "win rate, % of prompts"} <= set(words(svg))
    tip = f"{student_label(row.student, wide.plan)} {number(row.win_rate)} %"
    titles = [e.text for e in ElementTree.fromstring(svg).iter(f"{SVG}title")]
    assert any(t.startswith(tip) and t.endswith("random control, judged by beta") for t in titles)


def test_figure2_without_bbq_has_bars_only(wide, wide_built):
    changes = wide_built["changes"]
    text = words(figure2(changes[changes["benchmark"] == "text"], wide.plan))
    assert "Length" in text and not any("BBQ" in entry for entry in text if entry)


def test_figure6_shows_every_student(drawn, wide):
    text = words(drawn["figure6"])
    for student in wide.plan.students:
        assert student_label(student, wide.plan) in text


def test_figure6_keeps_percent_and_differences_apart(drawn, wide, wide_built):
    # length, mtld, emt, the calibration errors of two data sets and the judge's agreement with
    # humans are shown in percent; BBQ's two bias scores, the first of its main metrics, and what
    # may be zero, the toxicity probability and the judge's consistency, as differences.
    chosen = side_effects(wide_built["changes"], wide.plan)
    assert [metric for _, metric in chosen] == [
        *("bias_ambiguous", "bias_disambiguated", "ece.hellaswag", "ece.openbookqa"),
        *("consistency", "human_agreement", "length", "mtld", "emt", "toxicity_probability"),
    ]
    text = words(drawn["figure6"])
    assert text.count("% change") == 6
    assert text.count("difference, percent") == 2
    assert text.count("difference, share of pairs") == 1
    assert text.count("difference, share") == 1


def test_figure6_shows_what_was_steered_beyond_its_usual_choice(wide, wide_built):
    fair = {"metric": "length", "direction": "maximise", "measured_by": "bbq.accuracy.age"}
    own = changed(wide.plan, objectives={"length": fair})
    assert ("bbq", "accuracy.age") in side_effects(wide_built["changes"], own)


def test_reliability_shows_data_sets_and_steered_students(drawn):
    text = words(drawn["reliability"])
    # alpha, beta and the three steered students, for each of two data sets.
    assert text.count("hellaswag") == text.count("openbookqa") == 5
    assert "toxicity-multi" in text and "random-multi" not in text


def test_reliability_of_a_study_without_students(wide_built):
    bins = wide_built["calibration_bins"]
    alpha = replace(plan().models["alpha"], role="other")
    own = changed(plan({}), models={"alpha": alpha})
    assert words(reliability(bins[bins["model"] == "alpha"], own)).count("alpha") == 2


def test_a_study_without_students_still_draws(wide_built):
    none = {name: wide_built[name].iloc[:0] for name in ("changes", "inherited", "win_rates")}
    empty = {**wide_built, **none}
    own = changed(plan({}), models={})
    for figure in FIGURES:
        assert figure.draw(empty, own).startswith("<svg ")


def test_undefined_change_is_said(wide, wide_built):
    changes = wide_built["changes"].copy()
    ends = [c for c in changes.columns if c.startswith(("change_vs_", "difference_vs_"))]
    changes.loc[changes["metric"] == "emt", ends] = None
    assert words(figure1(changes, wide.plan)).count("undefined") == 2
    assert "undefined" in words(figure6(changes, wide.plan))


def test_an_objective_without_a_true_zero_is_drawn_as_a_difference(wide, wide_built):
    fair = {**STUDY["objectives"]["toxicity"], "measured_by": "bbq.bias_ambiguous"}
    text = words(figure1(wide_built["changes"], changed(wide.plan, objectives={"toxicity": fair})))
    assert "difference against the base, 95 % interval" in text
    assert not any(entry.endswith("%") for entry in text)


def test_only_figures_that_apply_are_written(own_study_folder):
    write_tables(own_study_folder)
    write_figures(own_study_folder)
    drawn = {path.stem for path in (own_study_folder / "figures").glob("*.svg")}
    # No calibration, no reliability diagram.
    assert drawn == {"figure1", "figure2", "figure4", "figure6", "inherited"}


def test_a_second_draw_stands_below_the_first(wide, wide_built):
    # (18 + 25 + 34 + 47) / 4 = 31 of 25 is +24 %, the first draw 30 is +20 %.
    svg = FIGURES.get("figure1").draw(wide_built, wide.plan)
    text = ElementTree.fromstring(svg).findtext(f"{SVG}desc")
    assert re.search(r"random, pool \+20\.0 % \[[^;]*; random again, pool \+24\.0 % \[", text)
