"""Names of objectives and students for a reader, as short as the study allows."""

from heirloom.profiling.labels import full_label
from heirloom.select.settings import Objective
from heirloom.study.plan import Plan


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
