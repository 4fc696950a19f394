"""The figure of agreement, from the toy study with a judge."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from toy_study import add_benchmark, plan

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import read, write
from heirloom.analyse.tables.agreement import HUMAN, agreement
from heirloom.report.figures import figure_names
from heirloom.report.figures.judge_agreement import figure3
from heirloom.report.names import student_label

SVG = "{http://www.w3.org/2000/svg}"


def test_figure_by_hand(judged_study_folder: Path) -> None:
    results = load_results(judged_study_folder)
    table = agreement(results)
    svg = figure3(table, results.plan)
    root = ElementTree.fromstring(svg)
    words = [element.text for element in root.iter(f"{SVG}text")]
    description = root.find(f"{SVG}desc").text
    trained = {student_label(name, results.plan) for name in results.plan.students}
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


def test_what_the_table_says_survives_its_file(judged_study_folder: Path, tmp_path: Path) -> None:
    results = load_results(judged_study_folder)
    table = agreement(results)
    write(table, tmp_path / "agreement.csv")
    again = read(tmp_path, ["agreement"])["agreement"]
    assert figure3(again, results.plan) == figure3(table, results.plan)


def test_no_pair_at_all(own_study_folder: Path) -> None:
    add_benchmark(own_study_folder, "judge", lambda model: [])
    results = load_results(own_study_folder)
    assert "With original alpha: nothing." in figure3(agreement(results), results.plan)


def test_a_study_without_a_judge_or_students_has_no_such_figure() -> None:
    judged = {"judge": {"data": ["humans"]}}
    assert "figure3" not in figure_names(plan())
    assert "figure3" in figure_names(plan(profiling=judged))
    assert "figure3" not in figure_names(plan({}, profiling=judged))
