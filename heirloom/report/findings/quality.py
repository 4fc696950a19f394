"""Findings of the study's judges: the quality price of steering, and preference leakage."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import of_fewer_candidates, trained_on
from heirloom.analyse.frames import rows_of, unique
from heirloom.report.findings.significance import LEVEL
from heirloom.report.names import student_label
from heirloom.report.wording import count, interval, listed, number, percent, points
from heirloom.statistics.estimates import mean
from heirloom.study.plan import Plan

#: Percentage of pairs with both orders in agreement below which a judge goes by position.
_BY_POSITION = 50


def quality_findings(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return sentences on what judges see; none where the study has no judges.

    Args:
        plan: The study's plan.
        tables: Tables by name: `win_rates` and `preference_leakage`, if there are any.
    """
    if "win_rates" not in tables:
        return []
    rates = list(rows_of(tables["win_rates"]))
    steered = [
        row
        for row in rates
        if row.against == "control"
        and trained_on(plan, row.student).objective
        and not of_fewer_candidates(plan, row.student)
    ]
    found = [_price(plan, steered), *_reliability(rates)]
    if "preference_leakage" in tables:
        found += [_leakage(plan, row) for row in rows_of(tables["preference_leakage"])]
    return found


def _price(plan: Plan, rows: Sequence[Any]) -> str:
    """Return the sentence on steered students against their random controls."""
    tested = [row for row in rows if pd.notna(row.p_holm)]
    if not tested:
        return "No comparison of a steered student with its random control has an interval."
    clear = [row for row in tested if row.p_holm < LEVEL]
    worse = [row for row in clear if row.win_rate < 50]
    better = [row for row in clear if row.win_rate > 50]
    outcome = {
        (True, False): "Steering cost quality",
        (True, True): "Steering cost quality in some students and improved it in others",
        (False, True): "Steering did not cost quality, and improved it in some students,",
        (False, False): "Steering is not shown to cost quality",
    }[bool(worse), bool(better)]
    return (
        f"{outcome} as judged by {listed(unique(row.judge for row in rows))}: in {len(worse)} of "
        f"{count(len(tested), 'comparison')} with the random control the steered student "
        f"loses{_named(plan, worse)} and in {len(better)} it wins{_named(plan, better)}, with "
        f"p < {LEVEL} after Holm's correction. The mean win rate is "
        f"{number(mean(row.win_rate for row in tested))} %; 50 % is no difference."
    )


def _named(plan: Plan, rows: Sequence[Any]) -> str:
    """Return students with their win rates, in brackets; "" without any."""
    parts = [
        f"{student_label(row.student, plan)} {number(row.win_rate)} %"
        f"{interval(row.win_rate_low, row.win_rate_high, number)} by {row.judge}"
        for row in rows
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def _reliability(rates: Sequence[Any]) -> list[str]:
    """Return sentences on how far the judges are to be trusted."""
    agree = {
        judge: mean(
            None if pd.isna(row.orders_agree) else row.orders_agree
            for row in rates
            if row.judge == judge
        )
        for judge in unique(row.judge for row in rates)
    }
    known = {judge: share for judge, share in agree.items() if share is not None}
    if not known:
        return []
    shares = listed([f"{number(share)} % ({judge})" for judge, share in known.items()])
    found = [
        f"Both orders of the answers agree on {shares} of the pairs; the others count as ties, "
        "which draws win rates to 50 %."
    ]
    weak = [judge for judge, share in known.items() if share < _BY_POSITION]
    if weak:
        found.append(
            f"{listed(weak)} {'goes' if len(weak) == 1 else 'go'} by the position of an answer "
            "more often than by the answer, as small models do: this says little about quality."
        )
    return found


def _leakage(plan: Plan, row: Any) -> str:
    """Return the sentence on two students of different teachers, who judge them."""
    students = f"{student_label(row.student, plan)} and {student_label(row.other, plan)}"
    about = f"Preference leakage of {row.judge} and {row.other_judge} as judges of {students}: "
    if pd.isna(row.leakage):
        return f"{about}undefined, because a student wins with neither judge."
    value = f"{percent(row.leakage)}{interval(row.leakage_low, row.leakage_high, points)}"
    if pd.isna(row.leakage_low):
        return f"{about}{value}, without an interval."
    if row.leakage_low > 0:
        return f"{about}{value}; they favour the students of their own completions."
    if row.leakage_high < 0:
        return f"{about}{value}; they favour the students of each other's completions."
    return f"{about}{value}; favour for the students of their own completions is not shown."
