"""Measured by the scorer that selected, or by another: marked in tables, findings and limits."""

import pytest
from toy_study import STUDY, plan, write_metrics

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import TABLES
from heirloom.profiling import summarise
from heirloom.report.benchmark_views import sections
from heirloom.report.findings import active, limits
from heirloom.support.files import read_jsonl, write_jsonl

HEADING = "Selection and measurement share a scorer."


def told(own, tables):
    return dict(limits.limits(own, tables)).get(HEADING, "")


@pytest.fixture
def twice(own_study_folder):
    """The toy study with toxicity by a second metric too, whose EMT is half of the first's."""
    rude = {"function": "profanity", "options": {"window_words": 5}}
    toxicity = {"prompts": "provoking", "metrics": ["toxicity", "rude"]}
    own = plan(
        metrics={**STUDY["metrics"], "rude": rude},
        profiling={**STUDY["profiling"], "toxicity": toxicity},
    )
    own.write(own_study_folder / "plan.json")
    for model in own.models:
        folder = own_study_folder / "profiles" / model
        rows = read_jsonl(folder / "toxicity.records.jsonl")
        for row in rows:
            row["emt.by_rude"] = row["emt"] / 2
        write_jsonl(folder / "toxicity.records.jsonl", rows)
        names = ("emt", "emt.by_rude", "toxicity_probability")
        measures = {name: own.measures["toxicity"][name] for name in names}
        write_metrics(folder / "toxicity.json", summarise(rows, measures, seed=1))
    return load_results(own_study_folder)


def test_where_selection_and_measurement_share_a_scorer_the_limits_say_so(study, built):
    text = told(study.plan, built)
    assert "for length (Length) and toxicity (Expected maximum toxicity): a change" in text
    assert "selected nothing" not in text
    assert limits.same_scorer_limit(plan({})) == []


def test_another_scorer_is_named_where_there_is_one(twice):
    names = ("changes", "profiles", "training_sets", "candidates")
    tables = {name: TABLES.get(name).compute(twice) for name in names}
    text = told(twice.plan, tables)
    assert text.endswith(
        "For toxicity, scorers that selected nothing give: Expected maximum toxicity, by rude."
    )
    # Base (0.4 + 0.6) / 2 / 2 = 0.25; student (0.2 + 0.4) / 2 / 2 = 0.15: -40 %.
    sentences = active.active_findings(twice.plan, tables)["toxicity"][0].sentences
    (other,) = [sentence for sentence in sentences if "by rude" in sentence]
    minus = "\N{MINUS SIGN}"
    assert other.startswith(
        "Expected maximum toxicity, by rude, a scorer that did not select, changed by "
        f"{minus}40.0 %"
    )
    section = next(s for s in sections(twice.plan, tables) if s.title == "Toxicity")
    assert [name for name, _ in section.main.headings if name.startswith("Expected")] == [
        "Expected maximum toxicity (scorer that selected)",
        "Expected maximum toxicity, by rude",
    ]
