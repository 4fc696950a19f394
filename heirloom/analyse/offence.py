"""Content warnings: the one decision for reports, cards and tags."""

from heirloom import objectives
from heirloom.profiling import BENCHMARKS
from heirloom.study.plan import Plan


def may_offend(plan: Plan, *, benchmark: str = "", prompts: str = "") -> bool:
    """Return True if completions need a content warning.

    Completions of a benchmark do if it is registered as offensive, or if it measures an objective
    by the scores of a scorer that is: it shows what students learned of them. Completions for a
    prompt set do if such a benchmark uses the set, or if an objective selects among them, or bounds
    its selection, by a scorer that is registered as offensive: the pool contains what that scorer
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
        if any(_reacts_to_offence(plan, name) for name in objective.scored_by)
    }
    measured = {o.measured_by.partition(".") for o in plan.objectives.values()}
    offensive |= {b for b, _, metric in measured if _is_scored_as_offensive(plan, b, metric)}
    return benchmark in offensive or (bool(prompts) and prompts in used | chosen)


def _reacts_to_offence(plan: Plan, metric: str) -> bool:
    return objectives.load(plan.study.metrics[metric].function).offensive


def _is_scored_as_offensive(plan: Plan, benchmark: str, metric: str) -> bool:
    definition = plan.measures.get(benchmark, {}).get(metric)
    scorer = definition.scorer if definition else ""
    return bool(scorer) and _reacts_to_offence(plan, scorer)


def _is_offensive(benchmark: str) -> bool:
    return benchmark in BENCHMARKS and BENCHMARKS.get(benchmark).offensive
