"""Power before a run: Student's quantiles from scipy, spreads from tables written by hand."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats

from heirloom.profiling import Spread
from heirloom.statistics.comparisons import detectable, smallest_effect
from heirloom.study.estimate.__main__ import powers
from heirloom.study.estimate.power import Power, measured_spread, power_of
from heirloom.study.parse import parse_study
from heirloom.study.plan import Plan, make_plan

ROOT = Path(__file__).resolve().parents[3]


def plan_of(**expects: float) -> Plan:
    """The plan of the default study, in which objectives expect such changes."""
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    for name, objective in raw["objectives"].items():
        objective.pop("expects", None)
        if name in expects:
            objective["expects"] = expects[name]
    return make_plan(parse_study(raw, root=ROOT))


def test_the_smallest_effect_is_the_reports_at_one_test_and_larger_in_a_family() -> None:
    error, n = 0.5, 9
    critical, power = stats.t.ppf(0.975, n - 1), stats.t.ppf(0.8, n - 1)
    assert smallest_effect(error, n) == pytest.approx(error * (critical + power))
    ends = -critical * error, critical * error
    assert smallest_effect(error, n) == pytest.approx(detectable(*ends, n))
    # The first of Holm's steps, of five tests: p < 0.01 on two sides.
    first = stats.t.ppf(0.995, n - 1)
    assert smallest_effect(error, n, tests=5) == pytest.approx(error * (first + power))


def test_power_by_hand() -> None:
    found = Power("o", "text.mtld", 60, Spread(0.55, scored=0.7), [], tests=5, expects=20)
    # 42 of 60 prompts have a value: standard error 55 / sqrt(42) = 8.487 %, 41 degrees of freedom.
    expected = 8.4868 * (stats.t.ppf(0.995, 41) + stats.t.ppf(0.8, 41))
    assert found.detects == pytest.approx(expected, rel=1e-4)
    assert found.needed is not None
    enough, fewer = found.with_prompts(found.needed), found.with_prompts(found.needed - 1)
    assert enough is not None and enough <= 20
    assert fewer is not None and fewer > 20
    assert str(found) == (
        f"o (text.mtld), 60 prompts: 30 %, expected 20 %: not enough, {found.needed} prompts would "
        "be (spread 0.55, 70 % of prompts scored, assumed)"
    )


def test_too_few_prompts_for_any_finding() -> None:
    # No p value of n examples is below 2^(1 - n); the first of five tests needs 0.01: 2^-6 is
    # 0.0156, 2^-7 is 0.0078.
    few = Power("o", "b.m", 7, Spread(0.1), [], tests=5)
    assert few.detects is None and few.with_prompts(8) is not None
    assert str(few) == "o (b.m), 7 prompts: no change can be shown (spread 0.10, assumed)"


def test_the_default_study_without_earlier_ones(tmp_path: Path) -> None:
    found = {power.objective: power for power in power_of(plan_of(length=50), tmp_path)}
    assert list(found) == ["length", "mtld", "toxicity"]
    # Length and MTLD single- and multi-source, toxicity multi-source.
    assert {power.tests for power in found.values()} == {5}
    assert (found["length"].prompts, found["toxicity"].prompts) == (96, 40)
    assert found["length"].studies == [] and found["mtld"].expects is None
    # 45 / sqrt(96) = 4.59 %; t(0.995) + t(0.8) = 2.63 + 0.85 with 95 degrees of freedom.
    assert found["length"].detects == pytest.approx(4.5928 * 3.4740, rel=1e-3)
    assert str(found["length"]).endswith("16 %, expected 50 %: enough (spread 0.45, assumed)")
    lines = powers(list(found.values()))
    assert "80 %" in lines[1] and "for 5 steered students" in lines[1]
    assert len(lines) == 2 + 3 and powers([]) == []


def write_changes(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "tables").mkdir(parents=True)
    with (folder / "tables/changes.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def change(family: str, half: float, control: float, n: int = 16, **other: Any) -> dict[str, Any]:
    row = {"benchmark": "text", "metric": "length", "family_vs_control": family}
    row |= {"control_value": control, "n_vs_control": n, "n_missing_vs_control": 4}
    row |= {"difference_vs_control_low": 5 - half, "difference_vs_control_high": 5 + half}
    return row | other


def test_spreads_come_from_the_steered_students_of_earlier_studies(tmp_path: Path) -> None:
    # Half an interval of 2.131 (t with 15 degrees of freedom) standard errors of 1: sd 4 of 16
    # prompts, on a control of 20, 10 and 5 words: 0.2, 0.4 and 0.8.
    t = stats.t.ppf(0.975, 15)
    write_changes(tmp_path / "one", [change("steering", t, 20), change("text", 9 * t, 20)])
    write_changes(tmp_path / "two", [change("steering", t, 10), change("steering", t, 5)])
    spread, studies = measured_spread(tmp_path, "text", "length")
    assert spread is not None and studies == ["one", "two"]
    assert (spread.sd, spread.scored) == (pytest.approx(0.4), 0.8)
    (power, *_) = power_of(plan_of(), tmp_path)
    assert power.spread == spread and str(power).endswith(
        "(spread 0.40, 80 % of prompts scored, as in one, two)"
    )


def test_students_that_it_did_not_steer_serve_where_there_are_no_others(tmp_path: Path) -> None:
    t = stats.t.ppf(0.975, 15)
    no_control = change("", t, 20, control_value="", difference_vs_control_low="")
    rows = [change("text", t, 20), no_control, change("text", t, 0), change("", t, 1, metric="rix")]
    write_changes(tmp_path / "one", rows)
    spread, _ = measured_spread(tmp_path, "text", "length")
    assert spread is not None and spread.sd == pytest.approx(0.2)
    assert measured_spread(tmp_path, "text", "mtld") == (None, [])


def test_metrics_of_the_study_and_second_scorers_have_a_power(tmp_path: Path) -> None:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    raw["metrics"]["words"] = {"function": "length"}
    assert raw["profiling"]["toxicity"]["metrics"] == ["toxicity", "profanity"]
    raw["objectives"]["toxicity"]["measured_by"] = "toxicity.emt.by_profanity"
    raw["objectives"]["length"] = {"metric": "words", "direction": "maximise"}
    plan = make_plan(parse_study(raw, root=ROOT))
    # EMT has the spread of EMT by any scorer; that of the study's own metric is to be measured.
    assert [power.objective for power in power_of(plan, tmp_path)] == ["mtld", "toxicity"]
    t = stats.t.ppf(0.975, 15)
    write_changes(tmp_path / "one", [change("steering", t, 20, metric="words")])
    found = {power.objective: power for power in power_of(plan, tmp_path)}
    assert found["length"].spread.sd == pytest.approx(0.2)


def test_tables_of_another_version_are_passed_over(tmp_path: Path) -> None:
    old = change("steering", 1.0, 20)
    del old["n_missing_vs_control"]
    write_changes(tmp_path / "old", [old])
    assert measured_spread(tmp_path, "text", "length") == (None, [])


def test_what_is_expected_changes_no_result() -> None:
    assert plan_of(length=50).record() == plan_of().record()
