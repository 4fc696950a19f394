"""Numbers of other studies, each next to what this study found on the same question.

Made from the table of changes by a job of its own, so that editing the study's references computes
nothing else again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heirloom.analyse.comparisons import trained_on
from heirloom.analyse.frames import frame, rows_of, text_of
from heirloom.analyse.tables import read, table, write
from heirloom.select.strategies import STRATEGIES
from heirloom.study.paths import Paths
from heirloom.study.plan import Dataset, Plan
from heirloom.study.settings import PublishedNumber
from heirloom.support.files import Record


@dataclass(frozen=True)
class Published:
    """A row of the table: one published number and one student that it can be compared with."""

    label: str
    benchmark: str
    metric: str
    objective: str
    kind: str
    against: str
    bound: str
    unit: str
    number: float
    compared_with: float | None
    published_change: float | None
    student: str
    n: int | None
    change: float | None
    change_low: float | None
    change_high: float | None
    source: str
    url: str


def write_published_numbers(root: str | Path, numbers: Sequence[Record]) -> None:
    """Write the table of published numbers of the study whose results are in `root`.

    Args:
        root: Folder of the results, with the plan and the table of changes.
        numbers: The study's references, as JSON.

    Raises:
        HeirloomError: The plan or the table of changes is missing or malformed.
    """
    paths = Paths(str(root))
    folder = Path(paths.table("changes")).parent
    changes = read(folder, ["changes"])["changes"]
    known = [PublishedNumber.model_validate(number) for number in numbers]
    table = published_numbers(Plan.read(paths.plan()), changes, known)
    write(table, paths.table("published_numbers"))


def _has_references(plan: Plan) -> bool:
    return bool(plan.study.references)


@table(
    "published_numbers",
    title="Published numbers",
    order=16,
    applies=_has_references,
    text=text_of(Published),
    apart=True,
)
def published_numbers(
    plan: Plan, changes: pd.DataFrame, numbers: Sequence[PublishedNumber]
) -> pd.DataFrame:
    """One row per published number and student of the kind that it is about.

    `number` is as published: a change in percent of the base or control, or a level on the source's
    own scale. `published_change` is the change in percent: `number` itself, or, for a level with
    the level that it is `compared_with`, 100 * (number / compared_with - 1) if the metric is on a
    ratio scale. `change` is this
    study's, in percent, from the table of changes; it is null if the metric is not on a ratio scale
    or was not measured. Levels of two studies are not put next to each other, because their scorers
    and prompts differ.

    A number that is about no student of this study has one row with an empty `student`. Students of
    fewer candidates are left out.

    Args:
        plan: The plan.
        changes: The table of changes.
        numbers: The study's references.
    """
    measured = {(row.student, row.benchmark, row.metric): row for row in rows_of(changes)}
    rows = []
    for number in numbers:
        metric = number.metric or plan.objectives[number.objective or ""].measured_by
        benchmark, name = metric.split(".", 1)
        students = [s for s in plan.students_by_seed if _is_about(number, plan, s)]
        found = [(s, measured.get((s, benchmark, name))) for s in students]
        held = [(student, row) for student, row in found if row is not None] or [("", None)]
        rows += [_row(number, (benchmark, name), student, row) for student, row in held]
    return frame(rows, Published)


def _is_about(number: PublishedNumber, plan: Plan, student: str) -> bool:
    """True if a student, without its seed, is of the kind that a published number is about."""
    data = trained_on(plan, student)
    base = plan.models[plan.students_by_seed[student][0]].artefact
    return (
        data.k is None
        and number.base in (None, base)
        and number.pool in (None, data.pool)
        and _is_of_kind(number, plan, data)
    )


def _is_of_kind(number: PublishedNumber, plan: Plan, data: Dataset) -> bool:
    if STRATEGIES.get(number.kind).needs_objective:
        return data.selection == number.kind and data.objective == number.objective
    served = {d.objective for d in plan.datasets.values() if d.control == data.id}
    of_kind = data.selection == number.kind or (number.kind == "random" and bool(served))
    return of_kind and (number.objective is None or number.objective in served)


def _row(number: PublishedNumber, pair: tuple[str, str], student: str, row: Any) -> Published:
    def own(kind: str) -> float | None:
        return None if row is None else getattr(row, kind.format(number.against))

    relative = row is None or row.relative == "yes"
    return Published(
        label=number.label,
        benchmark=pair[0],
        metric=pair[1],
        objective=number.objective or "",
        kind=number.kind,
        against=number.against,
        bound=number.bound,
        unit=number.unit,
        number=number.number,
        compared_with=number.compared_with,
        published_change=number.change if relative else None,
        student=student,
        n=None if row is None else row.n if number.against == "base" else row.n_vs_control,
        change=own("change_vs_{}"),
        change_low=own("change_vs_{}_low"),
        change_high=own("change_vs_{}_high"),
        source=number.source,
        url=number.url or "",
    )
