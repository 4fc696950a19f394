"""The figure and the findings about whom students inherit from, from tables written by hand."""

import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from heirloom.analyse.frames import frame
from heirloom.analyse.tables import TABLES
from heirloom.analyse.tables.agreement_gain import Gained
from heirloom.analyse.tables.inherited import AWAY, NEITHER, TOWARDS, UNCLEAR, Position
from heirloom.report.figures.inherited import draw_inherited
from heirloom.report.findings.inherited import inherited_findings
from heirloom.report.views import shown_rows

SVG = "{http://www.w3.org/2000/svg}"


def position(student, metric, moved, coefficient=None, p_holm=None):
    """A row of the table `inherited`."""
    ends = (None, None) if coefficient is None else (coefficient - 0.25, coefficient + 0.25)
    cells = dict.fromkeys(Position.__dataclass_fields__)
    cells |= {"student": f"alpha.{student}", "dataset": student}
    cells |= {"selection": "best", "objective": "length", "teacher": "beta", "unit": "words"}
    cells |= {"benchmark": "toxicity" if metric == "emt" else "text", "metric": metric}
    cells |= {"teacher_p_holm": 0.5 if moved == UNCLEAR else 0.001, "moved": moved}
    cells |= {"coefficient": coefficient, "p_holm": p_holm}
    return Position(**cells | {"coefficient_low": ends[0], "coefficient_high": ends[1]})


def typed(name, rows, row):
    registered = TABLES.get(name)
    table = frame(rows, row)
    return table.assign(
        **{c: pd.to_numeric(table[c]) for c in table.columns if not registered.is_text(c)}
    )


POSITIONS = [
    position("random-multi", "length", TOWARDS, 0.5, 0.01),
    position("random-multi", "mtld", NEITHER, 0.25, 0.2),
    position("random-multi", "emt", UNCLEAR),
    position("length-multi", "length", AWAY, -1.25, 0.001),
    position("length-multi", "mtld", TOWARDS, 1.5, 0.02),
    position("length-multi", "emt", UNCLEAR),
]


def gain(relation, value, p_holm, lead):
    """A row of the table `agreement_gain`."""
    cells = dict.fromkeys(Gained.__dataclass_fields__)
    cells |= {"student": "alpha.x", "judge": "beta", "relation": relation, "gain": value}
    cells |= {"gain_low": value - 5, "gain_high": value + 5, "p_holm": p_holm}
    return Gained(
        **cells | {"base_lead": lead, "base_lead_low": lead - 5, "base_lead_high": lead + 5}
    )


def test_the_report_shows_rows_with_a_coefficient():
    table = typed("inherited", POSITIONS, Position)
    assert list(shown_rows("inherited", table)["metric"]) == ["length", "mtld"] * 2
    unclear = table[table["metric"] == "emt"]
    assert shown_rows("inherited", unclear) is unclear
    assert shown_rows("changes", table) is table


def test_findings_by_hand(study):
    tables = {
        "inherited": typed("inherited", POSITIONS, Position),
        "agreement_gain": typed(
            "agreement_gain",
            [
                gain("teacher", 8, 0.01, 20),
                gain("teacher", -2, 0.4, 3),
                gain("other", -7, 0.02, 1),
            ],
            Gained,
        ),
    }
    # alpha and beta differ in two of three metrics; of four coefficients there, one of each student
    # moved towards beta.
    assert inherited_findings(study.plan, tables) == [
        "Teachers and bases differ clearly in 2 of 3 comparisons of main metrics (p < 0.05 after "
        "Holm's correction). Inheritance coefficients there (0: at the base, 1: at the teacher): 2 "
        "towards the teacher, 1 away from it, 1 not distinguishable from the base (p < 0.05 after "
        "Holm's correction).",
        "length-multi, from beta: Length \N{MINUS SIGN}1.25 [\N{MINUS SIGN}1.5, \N{MINUS SIGN}1].",
        "random-multi, from beta: Length 0.500 [0.250, 0.750].",
        "length-multi, from beta: Lexical diversity (MTLD) 1.5 [1.25, 1.75].",
        # (8 - 2) / 2; the lead of the base is above zero by its interval in the first.
        "As judges, students gain +3 percentage points of agreement with their teacher, compared "
        "with their base, on average over 2 pairs of student and teacher; the gain is clear in 1 "
        "of them and a loss in 0 (p < 0.05 after Holm's correction), with models that they learnt "
        "nothing from in 0 and 1 of 1 (mean \N{MINUS SIGN}7); in 1 of 2 the student still agrees "
        "more with its own base, whose architecture it has, than with the teacher (95 % interval "
        "above zero).",
    ]


def test_findings_without_a_clear_teacher_or_a_judged_pair(study):
    unclear = typed("inherited", [p for p in POSITIONS if p.metric == "emt"], Position)
    assert inherited_findings(study.plan, {"inherited": unclear}) == [
        "Teachers and bases differ clearly in 0 of 1 comparison of main metrics (p < 0.05 after "
        "Holm's correction): nothing can be said there about whom students inherit from."
    ]
    none = typed("agreement_gain", [], Gained)
    assert (
        "no student can be compared" in inherited_findings(study.plan, {"agreement_gain": none})[0]
    )
    assert inherited_findings(study.plan, {}) == []


def test_figure_by_hand(study):
    table = typed("inherited", POSITIONS, Position)
    root = ElementTree.fromstring(draw_inherited(table, study.plan))
    words = [element.text for element in root.iter(f"{SVG}text")]
    described = root.find(f"{SVG}desc").text
    # Two panels, of length and diversity; two students in each, named at the left.
    assert words.count("coefficient") == 2 and words.count("random-multi, from beta") == 1
    assert described.startswith("2 panels") and described.count("from beta") == 4
    assert "length-multi, from beta +1.5 [+1.2 to +1.8]" in described
    assert "emt" not in described.lower()


@pytest.mark.parametrize("rows", [[], [p for p in POSITIONS if p.metric == "emt"]])
def test_figure_without_a_clear_teacher(study, rows):
    svg = draw_inherited(typed("inherited", rows, Position), study.plan)
    root = ElementTree.fromstring(svg)
    assert "No teacher differs clearly" in root.find(f"{SVG}desc").text
    assert any("No teacher differs" in (e.text or "") for e in root.iter(f"{SVG}text"))
