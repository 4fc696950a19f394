"""Share of a training set's change that students inherit."""

from dataclasses import dataclass

import pandas as pd

from heirloom.analyse.comparisons import Compared, compare_models, steers, trained_on
from heirloom.analyse.frames import frame, text_of
from heirloom.analyse.results import Results, chosen_scores
from heirloom.analyse.tables import table
from heirloom.analyse.tables.changes import truncated_columns
from heirloom.analyse.tables.selection import selects
from heirloom.objectives import SCORERS
from heirloom.select.settings import Objective, own_score
from heirloom.statistics.comparisons import Comparison, compare
from heirloom.statistics.resampling import mean_of
from heirloom.study.plan import Dataset, Plan


@dataclass(frozen=True)
class Followed:
    """A row of the table: one steered student."""

    student: str
    dataset: str
    source: str
    objective: str
    benchmark: str
    metric: str
    unit: str
    n_prompts: int
    data_shift: float | None
    data_shift_low: float | None
    data_shift_high: float | None
    n: int
    student_shift: float | None
    student_shift_low: float | None
    student_shift_high: float | None
    truncated_student: float | None
    truncated_control: float | None
    efficiency: float | None
    efficiency_low: float | None
    efficiency_high: float | None


@table(
    "efficiency",
    title="Efficiency of selection",
    order=50,
    applies=selects,
    text=text_of(Followed),
    headings={"n_prompts": "Prompts compared", "truncated_*": "Truncated, %: {}"},
)
def efficiency(results: Results) -> pd.DataFrame:
    """One row per steered student: how far it followed what selection did to its training set.

    `data_shift` is how far the chosen completions are from the control's on the metric that they
    were chosen by (the first, of several), paired over the `n_prompts` prompts both have;
    `student_shift` how far the student's own answers are from the control student's on what
    measures the objective. `efficiency` is student_shift / data_shift: 1 where the student moved as
    far as its training set, 0 where it did not move, negative where it moved the other way.

    Both shifts are differences in `unit` where the profile measures the same number as the scorer
    (`text.<metric>`, or its `same_as`), and changes in percent of the control elsewhere. The
    interval of the efficiency is that of the student's shift divided by the data's shift: it does
    not contain the uncertainty of the latter, which is smaller because candidates of one prompt are
    compared. There is no efficiency where the interval of the data's shift includes zero, or is
    missing.

    `truncated_student` and `truncated_control` are the shares of the two students' answers that
    reached the limit on tokens, in percent, where the metric depends on that.
    """
    plan = results.plan
    rows = []
    for compared in compare_models(results, _measured(plan)):
        data = trained_on(plan, compared.student)
        objective, control = data.objective, data.control
        if objective and control and steers(plan, compared.student, *compared.pair):
            rows.append(_followed(results, compared, data, objective, control))
    return frame(rows, Followed)


def _measured(plan: Plan) -> set[tuple[str, str]]:
    """Benchmark and metric of what measures an objective."""
    pairs = (o.measured_by.split(".", 1) for o in plan.objectives.values())
    return {(benchmark, metric) for benchmark, metric in pairs}


def _followed(
    results: Results, compared: Compared, data: Dataset, name: str, control: str
) -> Followed:
    objective = results.plan.objectives[name]
    same = is_same_number(results.plan, objective)
    versus = compared.against["control"]
    student = versus.gap if same else versus.percent
    shift = _data_shift(results, (data.id, control), objective.leading, relative=not same)
    value, low, high = _efficiency(student, shift)
    truncated = truncated_columns(results, compared)
    return Followed(
        student=compared.student,
        dataset=data.id,
        source=results.plan.source(compared.student),
        objective=name,
        benchmark=compared.benchmark,
        metric=compared.metric,
        unit=compared.unit if same else "percent",
        n_prompts=shift.n,
        data_shift=shift.value,
        data_shift_low=shift.low,
        data_shift_high=shift.high,
        n=versus.gap.n,
        student_shift=student.value,
        student_shift_low=student.low,
        student_shift_high=student.high,
        truncated_student=truncated["truncated_student"],
        truncated_control=truncated["truncated_control"],
        efficiency=value,
        efficiency_low=low,
        efficiency_high=high,
    )


def is_same_number(plan: Plan, objective: Objective) -> bool:
    """Return True if candidates' scores and what measures students are the same number."""
    function = plan.study.metrics[objective.leading].function
    same_as = SCORERS.get(function).same_as if function in SCORERS else ""
    return objective.measured_by in (same_as, own_score(objective.leading))


def _data_shift(
    results: Results, datasets: tuple[str, str], metric: str, *, relative: bool
) -> Comparison:
    """Chosen scores of a training set against its control's, as a difference or in percent."""
    chosen, control = (
        [{key: {"value": score} for key, score in chosen_scores(results, name, metric).items()}]
        for name in datasets
    )
    mean_value = mean_of("value")
    return compare(chosen, control, mean_value, ["value"], seed=results.plan.seed)[relative]


def _efficiency(
    student: Comparison, data: Comparison
) -> tuple[float | None, float | None, float | None]:
    """The student's shift and its ends, as multiples of the data's."""
    if data.value is None or data.low is None or data.high is None or data.low <= 0 <= data.high:
        return None, None, None
    value = None if student.value is None else student.value / data.value
    if student.low is None or student.high is None:
        return value, None, None
    low, high = sorted((student.low / data.value, student.high / data.value))
    return value, low, high
