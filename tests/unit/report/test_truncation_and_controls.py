"""Warnings about truncated answers and weak controls, in findings, limits and tables."""

import pandas as pd
import pytest

from heirloom.report import views
from heirloom.report.abstract import abstract
from heirloom.report.benchmark_views import sections
from heirloom.report.cells import TRUNCATED
from heirloom.report.findings.active import active_findings
from heirloom.report.findings.limits import limits
from heirloom.report.findings.truncation import HEADING

MINUS = "\N{MINUS SIGN}"


def with_values(table, where, **values):
    """The table with other values in the rows that have these values."""
    table = table.copy()
    own = pd.Series(True, table.index)
    for column, value in where.items():
        own &= table[column] == value
    assert own.any()
    for column, value in values.items():
        table.loc[own, column] = value
    return table


def sentences(study, built, student="length-multi"):
    findings = active_findings(study.plan, built)["length"]
    (own,) = (f for f in findings if f.student.startswith(student))
    return own.sentences


def test_truncated_answers_and_complete_pairs_by_hand(study, built):
    # e4 of length-multi is truncated. Without it: 20, 30, 40 against 10, 20, 30 and 15, 25, 35,
    # +50 % and +20 %. Of single examples +100 % and +33 %, and +33 % and +14 %.
    found = sentences(study, built)
    assert found[1:4] == [
        "Truncated answers: 25 % of the student's, 0 % of the base's and 0 % of the control's.",
        "Above 10 %, the length of answers, and all that depends on it, is that of the token limit "
        "rather than of the model.",
        "Complete pairs (prompts without a truncated answer): +50.0 % [+33.3, +100] against the "
        "base (n = 3) and +20.0 % [+14.3, +33.3] against the random control (n = 3).",
    ]
    assert sentences(study, built, "length-alpha")[1] == "No answer was truncated."
    assert "runcated" not in " ".join(active_findings(study.plan, built)["toxicity"][0].sentences)


@pytest.mark.parametrize(("share", "warned"), [(10.0, False), (10.1, True)])
def test_a_warning_starts_above_ten_percent(study, built, share, warned):
    row = {"student": "alpha.length-multi", "metric": "length"}
    changes = with_values(built["changes"], row, truncated_student=0.0, truncated_control=share)
    text = " ".join(sentences(study, built | {"changes": changes}))
    assert "Truncated answers: 0 % of the student's, 0 % of the base's and 10 % of" in text
    assert ("rather than of the model" in text) == warned == ("Complete pairs" in text)


def test_no_complete_pair_is_said(study, built):
    pairs = with_values(built["complete_pairs"], {"student": "alpha.length-multi"}, n=0)
    text = " ".join(sentences(study, built | {"complete_pairs": pairs}))
    assert "answer): none with the base and +20.0 % [+14.3, +33.3] against the random" in text


def test_limits_name_the_models_whose_answers_are_truncated(study, built):
    text = dict(limits(study.plan, built))[HEADING]
    assert text.startswith(
        "Text: more than 10 % of the answers reach the limit of 128 tokens in 1 of 6 students (at "
        "most 25 %, length-multi). Their length, and whatever depends on it,"
    )
    assert text in abstract(study.plan, built)[-1][1]
    changes = built["changes"]
    changes = changes.assign(truncated_base=changes["truncated_base"] + 58.4)
    text = dict(limits(study.plan, built | {"changes": changes}))[HEADING]
    assert "128 tokens in alpha (58 %) and 1 of 6 students" in text
    complete = with_values(built["changes"], {}, truncated_student=0.0)
    assert HEADING not in dict(limits(study.plan, built | {"changes": complete}))


def weak(built, base_value, student_value, trained, teacher):
    """The study with another control of length-multi, of other training data and teacher beta."""
    own = {"student": "alpha.random-multi", "metric": "length"}
    change = 100 * (student_value / base_value - 1)
    changes = with_values(
        built["changes"],
        own,
        base_value=base_value,
        student_value=student_value,
        change_vs_base=change,
        change_vs_base_low=change - 5,
        change_vs_base_high=change + 5,
    )
    sets = with_values(built["training_sets"], {"dataset": "random-multi"}, mean_length=trained)
    profiles = with_values(built["profiles"], {"model": "beta", "metric": "length"}, value=teacher)
    return built | {"changes": changes, "training_sets": sets, "profiles": profiles}


def steered(tables, control, student):
    """The study in which length-multi has these values against its control."""
    own = {"student": "alpha.length-multi", "metric": "length"}
    values = {"control_value": control, "student_value_vs_control": student}
    return tables | {"changes": with_values(tables["changes"], own, **values)}


def test_a_weak_control_is_named_with_its_reason(study, built):
    # 10 instead of 25 words, -60 %; its teacher beta 12, -52 %, its data 15, -40 %. The student has
    # 30: of the 20 words more than its control, 15 are the control's loss.
    tables = steered(weak(built, 25.0, 10.0, 15.0, 12.0), 10.0, 30.0)
    found = sentences(study, tables)
    said = (
        f"Length of random-multi changed by {MINUS}60.0 % [{MINUS}65.0, {MINUS}55.0] against its "
        "base (10 instead of 25 words), because its teacher beta has 12 itself and its training "
        "completions have 15 on average"
    )
    at = found.index(f"Weak control: {said}.")
    assert found[at + 1] == "The change against the control is mostly the control's."
    assert dict(limits(study.plan, tables))["Weak controls."] == (
        "A change against a control that is itself more than 25 % from its base is partly the "
        f"control's own: {said}."
    )
    assert any(said in text for text in abstract(study.plan, tables)[-1][1])


@pytest.mark.parametrize(
    ("control", "student", "meaning"),
    [
        # Base 25: of 60 - 10 = 50 words the control lost 15, 30 %.
        (10.0, 60.0, "Of the change against the control, 30 % is the control's."),
        # The control gained 15 words, and the student 20.
        (40.0, 45.0, "The control moved in the direction of the student, so that"),
        # The control gained 15 words and the student 5: against the control it seems to lose.
        (40.0, 30.0, "The change against the control is mostly the control's."),
    ],
)
def test_what_a_weak_control_means(study, built, control, student, meaning):
    tables = steered(weak(built, 25.0, control, 25.0, 25.0), control, student)
    found = sentences(study, tables)
    (at,) = (n for n, text in enumerate(found) if text.startswith("Weak control: "))
    assert found[at].endswith("which neither its teachers nor its training completions explain.")
    assert found[at + 1].startswith(meaning)


def test_without_a_change_against_it_a_weak_control_means_nothing(study, built):
    # No example has a value of both: nothing is known of the student's direction.
    tables = steered(weak(built, 25.0, 40.0, 25.0, 25.0), float("nan"), float("nan"))
    found = sentences(study, tables)
    assert any(text.startswith("Weak control: ") for text in found)
    assert not any("The control moved" in text for text in found)


@pytest.mark.parametrize(("value", "named"), [(31.25, False), (31.3, True), (18.7, True)])
def test_a_control_is_weak_above_a_quarter_either_way(study, built, value, named):
    # 25 words of the base: +25 % is 31.25 words, -25 % is 18.75.
    tables = weak(built, 25.0, value, 25.0, 25.0)
    assert ("Weak controls." in dict(limits(study.plan, tables))) == named
    # A passive control, of length-alpha, is 10 % from its base.
    assert not any("Weak" in text for text in sentences(study, tables, "length-alpha"))


def test_tables_show_truncated_shares_next_to_lengths(study, built):
    view = views.steered(study.plan, built["changes"])
    column = [heading for heading, _ in view.headings].index(TRUNCATED)
    shown = {(row[0].text, row[1].text): row[column].text for row in view.rows}
    assert shown["length-multi", "Length"] == "25, 0, 0"
    assert shown["passive-alpha", "Length"] == "0, 0"  # without a control
    assert shown["toxicity-multi", "Expected maximum toxicity"] == "\N{EN DASH}"
    # The benchmark's own table has the share of every model, teachers included.
    profiles = built["profiles"]
    shares = profiles[(profiles["benchmark"] == "text") & (profiles["metric"] == "length")]
    shares = shares.assign(metric="truncated", value=0.25)
    tables = built | {"profiles": pd.concat([profiles, shares], ignore_index=True)}
    text = sections(study.plan, tables)[0]
    assert text.main.headings[-1][0] == "Truncated answers, %"
    assert {row[-1].text for row in text.main.rows} == {"25"}
    own = [row for row in text.details.rows if row[1].text == "length-multi"]
    assert {row[0].text: row[-1].text for row in own}["Length"] == "25, 0, 0"
