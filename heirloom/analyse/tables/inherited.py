"""Inheritance coefficients: where each student is between its base and its teacher."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import definition_of, examples_of, trained_on
from heirloom.analyse.frames import frame, text_of, unique
from heirloom.analyse.main_metrics import main_among
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.statistics.comparisons import Comparison, compare, holm
from heirloom.statistics.inheritance import coefficient
from heirloom.study.plan import Plan

#: Largest corrected p value at which teacher and base, or student and base, differ clearly.
LEVEL = 0.05
TOWARDS, AWAY = "moved towards the teacher", "moved away from the teacher"
NEITHER = "not distinguishable from the base"
UNCLEAR = "teacher and base do not differ clearly"

_Metric = tuple[str, str]
_Test = tuple[str, str, _Metric]
"""Base, teacher and metric."""


@dataclass(frozen=True)
class Position:
    """A row of the table: a student, one of its teachers, and a metric."""

    student: str
    dataset: str
    selection: str
    objective: str
    teacher: str
    n_seeds: int
    benchmark: str
    metric: str
    unit: str
    n: int
    n_missing: int
    base_value: float | None
    teacher_value: float | None
    student_value: float | None
    teacher_difference: float | None
    teacher_difference_low: float | None
    teacher_difference_high: float | None
    teacher_p_holm: float | None
    coefficient: float | None
    coefficient_low: float | None
    coefficient_high: float | None
    p: float | None
    p_holm: float | None
    moved: str


def has_teachers(plan: Plan) -> bool:
    """Tell if a study has students of a teacher that is not their base."""
    return any(_teachers(plan, student) for student in plan.students_by_seed)


@table(
    "inherited",
    title="Inherited from the teacher",
    order=55,
    applies=has_teachers,
    text=text_of(Position),
    headings={
        "teacher_difference": "Teacher \N{MINUS SIGN} base",
        "teacher_p_holm": "P of teacher \N{MINUS SIGN} base (Holm)",
        "p_holm": "P (Holm)",
        "moved": "From the base",
    },
)
def inherited(results: Results) -> pd.DataFrame:
    """One row per student, teacher and main metric: where the student is between base and teacher.

    The `coefficient` is (student - base) / (teacher - base) over the `n` examples that all of them
    have a value for: 0 where the student is still at its base, 1 where it is at the teacher,
    negative where it moved the other way. A student of several teachers has a row for each that is
    not its base; all seeds of a student are pooled.

    There is a coefficient only where teacher and base differ clearly: the p value of their paired
    difference is below 0.05 after Holm's correction for the main metrics of the benchmark, of every
    base and teacher (`teacher_p_holm`, over the examples that these two have), and without
    correction over the `n` examples as well. In other rows, all is over the examples of these two.

    The interval of the coefficient is Fieller's, with the bootstrap intervals of all other
    differences: see `heirloom.statistics.inheritance`. `p` is the p value of student - base on
    these examples, `p_holm` the same after Holm's correction for all coefficients of the benchmark;
    `moved` says in words what it shows.
    """
    plan = results.plan
    metrics = _metrics(results)
    tests = dict(_teachers_against_bases(results, metrics))
    corrected = _corrected((test[2][0], test, found.p) for test, found in tests.items())
    rows: dict[tuple[str, str, _Metric], Position] = {}
    for metric in metrics:
        for row in _positions(results, metric, tests, corrected):
            rows[row.student, row.teacher, metric] = row
    moved = _corrected((row.benchmark, key, row.p) for key, row in rows.items())
    ordered = [
        _in_words(rows[key], moved.get(key))
        for student in plan.students_by_seed
        for teacher in _teachers(plan, student)
        for metric in metrics
        if (key := (student, teacher, metric)) in rows
    ]
    return frame(ordered, Position)


def _teachers(plan: Plan, student: str) -> list[str]:
    """The teachers of a student, without its seed, that are not its base."""
    base = plan.models[plan.students_by_seed[student][0]].base
    return [teacher for teacher in trained_on(plan, student).teachers if teacher != base]


def _metrics(results: Results) -> list[_Metric]:
    """Main metrics, and those that the objectives are measured by, of which there are differences.

    Others belong to no family of tests.
    """
    profiles = results.profiles
    held = unique(
        (benchmark, metric)
        for student in results.plan.students
        for benchmark in results.plan.benchmarks
        for metric in profiles[student][benchmark].metrics
    )
    plan = results.plan
    return [pair for pair in main_among(plan, held) if definition_of(plan, *pair).compared]


def _teachers_against_bases(
    results: Results, metrics: Iterable[_Metric]
) -> Iterator[tuple[_Test, Comparison]]:
    """Every teacher against the bases of its students: teacher - base."""
    plan = results.plan
    pairs = unique(
        (plan.models[models[0]].artefact, teacher)
        for student, models in plan.students_by_seed.items()
        for teacher in _teachers(plan, student)
    )
    for metric in metrics:
        definition = definition_of(plan, *metric)
        fields, statistic = definition.uses(metric[1])
        examples = examples_of(results, *metric, definition)
        for base, teacher in pairs:
            sides = [examples(teacher)], [examples(base)]
            yield (
                (base, teacher, metric),
                compare(*sides, statistic, fields, seed=plan.seed)[0],
            )


def _corrected(tests: Iterable[tuple[str, Any, float | None]]) -> dict[Any, float]:
    """Key to p value after Holm's correction within its family.

    Args:
        tests: Family, key and p value; those without a p value are left out.
    """
    families: dict[str, dict[Any, float]] = {}
    for family, key, p in tests:
        if p is not None:
            families.setdefault(family, {})[key] = p
    return {
        key: p_holm
        for family in families.values()
        for key, p_holm in zip(family, holm(list(family.values())), strict=True)
    }


def _positions(
    results: Results,
    metric: _Metric,
    tests: Mapping[_Test, Comparison],
    corrected: Mapping[_Test, float],
) -> Iterator[Position]:
    """The rows of one metric, without what depends on all of them."""
    plan = results.plan
    definition = definition_of(plan, *metric)
    fields, statistic = definition.uses(metric[1])
    examples = examples_of(results, *metric, definition)
    for student, models in plan.students_by_seed.items():
        data, base = trained_on(plan, student), plan.models[models[0]].artefact
        for teacher in _teachers(plan, student):
            test = (base, teacher, metric)
            row = Position(
                student=student,
                dataset=data.id,
                selection=data.selection,
                objective=data.objective or "",
                teacher=teacher,
                n_seeds=len(models),
                benchmark=metric[0],
                metric=metric[1],
                unit=definition.unit,
                **_difference(tests[test]),
                teacher_p_holm=corrected.get(test),
                student_value=None,
                coefficient=None,
                coefficient_low=None,
                coefficient_high=None,
                p=None,
                p_holm=None,
                moved=UNCLEAR,
            )
            if corrected.get(test, 1.0) < LEVEL:
                found = coefficient(
                    [examples(model) for model in models],
                    examples(base),
                    examples(teacher),
                    statistic,
                    fields,
                    seed=plan.seed,
                )
                row = replace(
                    row,
                    **_difference(found.apart),
                    student_value=found.moved.treated,
                    coefficient=found.value,
                    coefficient_low=found.low,
                    coefficient_high=found.high,
                    p=None if found.value is None else found.moved.p,
                )
            yield row


def _difference(found: Comparison) -> dict[str, Any]:
    """The cells of teacher - base."""
    return {
        "n": found.n,
        "n_missing": found.n_missing,
        "base_value": found.reference,
        "teacher_value": found.treated,
        "teacher_difference": found.value,
        "teacher_difference_low": found.low,
        "teacher_difference_high": found.high,
    }


def _in_words(row: Position, p_holm: float | None) -> Position:
    """The row with its corrected p value, and what it shows."""
    if row.coefficient is None:
        return row
    if p_holm is None or p_holm >= LEVEL:
        return replace(row, p_holm=p_holm, moved=NEITHER)
    return replace(row, p_holm=p_holm, moved=TOWARDS if row.coefficient > 0 else AWAY)
