"""Benchmarks: what is measured of every model. Each module here registers one.

To add a benchmark, add a module with a function decorated by `@benchmark`; nothing else needs to
change. Its options become a section of the study file, its records and metrics reach the report.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict

from heirloom.statistics.estimates import estimate
from heirloom.statistics.resampling import Statistic, mean_of
from heirloom.support.files import Record

if TYPE_CHECKING:
    from heirloom.generate.model import LanguageModel
    from heirloom.generate.request import Prompt
    from heirloom.prompts.settings import Format

SCHEMA_VERSION = 2

_DATA = "names one of the study's data sets"
DataName = Annotated[str, _DATA]
"""The type of an option that names an entry of the study's `data` (also in a list or mapping)."""


class Options(BaseModel):
    """Base of a benchmark's section in the study file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def data_names(self) -> list[str]:
        """The data sets that the options name, each once."""
        names = dict.fromkeys(name for _, name in data_names(type(self), self.model_dump()))
        return list(names)

    @property
    def generates(self) -> bool:
        """Whether the benchmark lets the model write."""
        return False


def data_names(options: type[Options], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key path and name of every data set that a section of the study file names.

    Works on raw values, so that a check can name what is wrong beside other errors.
    """
    for key, info in options.model_fields.items():
        if _DATA not in f"{info.annotation} {info.metadata}":
            continue
        value = values.get(key)
        entries = (
            [(key, value)]
            if isinstance(value, str)
            else [(f"{key}[{index}]", item) for index, item in enumerate(value)]
            if isinstance(value, list | tuple)
            else [(f"{key}.{name}", item) for name, item in value.items()]
            if isinstance(value, dict)
            else []
        )
        yield from ((path, name) for path, name in entries if isinstance(name, str))


@dataclass(frozen=True)
class Metric:
    """What one number of a benchmark means and how it follows from the records.

    Attributes:
        unit: Its unit.
        direction: Which way is better, if either is.
        fields: The record fields that `statistic` uses. Empty: the field of the metric's own name.
            A record without one of them, or with null there, is missing and counted.
        statistic: How the number follows from the fields of many records. None: the mean of the
            first.
        where: Only records with these values count, others are neither used nor missing: a
            benchmark's category (`{"category": "gender"}`).
        relative: Whether a change in percent says something: a scale with a true zero. Otherwise
            changes are shown as differences.
        compared: False for a number that is reported as it is, without interval or comparison: a p
            value.
    """

    unit: str
    direction: Literal["higher", "lower"] | None = None
    fields: tuple[str, ...] = ()
    statistic: Statistic | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    relative: bool = True
    compared: bool = True

    def uses(self, name: str) -> tuple[tuple[str, ...], Statistic]:
        """The fields and the statistic of the metric called `name`."""
        fields = self.fields or (name,)
        return fields, self.statistic or mean_of(fields[0])

    def selects(self, record: Record) -> bool:
        """Whether a record is one that this metric is about."""
        return self.where.items() <= record.items() if self.where else True


@dataclass(frozen=True)
class Task:
    """What a benchmark gets beside its options.

    Attributes:
        model: The model to profile.
        prompts: The eval prompts of the set that its options name.
        format: How those prompts are written.
        scorer: The metric that its options name, if they name one; keyword arguments override the
            options that the study gives it.
        data: Where each data set is that its options name.
        seed: Seed of the study.
        work: Folder in which it may keep what it needs to go on after a kill.
        pairs: Pairs of answers by the study's own teachers (judge/pairs.jsonl), for a benchmark
            whose options name a pool.
    """

    model: "LanguageModel"
    prompts: Sequence["Prompt"]
    format: "Format"
    scorer: Callable[..., list[float | None]] | None
    data: Mapping[str, Path]
    seed: int
    work: Path
    pairs: Path | None = None


@dataclass(frozen=True)
class Benchmark:
    """A registered benchmark.

    Attributes:
        name: Its name in the study file and in file names.
        summary: What it measures, in one line.
        options: Its section of the study file.
        metrics: What its records are condensed to, by name.
        run: Returns one record an example, with an `id` and the fields that the metrics use.
        packages: Packages whose versions are noted beside its results.
    """

    name: str
    summary: str
    options: type[Options]
    metrics: Mapping[str, Metric]
    run: Callable[[Task, Options], list[Record]]
    packages: tuple[str, ...] = ()


_registry: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    *,
    options: type[Options],
    metrics: Mapping[str, Metric],
    packages: tuple[str, ...] = (),
) -> Callable[[Callable[..., list[Record]]], Callable[..., list[Record]]]:
    """Register a benchmark under `name`; the first line of its docstring is its summary."""

    def register(run: Callable[..., list[Record]]) -> Callable[..., list[Record]]:
        summary = (run.__doc__ or "").strip().splitlines()[0]
        _registry[name] = Benchmark(name, summary, options, metrics, run, packages)
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
    """Every metric of the records, with its 95 % bootstrap interval.

    Metrics of categories that no record belongs to are left out.
    """
    summary = {}
    for name, metric in metrics.items():
        selected = [record for record in records if metric.selects(record)]
        if metric.where and not selected:
            continue
        fields, statistic = metric.uses(name)
        # One resample is enough where the interval is thrown away.
        resamples = 10_000 if metric.compared else 1
        value = estimate(selected, statistic, fields, seed=seed, resamples=resamples)
        known = metric.compared and value.low is not None
        summary[name] = {
            "value": value.value,
            "unit": metric.unit,
            "direction": metric.direction,
            "n": value.n,
            "n_missing": value.n_missing,
            "interval": [value.low, value.high] if known else None,
        }
    return summary
