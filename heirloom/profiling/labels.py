"""Names of benchmarks and metrics for a reader, and the metrics to show first."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from heirloom.profiling import BENCHMARKS

#: Maximum number of main metrics per benchmark.
MOST_MAIN = 8


def benchmark_label(benchmark: str) -> str:
    """Return a benchmark's name for a reader: "CrowS-Pairs".

    A benchmark that is not registered, of an earlier study, is shown by its capitalised name.
    """
    return BENCHMARKS.get(benchmark).label if benchmark in BENCHMARKS else capitalised(benchmark)


def label(benchmark: str, metric: str) -> str:
    """Return a metric's name for a reader: "Calibration error (ECE), hellaswag".

    A metric that the benchmark does not define, such as one of the study, is shown by its
    capitalised name.
    """
    name, _, category = metric.partition(".")
    metrics = BENCHMARKS.get(benchmark).metrics if benchmark in BENCHMARKS else {}
    # A category that only a study's options name is called like the others of its metric.
    alike = (found for key, found in metrics.items() if key.startswith(f"{name}."))
    known = metrics.get(metric) or metrics.get(name) or next(alike, None)
    text = (known.label if known else "") or capitalised(name)
    return f"{text}, {category.replace('_', ' ')}" if category else text


def full_label(benchmark: str, metric: str) -> str:
    """Return `label` with the benchmark in front, unless the metric alone says what it is.

    A metric of the study does not: `text.toxicity` is "Text: toxicity".
    """
    text = label(benchmark, metric)
    known = BENCHMARKS.get(benchmark) if benchmark in BENCHMARKS else None
    if known and known.names_itself and metric.partition(".")[0] in known.metrics:
        return text
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return f"{benchmark_label(benchmark)}: {text}"


def main_of(benchmark: str, metrics: Iterable[str]) -> list[str]:
    """Return those of a benchmark's metrics that are shown first, in their order.

    Args:
        benchmark: The benchmark.
        metrics: Names of its metrics to choose from. Of a benchmark without main metrics, those
            without a category are shown first, or all where there are none.
    """
    names = list(dict.fromkeys(metrics))
    stated = BENCHMARKS.get(benchmark).main if benchmark in BENCHMARKS else ()
    patterns = stated or [name for name in names if "." not in name] or ["*"]
    chosen = [name for pattern in patterns for name in names if fnmatchcase(name, pattern)]
    return list(dict.fromkeys(chosen))[:MOST_MAIN]


def capitalised(name: str) -> str:
    """Return a name with spaces for underscores and hyphens, its first letter a capital."""
    return name.replace("_", " ").replace("-", " ").capitalize()
