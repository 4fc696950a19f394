"""Answers that a limit on tokens truncated, and the examples without any."""

from collections.abc import Iterable

from heirloom.analyse.results import Results
from heirloom.profiling import BENCHMARKS
from heirloom.statistics.estimates import mean
from heirloom.study.plan import Plan
from heirloom.support.files import Record


def hangs_on_the_limit(plan: Plan, benchmark: str, metric: str) -> bool:
    """Return True if a limit on tokens changes a metric: a length, or what depends on it."""
    known = plan.measures.get(benchmark, {}).get(metric)
    return known is not None and known.of_whole_text and bool(BENCHMARKS.get(benchmark).truncated)


def truncated_share(results: Results, models: Iterable[str], benchmark: str) -> float | None:
    """Share of answers that reached the limit, in percent: the mean over models, such as seeds.

    None where no record says so, or there are no models.
    """
    field = BENCHMARKS.get(benchmark).truncated
    shares = [
        mean(record.get(field) for record in results.records[model][benchmark]) for model in models
    ]
    share = mean(shares)
    return None if share is None else 100 * share


def is_complete(benchmark: str, record: Record) -> bool:
    """Return True if no answer of an example reached the limit; not known is not complete."""
    return record.get(BENCHMARKS.get(benchmark).truncated) == 0
