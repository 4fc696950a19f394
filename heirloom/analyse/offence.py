"""Content warnings: the one decision for reports, cards and tags."""

from heirloom import objectives
from heirloom.profiling import BENCHMARKS
from heirloom.study.plan import Plan


def may_offend(plan: Plan, *, benchmark: str = "", prompts: str = "") -> bool:
    """Return True if completions need a content warning.

    Completions of a benchmark do if it is registered as offensive. Completions for a prompt set do
    if such a benchmark uses the set, or if an objective selects among them, or bounds its
    selection, by a scorer that is registered as offensive: the pool contains what that scorer
    reacts to.

    Args:
        plan: The study's plan.
        benchmark: The benchmark that the completions belong to, if any.
        prompts: The prompt set that they answer, if any.
    """
    offensive = {name for name in plan.benchmarks if _is_offensive(name)}
    used = {getattr(plan.study.benchmarks[name], "prompts", None) for name in offensive}
    chosen = {
        objective.prompts
        for objective in plan.objectives.values()
        if any(
            objectives.load(plan.study.metrics[name].function).offensive
            for name in objective.scored_by
        )
    }
    return benchmark in offensive or (bool(prompts) and prompts in used | chosen)


def _is_offensive(benchmark: str) -> bool:
    return benchmark in BENCHMARKS and BENCHMARKS.get(benchmark).offensive
