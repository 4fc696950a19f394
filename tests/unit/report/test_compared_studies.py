"""Several studies next to each other, in words and as a table."""

from toy_changes import CHANGES
from toy_study import plan

from heirloom.analyse.tables.studies import studies
from heirloom.report import views
from heirloom.report.abstract import agreement

PLAN = plan({}, study="one", objectives={}, profiling={"text": {"prompts": "instructions"}})


def test_agreement_by_hand():
    # Both clear and equal in sign: length of a.x. Opposite: length of a.y. One only: mtld of a.x.
    # Neither: mtld of a.y. b.z is in one study only.
    assert agreement(PLAN, studies(CHANGES)) == [
        "one and two share 4 comparisons of main metrics with the random control. The interval "
        "excludes zero in both studies with the same sign for 1, in both with opposite signs for "
        "1, in only one study for 1, and in neither for 1."
    ]


def test_studies_stand_beside_each_other():
    view = views.compared(PLAN, studies(CHANGES))
    assert [heading for heading, _ in view.headings] == [
        *("Student", "Metric", "one, against base", "one, against control", "two, against base"),
        "two, against control",
    ]
    cells = [[cell.text for cell in row] for row in view.rows]
    assert cells[0][:4] == ["a.x", "Length", "+2.0 [+1.0, +3.0] %", "+2.0 [+1.0, +3.0] %"]
    dash = "\N{EN DASH}"
    assert cells[2] == ["b.z", "Length", dash, dash, "+1.0 [0.0, +2.0] %", "+1.0 [0.0, +2.0] %"]
    assert len(cells) == 5
