"""References of a study file: what they need, what they name, and that they change no result."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from heirloom.study.parse import parse_study
from heirloom.study.plan import make_plan
from heirloom.study.settings import PublishedNumber
from heirloom.support.errors import HeirloomError

ROOT = Path(__file__).resolve().parents[3]
NUMBER = {"label": "paper", "source": "A paper", "number": 116, "objective": "length"}


def shipped(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")))


def problems(*references: Any) -> list[str]:
    """Lines of the refusal of the default study with these references."""
    with pytest.raises(HeirloomError) as caught:
        parse_study({**shipped("config.yaml"), "references": list(references)}, root=ROOT)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:-1]]


def test_names_are_resolved_before_any_job() -> None:
    unknown = {"objective": "lenght", "metric": "text.lenght", "base": "llama", "pool": "mutli"}
    found = dict(line.split(": ", 1) for line in problems(NUMBER, {**NUMBER, **unknown}))
    assert list(found) == [f"references[1].{key}" for key in unknown]
    assert "Did you mean 'length'?" in found["references[1].objective"]
    assert "Did you mean 'text.length'?" in found["references[1].metric"]
    assert "is not in bases. Known: " in found["references[1].base"]
    assert "Did you mean 'multi'?" in found["references[1].pool"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": None}, "give objective, metric or both"),
        ({"objective": None, "metric": "text.length"}, "kind: best selects for an objective"),
        ({"compared_with": 50}, "compared_with belongs to a level"),
        ({"unit": "level", "compared_with": 0}, "greater than 0"),
        ({"number": float("nan")}, "finite number"),
        ({"kind": "bset"}, "Did you mean 'best'?"),
        ({"url": "arxiv.org"}, "should match pattern"),
        ({"label": ""}, "at least 1 character"),
        ({"against": "teacher"}, "'base' or 'control'"),
    ],
)
def test_what_a_reference_needs(changes: dict[str, Any], message: str) -> None:
    (problem,) = problems({**NUMBER, **changes})
    assert problem.startswith("references[0]") and message in problem


def test_no_percentage_of_what_has_no_true_zero() -> None:
    bias = {**NUMBER, "objective": None, "kind": "passive", "metric": "bbq.bias_ambiguous"}
    (problem,) = problems(bias, {**bias, "unit": "level"}, {**bias, "metric": "bbq.accuracy"})
    assert problem.startswith("references[0].unit: bbq.bias_ambiguous has no true zero")


@pytest.mark.parametrize("references", ["paper", ["paper"], [{"objective": ["length"]}], {"a": 1}])
def test_references_of_a_wrong_kind(references: Any) -> None:
    with pytest.raises(HeirloomError, match="references"):
        parse_study({**shipped("config.yaml"), "references": references}, root=ROOT)


def test_references_are_no_part_of_the_plan() -> None:
    """With others or without any, jobs depend on the same."""
    raw = shipped("config.yaml")
    some, other = (
        make_plan(parse_study({**raw, "references": found}, root=ROOT)).record()
        for found in ([], [NUMBER])
    )
    assert some == other and "references" not in some["config"]


def test_levels_become_a_change_where_two_are_given() -> None:
    level = PublishedNumber.model_validate({**NUMBER, "unit": "level"})
    assert level.change is None
    assert PublishedNumber.model_validate(NUMBER).change == 116
    # 30 of 40 are 75 %.
    against = {**NUMBER, "unit": "level", "number": 30, "compared_with": 40}
    assert PublishedNumber.model_validate(against).change == -25


@pytest.mark.parametrize("name", ["config.yaml", "thorough.yaml", "paper.yaml"])
def test_shipped_studies_carry_the_numbers_of_the_paper(name: str) -> None:
    """The headline of the abstract, and the changes of EMT as The Batch states them."""
    found = parse_study(shipped(name), root=ROOT).references
    headline = [(n.metric, n.kind, n.bound, n.number) for n in found if n.bound != "exact"]
    assert headline == [
        ("text.length", "best", "up-to", 116),
        ("text.mtld", "best", "up-to", 43),
        ("toxicity.emt", "best", "up-to", -40),
        ("text.tokens", "passive", "over", 100),
        ("toxicity.emt", "passive", "up-to", 40),
    ]
    emt = [n for n in found if n.bound == "exact" and n.metric == "toxicity.emt"]
    assert [(n.kind, round(n.change or 0, 1)) for n in emt] == [
        *(("best", -33.7), ("random", 7.8)),
        *(("best", -29.3), ("random", -5.0)),
    ]
    # Of seven tasks, in percent: nobody loses more than the student on random answers of a weaker
    # teacher, 100 * (65.64 / 70.24 - 1) = -6.55.
    general = [n.change or 0 for n in found if n.metric == "general.acc"]
    assert not general or (len(general) == 4 and min(general) == pytest.approx(-6.549, abs=1e-3))
    assert all(n.label.startswith("paper") for n in found)
