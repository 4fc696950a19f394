"""Metrics that follow from the very scorer that selected a training set, and those that do not."""

from heirloom import objectives
from heirloom.study.plan import Plan

_BY = ".by_"


def selected_by(plan: Plan, objective: str, benchmark: str, metric: str) -> bool:
    """Return True if a scorer that selects for an objective also gives this metric of students.

    Two metrics of a study are one scorer if function and options are equal.
    """
    study = plan.study
    selecting = [study.metrics[name] for name in plan.objectives[objective].scored_by]
    definition = plan.measures.get(benchmark, {}).get(metric)
    measuring = study.metrics[definition.scorer] if definition and definition.scorer else None
    return measuring in selecting or any(
        objectives.load(chosen.function).same_as == f"{benchmark}.{metric}" for chosen in selecting
    )


def by_other_scorers(plan: Plan, objective: str) -> list[str]:
    """Return the metrics that are what measures an objective, by scorers that did not select.

    They belong to the same benchmark; none where what measures it is by such a scorer itself.
    """
    benchmark, _, measured = plan.objectives[objective].measured_by.partition(".")
    if not selected_by(plan, objective, benchmark, measured):
        return []
    number = measured.partition(_BY)[0]
    return [
        metric
        for metric, definition in plan.measures.get(benchmark, {}).items()
        if metric.partition(_BY)[0] == number
        and definition.scorer
        and not selected_by(plan, objective, benchmark, metric)
    ]
