"""Models of a study whose answers judges compare, two by two."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from heirloom.profiling.compare_answers import Contest
from heirloom.profiling.text import TextOptions
from heirloom.study.plan import Plan


@dataclass(frozen=True)
class Rivals:
    """Two students that differ only in their teacher, each with its teacher as a judge.

    Attributes:
        students: Both, without their seed.
        judges: The teacher of the first, and that of the second.
        models: The models of the first and of the second, one per seed, seeds in the same order.
    """

    students: tuple[str, str]
    judges: tuple[str, str]
    models: tuple[Sequence[str], Sequence[str]]


def contests(plan: Plan) -> list[Contest]:
    """Return the models that every judge compares: students with their bases, controls and rivals.

    Each contest is there once, in the order of the plan.
    """
    if not plan.study.judges:
        return []
    found = [
        Contest(name, other)
        for name, model in plan.students.items()
        for other in (model.base, model.control)
        if other
    ]
    found += [Contest(*pair) for r in rivals(plan) for pair in zip(*r.models, strict=True)]
    return list(dict.fromkeys(found))


def rivals(plan: Plan) -> list[Rivals]:
    """Return every two students that differ only in the one teacher of their training sets.

    Both teachers must be among the judges: each is related to one of the students, whose training
    set it wrote, and unrelated to the other. (Their base is the same, so that what a judge may have
    to do with it favours neither.)
    """
    named = plan.study.judges
    alike: dict[tuple[object, ...], dict[str, str]] = {}
    for student, models in plan.students_by_seed.items():
        model = plan.models[models[0]]
        data = plan.datasets[model.trained_on]
        if len(data.teachers) == 1 and data.teachers[0] in named:
            kept = plan.datasets[data.prompts_of].objective if data.prompts_of else None
            key = (model.base, model.method, data.selection, data.objective, data.prompts, data.k)
            alike.setdefault((*key, kept), {}).setdefault(data.teachers[0], student)
    return [
        Rivals(
            (group[one], group[other]),
            (one, other),
            (plan.students_by_seed[group[one]], plan.students_by_seed[group[other]]),
        )
        for group in alike.values()
        for one, other in combinations(group, 2)
    ]


def answered(plan: Plan) -> TextOptions:
    """Return the options of the text profile, whose answers judges compare.

    Raises:
        TypeError: The study has no text profile.
    """
    options = plan.study.benchmarks.get("text")
    if not isinstance(options, TextOptions):
        raise TypeError(f"{plan.name} has no text profile")
    return options


def compared_pairs(plan: Plan) -> int:
    """Return the number of pairs of answers that each judge compares."""
    settings = plan.study.compare_answers
    if settings is None:
        return 0
    there = plan.study.prompts[answered(plan).prompts].eval
    return len(contests(plan)) * min(settings.examples or there, there)
