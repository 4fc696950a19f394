"""Answers that a limit on tokens truncated, and the examples without any."""

from collections.abc import Iterable

from heirloom.analyse.frames import mean
from heirloom.analyse.results import Results
from heirloom.profiling import BENCHMARKS
from heirloom.support.files import Record


def hangs_on_the_limit(benchmark: str, metric: str) -> bool:
    """Return True if a limit on tokens changes a metric: a length, or what depends on it."""
    if benchmark not in BENCHMARKS:
        return False
    known = BENCHMARKS.get(benchmark)
    return bool(known.truncated) and metric in known.metrics and known.metrics[metric].of_whole_text


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
