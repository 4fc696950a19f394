"""Figures 4 and 5, from the toy study with one candidate per teacher next to its two."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pandas as pd
import pytest
from report_file import changed

from heirloom.analyse.results import Results
from heirloom.report.figures import figure_names
from heirloom.report.figures.candidates import figure5
from heirloom.report.figures.sources import figure4
from heirloom.study.plan import Plan

SVG = "{http://www.w3.org/2000/svg}"
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def changes(wide_built: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return wide_built["changes"]


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def description(svg: str) -> str:
    return ElementTree.fromstring(svg).findtext(f"{SVG}desc") or ""


def other_base(plan: Plan, changes: pd.DataFrame) -> tuple[Plan, pd.DataFrame]:
    """The plan and the changes with a second base, trained on the same sets."""
    twins = {
        name.replace("alpha.", "beta.", 1): replace(model, base="beta")
        for name, model in plan.students.items()
    }
    other = changes.assign(
        student=changes["student"].str.replace("^alpha", "beta", regex=True),
        control=changes["control"].str.replace("^alpha", "beta", regex=True),
        source=changes["source"].replace("own", "other"),  # beta is trained on alpha's
    )
    return changed(plan, models={**plan.models, **twins}), pd.concat([changes, other])


def test_own_candidates_next_to_a_pools_by_hand(wide: Results, changes: pd.DataFrame) -> None:
    svg = figure4(changes, wide.plan)
    # Base mean 25: length-alpha 30 is +20 %, length-multi 37.5 is +50 %; its set of one candidate a
    # teacher is not here. EMT of the base 0.5: toxicity-multi 0.3 is -40 %; single there is none.
    assert [text for text in words(svg) if text.endswith("%")] == [
        *("+20.0 %", "+50.0 %"),
        f"{MINUS}40.0 %",
    ]
    assert words(svg).count("own") == 1 and words(svg).count("pool") == 2
    text = description(svg)
    assert text.startswith("Length (maximise): alpha own +20.0 % [")
    assert "alpha pool +50.0 % [" in text
    for colour in ("#d55e00", "#0072b2"):
        assert colour in svg.lower()


def test_every_base_has_its_bars(wide: Results, changes: pd.DataFrame) -> None:
    plan, both = other_base(wide.plan, changes)
    svg = figure4(both, plan)
    # The best of alpha's candidates is alpha's own, and another teacher's to beta.
    assert [words(svg).count(text) for text in ("own", "alpha", "pool")] == [1, 1 + 2, 4]
    assert "beta" in words(svg)
    assert "; beta other: alpha +20.0 %" in description(svg)
    assert "#009e73" in svg.lower() and "#009e73" not in figure4(changes, wide.plan).lower()


def test_candidates_by_hand(wide: Results, changes: pd.DataFrame) -> None:
    svg = figure5(changes, wide.plan)
    # At random: 30, +20 %. Best of one candidate per teacher: (15 + 25 + 30 + 50) / 4 = 30, +20 %;
    # of two: 37.5, +50 %. Toxicity has no set of fewer candidates.
    shown = [text for text in words(svg) if text.endswith("%")]
    assert shown == ["+20.0 %", "+20.0 %", "+50.0 %"]
    below = [text for text in words(svg) if text in ("random", "1", "2")]
    assert below == ["random", "1", "2"]
    assert "Length (maximise)" in words(svg)
    assert re.search(r"random \+20.0 % .*best of k = 2 \+50.0 %", description(svg))
    # The random control is hatched.
    assert "<pattern" in svg


def test_a_panel_for_every_base(wide: Results, changes: pd.DataFrame) -> None:
    plan, both = other_base(wide.plan, changes)
    svg = figure5(both, plan)
    assert words(svg).count("Length (maximise)") == 2
    assert {"alpha", "beta"} <= set(words(svg))


def test_an_undefined_change_is_said_to_be(wide: Results, changes: pd.DataFrame) -> None:
    gone = [str(c) for c in changes if re.match("(change|difference)_vs_base", str(c))]
    for svg in (
        figure4(changes.assign(**dict.fromkeys(gone)), wide.plan),
        figure5(changes.assign(**dict.fromkeys(gone)), wide.plan),
    ):
        assert "undefined" in words(svg)
        assert not any(re.fullmatch(r".*\d %", text) for text in words(svg))


def test_what_is_no_ratio_scale_is_shown_as_a_difference(
    wide: Results, changes: pd.DataFrame
) -> None:
    svg = figure4(changes.assign(relative="no"), wide.plan)
    assert "difference to the base" in words(svg) and "+12.5" in words(svg)


def test_when_the_figures_are_there(wide: Results) -> None:
    def names(*gone: str) -> set[str]:
        kept = {k: m for k, m in wide.plan.models.items() if m.dataset not in gone}
        return {"figure4", "figure5"} & set(figure_names(changed(wide.plan, models=kept)))

    assert names() == {"figure4", "figure5"}
    assert names("length-alpha") == {"figure5"}
    assert names("length-multi-k1") == {"figure4"}
