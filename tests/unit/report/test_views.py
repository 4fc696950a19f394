import re
from dataclasses import replace

import pandas as pd
from report_file import changed

from heirloom.profiling import BENCHMARKS, Options, benchmark
from heirloom.profiling.labels import label, main_of
from heirloom.report import views
from heirloom.report.benchmark_views import sections
from heirloom.report.cells import Cell


def test_every_benchmark_has_a_table_of_models_and_main_metrics(wide, wide_built):
    found = sections(wide.plan, wide_built)
    assert [section.title for section in found] == [
        *("BBQ", "Calibration", "Judge", "Text", "Toxicity")
    ]
    bbq = found[0].main
    assert [heading for heading, _ in bbq.headings] == [
        *("Model", "n", "Bias, ambiguous contexts", "against base, difference"),
        *(
            "Bias, disambiguated contexts",
            "against base, difference",
            "Accuracy",
            "against base, %",
        ),
    ]
    assert [row[0].text for row in bbq.rows] == [
        *("alpha (base)", "beta (teacher)", "passive-alpha", "random-multi", "length-alpha"),
        *("length-multi", "random-provoking-multi", "toxicity-multi"),
        *("length-multi-k1", "random-multi-redraw", "passive-beta"),
    ]
    base, student = bbq.rows[0], bbq.rows[7]
    assert base[3] == Cell("\N{EN DASH}")
    assert re.fullmatch(r"[+\u2212]?[\d.]+ \[[+\u2212]?[\d.]+, [+\u2212]?[\d.]+\]", student[3].text)
    assert student[7].text.endswith(" %")
    # Sixty questions of each condition, 120 in all, the most that a main metric uses.
    assert student[1] == Cell("120", 120.0)
    # Every category is in the details.
    named = {row[0].text for row in found[0].details.rows}
    assert "Bias, ambiguous contexts, gender identity" in named
    assert "Accuracy \u00b1" in found[0].resolution and "(n = 120)" in found[0].resolution


BBQ_METRICS = [
    *("accuracy", "accuracy_disambiguated", "accuracy_ambiguous"),
    *("bias_disambiguated", "bias_ambiguous", "accuracy.age"),
]


def test_a_new_benchmark_shows_up_without_edits(wide, wide_built, registries):
    @benchmark("brand_new", options=Options, metrics=BENCHMARKS.get("bbq").metrics)
    def profile_brand_new(task, options):
        """Something new."""

    renamed = {
        name: table.replace({"benchmark": {"bbq": "brand_new"}})
        for name, table in wide_built.items()
    }
    (section,) = sections(changed(wide.plan, profiling={"brand_new": {}}), renamed)
    assert (section.title, section.summary) == ("Brand new", "Something new.")
    shown = [heading for heading, _ in section.main.headings if not heading.startswith("against")]
    assert shown[2:] == [label("brand_new", m) for m in main_of("brand_new", BBQ_METRICS)]
    assert "Accuracy" in shown and len(shown) == 2 + 5


def test_seeds_of_a_student_share_a_row(study, built):
    first = "alpha.length-multi.s1"
    again = replace(study.plan.models[first], id="alpha.length-multi.s2", seed=2)
    plan = changed(study.plan, models={**study.plan.models, again.id: again})
    profiles = built["profiles"]
    second = profiles[profiles["model"] == first].assign(model="alpha.length-multi.s2", value=50.0)
    together = {**built, "profiles": pd.concat([profiles, second], ignore_index=True)}
    section = sections(plan, together)[0]
    (row,) = (row for row in section.main.rows if row[0].text == "length-multi")
    # Words: 20, 30, 40 and 60 of the first seed, 37.5, and 50. The change is that of the student.
    assert row[2] == Cell("43.8", 43.75)
    assert row[3].text.startswith("+50.0 [")
    lengths = [row for row in section.details.rows if row[0].text == "Length"]
    assert [row[1].text for row in lengths].count("length-multi") == 1


def test_missing_cells_are_dashes(study, built):
    shown = [
        views.steered(study.plan, built["changes"]),
        *(section.details for section in sections(study.plan, built)),
        *(views.any_table(name, built[name]) for name in ("training_sets", "candidates")),
    ]
    row = next(row for row in shown[0].rows if row[0].text == "passive-alpha")
    headings = [heading for heading, _ in shown[0].headings]
    assert row[headings.index("Change against control")] == Cell("\N{EN DASH}")
    for view in shown:
        assert view.rows
        assert not any("nan" in cell.text.lower() for row in view.rows for cell in row)


def test_the_noise_floor_stands_next_to_steered_effects(wide, wide_built):
    view = views.steered(wide.plan, wide_built["changes"], floors=wide_built["noise_floor"])
    assert view.headings[-1] == ("Noise floor", True)
    cells = {row[0].text: row[-1] for row in view.rows if row[1].text == "Length"}
    assert re.fullmatch(r"\+3\.3 % \[.*\], exceeded", cells["length-multi"].text)
    assert cells["length-multi-k1"].text.endswith(", not exceeded")
    assert cells["length-alpha"] == Cell("\N{EN DASH}")  # its control was drawn once
    assert "Noise floor" not in [
        h for h, _ in views.steered(wide.plan, wide_built["changes"]).headings
    ]
