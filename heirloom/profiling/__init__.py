"""Benchmarks that profile every model, each registered where it is defined.

To add a benchmark, add a module with a function decorated by `@benchmark`, here or in a plugin:

    from heirloom.profiling import Metric, Options, PromptsName, Task, benchmark

    class EchoOptions(Options):
        prompts: PromptsName = Field(..., description="Prompt set whose eval prompts are repeated.")

    @benchmark("echo", options=EchoOptions, metrics={"echo": Metric("share of prompts")})
    def profile_echo(task: Task, options: EchoOptions) -> list[Record]:
        ...

Nothing else needs to change: its options become a section of the study file, its records and
metrics reach tables, figures and the report. Heavy imports belong inside functions: every module
here is imported to find its benchmarks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Prompt
from heirloom.objectives import ScoreFunction, Scorer
from heirloom.profiling.cost import Cost, Tokens
from heirloom.profiling.items import Items, ItemSources
from heirloom.profiling.metrics import Metric, Spread, summarise
from heirloom.profiling.options import (
    DataName,
    MetricName,
    Options,
    PoolName,
    PromptsName,
    check_references,
)
from heirloom.prompts.settings import Format
from heirloom.support.files import Record
from heirloom.support.registry import Registry

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "DataName",
    "ItemSources",
    "Metric",
    "MetricName",
    "Options",
    "PoolName",
    "PromptsName",
    "Spread",
    "Task",
    "Tokens",
    "benchmark",
    "summarise",
]


@dataclass(frozen=True)
class Task:
    """Inputs of a benchmark, apart from its options.

    Attributes:
        model: The model to profile.
        prompts: The eval prompts of the set that its options name.
        format: Format of those prompts.
        scorer: The metric that its options name, the first of several; keyword arguments override
            the options that the study gives it.
        data: Data set to its file or folder, for those that its options name.
        seed: Seed of the study.
        work: Folder for files from which it resumes after being killed.
        pairs: Pairs of answers by the study's own teachers (judge/pairs.jsonl), for a benchmark
            whose options name a pool.
        language: Language tag of the prompts and their completions.
        scorers: The metrics that its options name, by name and in their order; of a benchmark that
            scores with all, those of the study (`Benchmark.scores_all`).
        files: Further files that it writes, by the names under which it is registered
            (`Benchmark.files`); empty where nobody wants them.
    """

    model: LanguageModel
    prompts: Sequence[Prompt]
    format: Format
    scorer: ScoreFunction | None
    data: Mapping[str, Path]
    seed: int
    work: Path
    pairs: Path | None = None
    language: str = "en"
    scorers: Mapping[str, ScoreFunction] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


Run = Callable[..., list[Record]]
"""`run(task, options)`: one record per example, with an `id` and the fields that metrics use."""

Scored = Callable[[Mapping[str, Scorer | None]], Mapping[str, Metric]]
"""`scored(scorers)`: metrics that follow from scores by metrics of the study, given by name; None
stands for a scorer that cannot be loaded."""

Chosen = Callable[[Any], Mapping[str, Metric]]
"""`chosen(options)`: metrics that follow from the benchmark's validated options."""

Caveat = tuple[str, str]
"""Heading and text of a caveat that a report must state."""


@dataclass(frozen=True)
class Benchmark:
    """A registered benchmark.

    Attributes:
        name: Its name in the study file and in file names.
        label: Its name for a reader.
        summary: Its purpose, in one line.
        options: Its section of the study file.
        metrics: Metrics that are computed from its records in every study, by name.
        run: Function that measures a model and returns the records.
        main: Metrics to show first, the most informative one in front; `*` stands for any category.
            Empty: all metrics without a category.
        names_itself: True if its metrics need no benchmark next to their name.
        side_effects: Number of its main metrics that the figure of side effects shows.
        truncated: Metric that is the share of an example's answers that reached the limit on
            tokens: an example is complete where it is 0. Empty: nothing is generated, or every
            text ends at the limit by design.
        offensive: True if its completions need a content warning.
        cost: Tokens that a model reads and generates for it; None if unknown.
        packages: Packages whose versions are noted with its results.
        caveats: Caveats that a report must state when it is used.
        scores_all: True if it scores completions with every metric of the study, but for those
            that are metrics of its own.
        scored: Further metrics, or those of `metrics` with the scorer that they follow from. None:
            those of `metrics` as they are.
        chosen: Further metrics that follow from its options. None: there are none.
        files: Names of JSON files that it writes besides the profile and its records.
        items: Returns the texts of its examples, which training sets must not hold. None: they are
            not looked for.
    """

    name: str
    label: str
    summary: str
    options: type[Options]
    metrics: Mapping[str, Metric]
    run: Run
    main: tuple[str, ...] = ()
    names_itself: bool = False
    side_effects: int = 2
    truncated: str = ""
    offensive: bool = False
    cost: Cost | None = None
    packages: tuple[str, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    scores_all: bool = False
    scored: Scored | None = None
    chosen: Chosen | None = None
    files: tuple[str, ...] = ()
    items: Items | None = None

    def scored_with(self, named: Sequence[str], metrics: Sequence[str]) -> list[str]:
        """Return the metrics of a study whose scorers it gets, each once.

        Args:
            named: Metrics that its options name.
            metrics: All metrics of the study.
        """
        if not self.scores_all:
            return list(dict.fromkeys(named))
        return [name for name in metrics if name not in self.metrics]

    def measures(
        self, scorers: Mapping[str, Scorer | None], options: Options | None = None
    ) -> dict[str, Metric]:
        """Return its metrics in a study.

        Args:
            scorers: Scorers by metric, those of `scored_with`.
            options: Its validated options; None where they are not valid.
        """
        return {
            **self.metrics,
            **(self.scored(scorers) if self.scored else {}),
            **(self.chosen(options) if self.chosen and options else {}),
        }


class Description(TypedDict, total=False):
    """Attributes of `Benchmark` that are stated where a benchmark is registered."""

    label: str
    options: Required[type[Options]]
    metrics: Required[Mapping[str, Metric]]
    main: tuple[str, ...]
    names_itself: bool
    side_effects: int
    truncated: str
    offensive: bool
    cost: Cost
    packages: tuple[str, ...]
    caveats: tuple[Caveat, ...]
    scores_all: bool
    scored: Scored
    chosen: Chosen
    files: tuple[str, ...]
    items: Items


BENCHMARKS: Registry[Benchmark] = Registry("benchmark", "heirloom.profiling")


def benchmark(name: str, **description: Unpack[Description]) -> Callable[[Run], Run]:
    """Register the decorated function as a benchmark.

    Args:
        name: Its name in the study file and in file names.
        description: `options`, `metrics` and other attributes of `Benchmark`. The summary is the
            first line of the function's docstring; without a label the capitalised name is shown.
    """

    def register(run: Run) -> Run:
        summary = (run.__doc__ or "").strip().partition("\n")[0]
        check_references(description["options"])
        stated: Description = {"label": name.replace("_", " ").capitalize(), **description}
        part = Benchmark(name=name, summary=summary, run=run, **stated)
        BENCHMARKS.register(name, part, source=run)
        return run

    return register
