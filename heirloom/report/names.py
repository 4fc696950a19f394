"""Names of objectives and students for a reader, as short as the study allows."""

from heirloom.profiling.labels import full_label
from heirloom.select.settings import Objective
from heirloom.study.plan import Dataset, Plan

#: Name of a pool that needs no mention: it says no more than that there are several teachers.
_ANY_POOL = "multi"


def objective_label(name: str, plan: Plan) -> str:
    """Return an objective's metric and direction: "Length (maximise)".

    Its name follows where two objectives of the study would read alike.
    """

    def text(objective: Objective) -> str:
        measured = full_label(*objective.measured_by.split(".", 1))
        return f"{measured} ({objective.direction_of_leading})"

    own = text(plan.objectives[name])
    alike = [text(objective) for objective in plan.objectives.values()].count(own)
    return own if alike == 1 else f"{own}: {name}"


def student_label(student: str, plan: Plan, *, dataset: str | None = None) -> str:
    """Return a student's name without the parts that all students of the study share.

    Args:
        student: Its id, or `base.dataset` for all its seeds together.
        plan: The study's plan.
        dataset: Text to show for its training set; None: the training set's id.
    """
    trained = plan.students.values()
    pooled = plan.students_by_seed
    model = plan.models[pooled.get(student, [student])[0]]
    parts = [dataset or model.trained_on]
    if len({other.base for other in trained}) > 1:
        parts.insert(0, model.artefact)
    if len({other.method for other in trained}) > 1:
        parts.append(str(model.method))
    if student not in pooled and len({other.seed for other in trained}) > 1:
        parts.append(f"s{model.seed}")
    return (".".join if dataset is None else ": ".join)(parts)


def source_label(student: str, plan: Plan, *, short: bool = False) -> str:
    """Return whose candidates a student's training set was chosen from, for a bar of a figure.

    Args:
        student: Its id, or `base.dataset` for all its seeds together.
        plan: The study's plan.
        short: Leave out the kind where there is a name.

    Returns:
        "own", "other: gemma3", "pool" or "pool: small"; short, the last part alone.
    """
    source, data = plan.source(student) or "other", _trained_on(student, plan)
    if source == "own" or (source == "pool" and data.pool == _ANY_POOL):
        return source
    return data.pool if short else f"{source}: {data.pool}"


def source_text(student: str, plan: Plan) -> str:
    """Return the same for a sentence: "own candidates", "candidates of gemma3", "a pool"."""
    data = _trained_on(student, plan)
    source = plan.source(student)
    if source == "own":
        return "own candidates"
    if source == "pool":
        return "a pool" if data.pool == _ANY_POOL else f"the pool {data.pool}"
    return f"candidates of {data.teachers[0]}"


def _trained_on(student: str, plan: Plan) -> Dataset:
    return plan.datasets[plan.models[plan.students_by_seed.get(student, [student])[0]].trained_on]
