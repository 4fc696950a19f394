"""Noise floor: differences between students of two random draws of the same candidates."""

from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.comparisons import Compared, compare_models, compare_redraws, steers
from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.statistics.comparisons import Comparison
from heirloom.study.plan import Plan


@dataclass(frozen=True)
class Floor:
    """A row of the table: a metric of two draws, and one student that was steered against them."""

    base: str
    pool: str
    prompts: str
    first: str
    second: str
    n_seeds: int
    benchmark: str
    metric: str
    unit: str
    n: int
    n_missing: int
    first_value: float | None
    second_value: float | None
    floor: float | None
    floor_low: float | None
    floor_high: float | None
    student: str
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    exceeds: str


def drawn_twice(plan: Plan) -> bool:
    """Tell if a study has second random draws."""
    return bool(plan.redraws)


@table(
    "noise_floor",
    title="Noise floor",
    order=12,
    applies=drawn_twice,
    text=text_of(Floor),
    headings={"floor": "Second draw against first", "effect": "Steered effect"},
)
def noise_floor(results: Results) -> pd.DataFrame:
    """One row per two random draws of the same candidates and metric: what the draw alone changes.

    `first` is a student of a passive or random set, `second` one of another random draw from the
    same candidates for the same prompts, trained alike; their `n_seeds` models are pooled. `floor`
    is the difference of the second from the first, paired over the `n` examples that both have: in
    percent of the first (`unit` is "%") if the metric is on a ratio scale and the percentages of
    the row have intervals, otherwise in the metric's unit.

    `student` was steered towards this metric and has `first` as its control: one row for each such
    student; `effect` is its change against `first`, in the same unit. It exceeds the floor ("yes")
    if it is further from zero than both ends of the floor's interval; without an interval, the
    answer is empty. One pair of draws is a sample of one: a floor whose own value is near zero says
    less than its interval.
    """
    plan = results.plan
    steered = _steered(results)
    rows = []
    for compared in compare_redraws(results):
        first = next(one for one, second in plan.redraws.items() if second == compared.student)
        students: list[Compared | None] = [*steered.get((first, *compared.pair), ())]
        rows += [_row(plan, first, compared, student) for student in students or [None]]
    return frame(rows, Floor)


def _steered(results: Results) -> dict[tuple[str, str, str], list[Compared]]:
    """Control, benchmark and metric to the students that were steered towards that metric."""
    plan = results.plan
    pairs = (objective.measured_by.split(".", 1) for objective in plan.objectives.values())
    found: dict[tuple[str, str, str], list[Compared]] = {}
    for compared in compare_models(results, {(benchmark, metric) for benchmark, metric in pairs}):
        control = plan.models[plan.students_by_seed[compared.student][0]].control
        if control and steers(plan, compared.student, *compared.pair):
            key = (plan.without_seed(control), *compared.pair)
            found.setdefault(key, []).append(compared)
    return found


def _row(plan: Plan, first: str, compared: Compared, steered: Compared | None) -> Floor:
    model = plan.models[plan.students_by_seed[first][0]]
    data = plan.datasets[model.trained_on]
    versus = [one.against["control"] for one in (compared, steered) if one]
    relative = all(one.percent.low is not None for one in versus)
    floor, *effects = [one.percent if relative else one.gap for one in versus]
    effect = effects[0] if effects else None
    return Floor(
        base=model.artefact,
        pool=data.pool,
        prompts=data.prompts,
        first=first,
        second=compared.student,
        n_seeds=floor.n_seeds,
        benchmark=compared.benchmark,
        metric=compared.metric,
        unit="%" if relative else compared.unit,
        n=floor.n,
        n_missing=floor.n_missing,
        first_value=floor.reference,
        second_value=floor.treated,
        floor=floor.value,
        floor_low=floor.low,
        floor_high=floor.high,
        student=steered.student if steered else "",
        effect=effect.value if effect else None,
        effect_low=effect.low if effect else None,
        effect_high=effect.high if effect else None,
        exceeds=_exceeds(effect, floor) if effect else "",
    )


def _exceeds(effect: Comparison, floor: Comparison) -> str:
    if effect.value is None or floor.low is None or floor.high is None:
        return ""
    return "yes" if abs(effect.value) > max(abs(floor.low), abs(floor.high)) else "no"
