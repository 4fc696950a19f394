"""Benchmarks: what is measured of every model. Each module here registers one.

To add a benchmark, add a module with a function decorated by `@benchmark`; nothing else needs to
change. Its options become a section of the study file, its records and metrics reach the report.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from heirloom.files import Record
from heirloom.statistics import mean_interval

if TYPE_CHECKING:
    from heirloom.generation import Prompt
    from heirloom.models import Format, LanguageModel

SCHEMA_VERSION = 1


class Options(BaseModel):
    """Base of a benchmark's section in the study file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Metric:
    """What one number of a benchmark means: its unit and which way is better, if either is."""

    unit: str
    direction: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class Task:
    """What a benchmark gets beside its options.

    Attributes:
        model: The model to profile.
        prompts: The eval prompts of the set that its options name.
        format: How those prompts are written.
        scorer: The metric that its options name, if they name one.
        seed: Seed of the study.
        work: Folder in which it may keep what it needs to go on after a kill.
    """

    model: "LanguageModel"
    prompts: Sequence["Prompt"]
    format: "Format"
    scorer: Callable[[list[str]], list[float | None]] | None
    seed: int
    work: Path


@dataclass(frozen=True)
class Benchmark:
    """A registered benchmark. `run` returns one record an example, with a field for each metric."""

    name: str
    summary: str
    options: type[Options]
    metrics: Mapping[str, Metric]
    run: Callable[[Task, Options], list[Record]]


_registry: dict[str, Benchmark] = {}


def benchmark(
    name: str, *, options: type[Options], metrics: Mapping[str, Metric]
) -> Callable[[Callable[..., list[Record]]], Callable[..., list[Record]]]:
    """Register a benchmark under `name`; the first line of its docstring is its summary."""

    def register(run: Callable[..., list[Record]]) -> Callable[..., list[Record]]:
        summary = (run.__doc__ or "").strip().splitlines()[0]
        _registry[name] = Benchmark(name, summary, options, metrics, run)
        return run

    return register


@cache
def registered() -> tuple[Benchmark, ...]:
    """Every benchmark, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(_registry[name] for name in sorted(_registry))


def get(name: str) -> Benchmark:
    """The benchmark registered under `name`; the study file's check has made sure there is one."""
    return {b.name: b for b in registered()}[name]


def summarise(
    records: Sequence[Record], metrics: Mapping[str, Metric], *, seed: int
) -> dict[str, Record]:
    """The mean of every metric over the records that have it, with its 95 % bootstrap interval."""
    summary = {}
    for name, metric in metrics.items():
        mean = mean_interval([record[name] for record in records], seed=seed)
        summary[name] = {
            "value": mean.value,
            "unit": metric.unit,
            "direction": metric.direction,
            "n": mean.n,
            "n_missing": mean.n_missing,
            "interval": None if mean.low is None else [mean.low, mean.high],
        }
    return summary
