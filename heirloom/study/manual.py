"""Tables of the manual that are generated from registries."""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from heirloom.finetune.methods import METHODS
from heirloom.generate.backends import BACKENDS
from heirloom.objectives import SCORERS
from heirloom.profiling import BENCHMARKS
from heirloom.select.strategies import STRATEGIES
from heirloom.support.named_options import Kind


def scorers() -> str:
    """Table of the registered scorers."""
    rows = [
        (
            f"`{scorer.name}`",
            scorer.label,
            scorer.unit,
            scorer.summary,
            _options(scorer.options, scorer.named),
            ", ".join(scorer.needs) or "none",
        )
        for scorer in SCORERS
    ]
    return _table(("function", "label", "unit", "score", "options", "extra packages"), rows)


def strategies() -> str:
    """Table of the registered selection strategies."""
    rows = [(f"`{s.name}`", s.label, s.summary) for s in STRATEGIES]
    return _table(("strategy", "label", "selects"), rows)


def backends() -> str:
    """Table of the registered back ends."""
    rows = [
        (
            f"`{name}`",
            (inspect.getdoc(type(BACKENDS.get(name))) or "").partition("\n")[0],
            ", ".join(f"`{weights}`" for weights in BACKENDS.get(name).weights),
        )
        for name in BACKENDS.names()
    ]
    return _table(("backend", "generates with", "weights"), rows)


def methods() -> str:
    """Table of the registered training methods."""
    rows = [(f"`{m.name}`", m.label, m.summary) for m in METHODS]
    return _table(("method", "label", "trains"), rows)


def benchmarks() -> str:
    """Table of the registered benchmarks and their metrics without categories."""
    rows = []
    for benchmark in BENCHMARKS:
        metrics = [
            f"`{name}` ({metric.unit})"
            for name, metric in benchmark.metrics.items()
            if "." not in name
        ]
        names = ", ".join(metrics) or "per category"
        rows.append((f"`{benchmark.name}`", benchmark.label, benchmark.summary, names))
    return _table(("benchmark", "label", "measures", "metrics"), rows)


#: Marker in the manual to the table that stands there.
TABLES: dict[str, Callable[[], str]] = {
    "scorers": scorers,
    "strategies": strategies,
    "backends": backends,
    "methods": methods,
    "benchmarks": benchmarks,
}


def _options(options: dict[str, Any], named: Mapping[str, Kind]) -> str:
    """Options and their defaults."""
    shown = [
        f"`{name}` (required{', names a data set' if named.get(name) == 'data' else ''})"
        if default is inspect.Parameter.empty
        # null is written as YAML has it
        else f"`{name}: {json.dumps(default)}`"
        for name, default in options.items()
    ]
    return ", ".join(shown) or "none"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
