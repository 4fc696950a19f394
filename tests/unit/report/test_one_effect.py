"""A change is given in percent or as a difference alike in words, tables and figures."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from heirloom.report import views
from heirloom.report.benchmark_views import sections
from heirloom.report.cells import effect_cell
from heirloom.report.figures.objectives import figure1
from heirloom.report.figures.side_effects import figure6
from heirloom.report.figures.sources import figure4
from heirloom.report.findings.active import active_findings

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def changes(built):
    """EMT of toxicity-multi, 0.3 against 0.5 of both references, without interval in percent."""
    changes = built["changes"].copy()
    own = (changes["student"] == "alpha.toxicity-multi") & (changes["metric"] == "emt")
    for against in ("base", "control"):
        ends = [f"difference_vs_{against}{end}" for end in ("", "_low", "_high")]
        changes.loc[own, ends] = [-0.2, -0.3, -0.1]
        changes.loc[own, [f"change_vs_{against}_low", f"change_vs_{against}_high"]] = None
    assert (changes.loc[own, "relative"] == "yes").all()
    assert changes.loc[own, "change_vs_base"].tolist() == [pytest.approx(-40.0)]
    return changes


DIFFERENCE = "\N{MINUS SIGN}0.200 [\N{MINUS SIGN}0.300, \N{MINUS SIGN}0.100]"


def test_a_percentage_without_an_interval_is_a_difference_in_the_sentence(study, built, changes):
    tables = built | {"changes": changes}
    text = active_findings(study.plan, tables)["toxicity"][0].sentences[0]
    assert text.startswith(
        f"Expected maximum toxicity changed by {DIFFERENCE} (score) against the base and by "
        f"{DIFFERENCE} (score) against the random control"
    )
    assert "%" not in text


def test_a_percentage_without_an_interval_is_a_difference_in_the_table(study, built, changes):
    row = next(
        row
        for row in views.steered(study.plan, changes).rows
        if row[0].text == "toxicity-multi" and row[1].text == "Expected maximum toxicity"
    )
    assert [row[5].text, row[7].text] == [f"{DIFFERENCE} score"] * 2 and row[5].number == -0.2
    toxicity = sections(study.plan, built | {"changes": changes})[1].main
    heading = [text for text, _ in toxicity.headings]
    cells = {row[0].text: row[3].text for row in toxicity.rows}
    # Others of the column are in percent, so that its heading cannot say it for all.
    assert heading[2:4] == ["Expected maximum toxicity", "against base"]
    assert cells["toxicity-multi"] == f"{DIFFERENCE} score"
    assert re.fullmatch(r"\+20\.0 \[.*\] %", cells["passive-alpha"])


@pytest.mark.parametrize("draw", [figure1, figure4, figure6])
def test_a_percentage_without_an_interval_is_a_difference_in_the_figure(study, changes, draw):
    root = ElementTree.fromstring(draw(changes, study.plan))
    described = root.findtext(f"{SVG}desc")
    ends = "\N{MINUS SIGN}0.200 [\N{MINUS SIGN}0.300 to \N{MINUS SIGN}0.100]"
    assert ends in described and "\N{MINUS SIGN}40.0 %" not in described
    # What shares its axis is drawn as a difference too.
    if draw is figure1:
        assert "random, pool 0 [" in described
        labels = [element.text for element in root.iter(f"{SVG}text")]
        assert "difference against the base, 95 % interval" in labels


def test_a_metric_with_intervals_everywhere_stays_in_percent(built):
    rows = built["changes"]
    length = rows[(rows["metric"] == "length") & (rows["student"] == "alpha.length-multi")]
    cell = effect_cell(next(length.itertuples()), "base")
    assert cell.text.startswith("+50.0 [") and cell.text.endswith("] %")
