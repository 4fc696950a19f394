import pytest
from report_file import changed
from toy_study import plan

from heirloom.analyse.effects import Effect
from heirloom.profiling.labels import full_label
from heirloom.report import wording
from heirloom.report.names import objective_label, student_label
from heirloom.study.plan import Model

MINUS = "\N{MINUS SIGN}"
NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0 %"),
        (-0.04, "0.0 %"),
        (12.34, "+12.3 %"),
        (-5.0, f"{MINUS}5.0 %"),
        (99.96, "+100 %"),
        (1234.5, "+1,234 %"),
    ],
)
def test_percent(value, text):
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (NAN, "\N{EN DASH}"),
        (0.0, "0"),
        (0.01234, "0.012"),
        (-1.236, f"{MINUS}1.24"),
        (1234.6, "1,235"),
    ],
)
def test_number(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Effect(20.0, 16.7, 25.0, True, "%"), "+20.0 % [+16.7, +25.0]"),
        (Effect(20.0, NAN, NAN, True, "%"), "+20.0 %"),
        (Effect(NAN, NAN, NAN, True, "%"), "an undefined percentage"),
        (Effect(-5.0, -8.0, 2.0, False, "points, 0 to 100"), f"{MINUS}5 [{MINUS}8, +2] (points)"),
        (Effect(0.5, NAN, NAN, False, "share"), "+0.500 (share)"),
        (Effect(NAN, NAN, NAN, False, "share"), "an undefined amount"),
    ],
)  # fmt: skip
def test_effects_in_a_sentence(found, text):
    assert wording.effect_text(found) == text


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
    assert full_label(benchmark, metric) == text


def test_labels_name_only_what_differs():
    def trained(*students):
        models = {
            f"{base}.length-multi.s{seed}": Model(
                f"{base}.length-multi.s{seed}", "student", base, "length-multi", seed
            )
            for base, seed in students
        }
        return changed(plan(), models=models)

    one = trained(("x", 1))
    assert student_label("x.length-multi.s1", one) == "length-multi"
    two = trained(("x", 1), ("y", 2))
    assert student_label("y.length-multi.s2", two) == "y.length-multi.s2"
    assert student_label("y.length-multi", two) == "y.length-multi"
    methods = {
        name: Model(name, "student", "x", "length-multi", 1, method=method)
        for name, method in (("x.length-multi.s1", "lora"), ("x.length-multi.full.s1", "full"))
    }
    both = changed(plan(), models=methods)
    assert student_label("x.length-multi.full.s1", both) == "length-multi.full"
    assert student_label("x.length-multi", both) == "length-multi.lora"


def test_objectives_that_read_alike_are_told_apart():
    length = {"metric": "length", "direction": "maximise", "measured_by": "text.length"}
    objectives = {
        "long": length,
        "clean": {**length, "where": {"toxicity": {"at_most": 0.2}}},
        "short": {**length, "direction": "minimise"},
    }
    own = plan({}, objectives=objectives)
    assert [objective_label(name, own) for name in objectives] == [
        "Length (maximise): long",
        "Length (maximise): clean",
        "Length (minimise)",
    ]
