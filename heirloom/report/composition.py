"""Composition of a study: its bases, teachers, prompt sets and training sets."""

import pandas as pd

from heirloom.select.strategies import STRATEGIES
from heirloom.study.plan import Dataset, Plan


def trained_sets(plan: Plan) -> dict[str, Dataset]:
    """Student to the training set that it was trained on."""
    return {name: plan.datasets[model.trained_on] for name, model in plan.students.items()}


def selections(plan: Plan) -> list[str]:
    """Number of training sets by strategy, in words: "passive (2)", "best for an objective (3)".

    Sets that serve as controls come first.
    """
    found = [data.selection for data in plan.datasets.values()]
    names = sorted(dict.fromkeys(found), key=lambda name: STRATEGIES.get(name).needs_objective)
    return [f"{STRATEGIES.get(name).label} ({found.count(name)})" for name in names]


def bases(plan: Plan) -> list[str]:
    """Base models of all students, in the plan's order."""
    return list(dict.fromkeys(model.artefact for model in plan.students.values()))


def teachers(plan: Plan) -> list[str]:
    """Teachers of all training sets, in the plan's order."""
    return list(dict.fromkeys(name for data in plan.datasets.values() for name in data.teachers))


def prompt_sets(plan: Plan) -> list[str]:
    """Prompt sets that training sets are made from, in the plan's order."""
    return list(dict.fromkeys(data.prompts for data in plan.datasets.values()))


def pool_sizes(candidates: pd.DataFrame) -> tuple[dict[str, int], str]:
    """Return the sizes of the pools of candidates.

    Args:
        candidates: The table `candidates`.

    Returns:
        Prompt set to its number of prompts with candidates, and the number of candidates per prompt
        and teacher: "5", or "2 or 5" where teachers differ.
    """
    per_set = candidates.groupby("prompts", sort=False)["n_prompts"].max()
    k = sorted(set(candidates["k"].astype(int)))
    return {str(name): int(n) for name, n in per_set.items()}, " or ".join(map(str, k))
