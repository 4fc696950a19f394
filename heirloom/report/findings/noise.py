"""The noise floor in words: what the random draw of candidates alone changes."""

from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import of_fewer_candidates
from heirloom.analyse.effects import Effect
from heirloom.analyse.frames import rows_of
from heirloom.profiling.labels import full_label
from heirloom.report.names import student_label
from heirloom.report.wording import count, effect_text, listed
from heirloom.study.plan import Plan


def floor_of(row: Any) -> Effect:
    """Return the difference between two draws in a row of the table `noise_floor`."""
    return Effect(row.floor, row.floor_low, row.floor_high, row.unit == "%", row.unit)


def floor_sentences(floors: pd.DataFrame | None) -> dict[str, str]:
    """Return, per steered student, its effect against the noise floor of its control.

    Args:
        floors: The table `noise_floor`; None in a study without second draws.
    """
    if floors is None:
        return {}
    verdicts = {
        "yes": "the effect against the control exceeds this noise floor",
        "no": "the effect against the control does not exceed this noise floor",
        "": "there is no interval to tell the effect from that",
    }
    return {
        row.student: f"A second random draw of the control's candidates changed the metric by "
        f"{effect_text(floor_of(row))} against the first: {verdicts[row.exceeds]}."
        for row in rows_of(floors[floors["student"] != ""])
    }


def noise_findings(plan: Plan, floors: pd.DataFrame | None) -> list[str]:
    """Return a sentence on all steered effects, and the floor of each metric that was steered.

    Args:
        plan: The study's plan.
        floors: The table `noise_floor`; None in a study without second draws.
    """
    if floors is None:
        return []
    steered = [
        row
        for row in rows_of(floors[floors["student"] != ""])
        if not of_fewer_candidates(plan, row.student) and row.exceeds
    ]
    within = [student_label(row.student, plan) for row in steered if row.exceeds == "no"]
    text = (
        "Noise floor: students of two random draws of the same candidates differ by which "
        f"candidates happened to be drawn. Of {count(len(steered), 'steered effect')} against the "
        f"control, {len(steered) - len(within)} {_verb(len(steered) - len(within))} further from "
        "zero than the 95 % interval of that difference"
    )
    text += f"; {listed(within)} {_verb(len(within))} not" if within else ""
    return [f"{text}.", *_of_metrics(plan, floors)]


def _verb(n: int) -> str:
    return "is" if n == 1 else "are"


def _of_metrics(plan: Plan, floors: pd.DataFrame) -> list[str]:
    """Return, per metric that objectives are measured by, the difference of every two draws."""
    sentences = []
    for measured in dict.fromkeys(o.measured_by for o in plan.objectives.values()):
        benchmark, metric = measured.split(".", 1)
        own = floors[(floors["benchmark"] == benchmark) & (floors["metric"] == metric)]
        parts = {
            row.first: f"{effect_text(floor_of(row))} for {student_label(row.first, plan)}"
            for row in rows_of(own)
        }
        if parts:
            sentences.append(
                f"{full_label(benchmark, metric)}, second draw against first: "
                f"{'; '.join(parts.values())}."
            )
    return sentences
