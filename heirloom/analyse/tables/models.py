"""Models by metrics, as papers print them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import pandas as pd

from heirloom.analyse.comparisons import of_fewer_candidates, trained_on
from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.results import Results
from heirloom.analyse.tables import table
from heirloom.analyse.tables.profiles import profiles
from heirloom.select.strategies import STRATEGIES
from heirloom.study.plan import Plan
from heirloom.support.files import Record

#: Columns that say what a row is; every other one is `benchmark.metric`, with an ending or without.
ABOUT = ("model", "role", "base", "selection", "objective", "source", "n_seeds")


@dataclass(frozen=True)
class Measured:
    """A value of a metric, as the profile of one model reports it.

    Attributes:
        value: The value; None if it is undefined.
        low: Lower end of its 95 % interval, or None.
        high: Upper end, or None.
    """

    value: float | None
    low: float | None
    high: float | None


@table("models", title="Models by metrics", order=5, text=ABOUT[:-1])
def models(results: Results) -> pd.DataFrame:
    """One row per model, with the study's main metrics as columns called `benchmark.metric`.

    Models before any finetuning come first: bases, teachers, others. The students of each base
    follow: random controls, those selected for an objective, passive ones. A student is a base and
    a training set, `base.dataset`; students of fewer candidates and of second random draws are left
    out.

    A model of one seed has the value and the ends of its 95 % interval (`_low`, `_high`). A student
    of several seeds has the mean over them and their standard deviation (`_sd`), which is a column
    only in a study with several seeds.
    """
    plan = results.plan
    metrics = main_metrics(plan, profiles(results))
    several = any(len(members) > 1 for members in plan.students_by_seed.values())
    rows = []
    for name, members in _rows(plan).items():
        row = _about(plan, name, members)
        for benchmark, metric in metrics:
            found = [_measured(results, model, benchmark, metric) for model in members]
            cells = _cells([value for value in found if value is not None], several)
            row |= {f"{benchmark}.{metric}{end}": value for end, value in cells.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _rows(plan: Plan) -> dict[str, list[str]]:
    """Name of each row to the models that it stands for, in the order of the table."""
    untrained = {name: [name] for name, model in plan.models.items() if model.role != "student"}
    shown = [s for s in plan.students_by_seed if not _is_left_out(plan, s)]
    bases = list(untrained)

    def place(student: str) -> tuple[int, int]:
        base = plan.models[plan.students_by_seed[student][0]].artefact
        selection = trained_on(plan, student).selection
        chosen = STRATEGIES.get(selection).needs_objective
        return bases.index(base), 1 if chosen else 2 if selection == "passive" else 0

    return untrained | {s: plan.students_by_seed[s] for s in sorted(shown, key=place)}


def _is_left_out(plan: Plan, student: str) -> bool:
    second = trained_on(plan, student).first_draw is not None
    return second or of_fewer_candidates(plan, student)


def _about(plan: Plan, name: str, members: Sequence[str]) -> Record:
    model = plan.models[members[0]]
    data = trained_on(plan, name) if model.role == "student" else None
    return {
        "model": name,
        "role": model.role,
        "base": model.base or "",
        "selection": data.selection if data else "",
        "objective": (data.objective or "") if data else "",
        "source": plan.source(name) if data else "",
        "n_seeds": len(members) if data else None,
    }


def _measured(results: Results, model: str, benchmark: str, metric: str) -> Measured | None:
    entry = results.profiles[model][benchmark].metrics.get(metric)
    if entry is None:
        return None
    return Measured(entry["value"], *(entry.get("interval") or (None, None)))


def _cells(found: Sequence[Measured], several: bool) -> dict[str, float | None]:
    """Ending of a column to the number in it."""
    values = [measured.value for measured in found if measured.value is not None]
    single = found[0] if len(found) == 1 else Measured(None, None, None)
    cells = {
        "": mean(values) if values else None,
        "_low": single.low,
        "_high": single.high,
    }
    if several:
        cells["_sd"] = stdev(values) if len(values) > 1 else None
    return cells
