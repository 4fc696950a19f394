"""Inputs and parameters of the workflow's jobs, derived from a study's plan.

Rule files state the inputs and outputs of each job; anything that needs more than a path is
computed here. All methods return plain JSON or lists of paths: Snakemake compares parameters
between runs and passes them to jobs on other machines.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import heirloom
from heirloom.fetch.notes import fetched
from heirloom.fetch.settings import Artefact, HubSource, PathSource
from heirloom.finetune.methods import METHODS
from heirloom.finetune.settings import Run
from heirloom.generate.backends import BACKENDS
from heirloom.generate.settings import Model
from heirloom.objectives import source_files
from heirloom.objectives.data_files import data_named
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.options import needs
from heirloom.prompts.settings import Reading
from heirloom.select.strategies import STRATEGIES
from heirloom.study.contests import contests
from heirloom.study.exports import Exports
from heirloom.study.modules import modules_of
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan, profiled_on, thinned
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.registry import Registry

Kind = Literal["datasets", "students"]


@dataclass(frozen=True)
class JobInputs:
    """Inputs and parameters of the jobs of one study.

    Attributes:
        plan: The plan of the study.
        paths: The paths of its results.
    """

    plan: Plan
    paths: Paths

    # fetch

    @staticmethod
    def sources(artefact: Artefact | Model) -> list[Record]:
        """Sources of an artefact, as JSON."""
        return [source.model_dump(mode="json") for source in artefact.sources]

    @staticmethod
    def local_files(artefacts: Iterable[Artefact | Model]) -> list[str]:
        """Files of these artefacts that are on this machine: editing one re-runs what reads it."""
        paths = [
            source.path.expanduser()
            for artefact in artefacts
            for source in artefact.sources
            if isinstance(source, PathSource)
        ]
        # Of a folder its files: its own time does not change when one of them is edited.
        found = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
        return sorted(str(file) for file in found if file.is_file())

    def base_note(self, artefact: str) -> list[str]:
        """Note on the base that an adapter is merged into; none for a whole model."""
        base = self.plan.study.models[artefact].base
        return [self.paths.model_note(base)] if base else []

    def endpoint(self, model: str) -> Record | None:
        """The endpoint that a model is behind, as JSON; None if it has sources."""
        endpoint = self.plan.study.models[model].endpoint
        return endpoint.model_dump(mode="json") if endpoint else None

    def lost_notes(self) -> list[str]:
        """Notes on artefacts that have left the cache and must be fetched again.

        Nothing is deleted: looking at a study must not change it, and a cache that is not mounted
        may be mounted again.
        """
        study = self.plan.study
        notes = [
            *map(self.paths.model_note, study.models),
            *map(self.paths.prompts_note, study.prompts),
            *map(self.paths.data_note, study.data),
        ]
        return [note for note in notes if Path(note).exists() and fetched(note) is None]

    # prompts

    def reading(self, prompts: str) -> Record:
        """Columns, rows and template of a prompt set, as JSON: `Reading`."""
        return self.plan.study.prompts[prompts].model_dump(include=set(Reading.model_fields))

    def near_duplicates(self) -> list[str]:
        """Lists of near-duplicates, of the prompt sets that leave them out."""
        return [self.paths.near_duplicates(name) for name in thinned(self.plan)]

    # generate

    def template(self, model: str) -> Record:
        """Prompt template of a model, or of the base of a student."""
        known = self.plan.models.get(model)
        settings = self.plan.study.models[known.artefact if known else model]
        # Only what is set: Snakemake would run finished jobs again for a parameter that is new.
        more = settings.model_dump(
            include={"chat_template_kwargs", "reasoning"}, exclude_defaults=True
        )
        return {"template": settings.template, "stop": tuple(settings.stop), **more}

    def generate_modules(self) -> list[str]:
        """Files that define completions, the study's back end included."""
        backend = self.plan.study.generate.backend
        return sorted({*modules("generate.candidates"), *component_files(BACKENDS, [backend])})

    def shown_template(self, model: str) -> Record | None:
        """`template` of a model; None in a study that shows models no instructions."""
        formats = {prompts.format for prompts in self.plan.study.prompts.values()}
        shows = "instruction" in formats or "judge" in self.plan.benchmarks
        return self.template(model) if shows else None

    # objectives and select

    def scorer_files(self, metric: str) -> list[str]:
        """Files that define a metric's scorer: editing one scores again."""
        function = self.plan.study.metrics[metric].function
        return [os.path.relpath(file) for file in source_files(function)]

    def scorer_data(self, metric: str) -> list[str]:
        """Notes of the data sets that a metric's scorer names, each once."""
        settings = self.plan.study.metrics[metric]
        return [self.paths.data_note(n) for n in data_named(settings.function, settings.options)]

    def pool_candidates(self, dataset: str) -> list[str]:
        """Candidates of every teacher in a training set's pool."""
        data = self.plan.datasets[dataset]
        return [self.paths.candidates(teacher, data.prompts) for teacher in data.teachers]

    def pool_scores(self, dataset: str) -> list[str]:
        """Scores needed to select a training set, by metric, then by teacher."""
        data = self.plan.datasets[dataset]
        if data.objective is None:
            return []
        return [
            self.paths.scores(teacher, data.prompts, metric)
            for metric in self.plan.objectives[data.objective].scored_by
            for teacher in data.teachers
        ]

    def kept_prompts(self, dataset: str) -> list[str]:
        """The training set whose prompts this one uses, if there is one."""
        origin = self.plan.datasets[dataset].prompts_of
        return [self.paths.dataset(origin, "train.jsonl")] if origin else []

    def criteria(self, dataset: str) -> Record | None:
        """Criteria that a training set is selected by, as JSON; None without an objective."""
        name = self.plan.datasets[dataset].objective
        return self.plan.objectives[name].decides() if name else None

    def admits_truncated(self, dataset: str) -> bool:
        """True if a training set may hold truncated completions."""
        return self.plan.study.prompts[self.plan.datasets[dataset].prompts].admits_truncated

    def select_modules(self, dataset: str) -> list[str]:
        """Files that define a training set, the strategy that selects it included."""
        strategy = self.plan.datasets[dataset].selection
        return sorted({*modules("select.training_set"), *component_files(STRATEGIES, [strategy])})

    # profiling

    def judged_files(self) -> list[str]:
        """Completions that judges are shown, and the pairs made of them; none without a pool."""
        if self.plan.study.judge is None:
            return []
        return [
            *map(self.paths.judge_answers, self.plan.study.judged_teachers),
            self.paths.judge_pairs(),
        ]

    def benchmark(self, name: str) -> Record:
        """Settings of a benchmark's run: its options, and what they name of the study."""
        study, options = self.plan.study, self.plan.study.benchmarks[name]
        needed = needs(options)
        metrics = study.metrics
        first = metrics[needed.metrics[0]].model_dump(mode="json") if needed.metrics else None
        return {
            "name": name,
            "options": options.model_dump(mode="json"),
            "prompts": self.paths.prompts(needed.prompts, "eval") if needed.prompts else None,
            "format": study.prompts[needed.prompts].format if needed.prompts else None,
            "language": study.prompts[needed.prompts].language if needed.prompts else "en",
            "scorer": first,
            "pairs": self.paths.judge_pairs() if needed.pool else None,
            "scorers": {n: metrics[n].model_dump(mode="json") for n in study.scored_with(name)},
        }

    def benchmarks(self) -> list[Record]:
        """`benchmark` of every benchmark of the study, in order."""
        return [self.benchmark(name) for name in self.plan.benchmarks]

    def benchmark_files(self, key: Literal["prompts", "pairs"]) -> list[str]:
        """Files under a key of `benchmarks`, each once."""
        return sorted({settings[key] for settings in self.benchmarks()} - {None})

    def benchmark_data(self) -> list[str]:
        """Notes of the data sets that benchmarks and their scorers name, each once."""
        study = self.plan.study
        needed = [needs(options) for options in study.benchmarks.values()]
        own = {self.paths.data_note(name) for found in needed for name in found.data}
        metrics = {metric for name in study.benchmarks for metric in study.scored_with(name)}
        return sorted(own.union(*map(self.scorer_data, metrics)))

    def item_records(self) -> list[str]:
        """Records of one model, whose ids name the items that were drawn."""
        model = profiled_on(self.plan)
        return [self.paths.records(model, name) for name in self.plan.benchmarks]

    def benchmark_outputs(self) -> list[tuple[str, str]]:
        """Benchmark and name of every further file that one of the study writes, in order."""
        return [
            (name, file) for name in self.plan.benchmarks for file in BENCHMARKS.get(name).files
        ]

    def benchmark_code(self) -> dict[str, list[str]]:
        """Benchmark to the files that define its numbers, its scorers included."""
        return {name: self._code(name) for name in self.plan.benchmarks}

    def _code(self, benchmark: str) -> list[str]:
        metrics = self.plan.study.scored_with(benchmark)
        scorers = {file for metric in metrics for file in self.scorer_files(metric)}
        own = component_files(BENCHMARKS, [benchmark])
        return sorted({*modules("profiling.run"), *own, *scorers, *self.generate_modules()})

    def benchmark_modules(self) -> list[str]:
        """Files that define the numbers of the study's benchmarks."""
        return sorted({file for files in self.benchmark_code().values() for file in files})

    def compared(self) -> tuple[list[list[str]], list[str]]:
        """The models that judges compare, two by two, and all those models."""
        pairs = [[contest.model, contest.other] for contest in contests(self.plan)]
        return pairs, sorted({name for pair in pairs for name in pair})

    # finetune

    def run(self, student: str) -> Record:
        """Training run of a student, as JSON."""
        study, model = self.plan.study, self.plan.models[student]
        return Run(study.finetune, model.seed or 0, study.dtype, model.trained_by).record()

    def student_format(self, student: str) -> str:
        """Format of the prompts that a student is trained on."""
        dataset = self.plan.datasets[self.plan.models[student].trained_on]
        return self.plan.study.prompts[dataset.prompts].format

    def finetune_modules(self, student: str) -> list[str]:
        """Files that define a student, its training method included."""
        method = self.plan.models[student].trained_by
        return sorted({*modules("finetune.student"), *component_files(METHODS, [method])})

    # analyse, report and publish

    def scores(self) -> list[str]:
        """Scores of every pool under every metric."""
        return [
            self.paths.scores(*pool, metric)
            for pool in self.plan.pools
            for metric in self.plan.study.metrics
        ]

    def compared_tables(self, table: str) -> list[str]:
        """A table of this study and of those that it is compared with."""
        others = [Paths.of_study(name).table(table) for name in self.plan.study.compare_with]
        return [self.paths.table(table), *others]

    def require_compared(self) -> None:
        """Refuse to compare with a study that was not run.

        Not left to Snakemake, which considers an existing report finished even if one of its inputs
        is missing.

        Raises:
            HeirloomError: A table of another study is missing.
        """
        for name in self.plan.study.compare_with:
            for table in ("changes", "settings"):
                file = Paths.of_study(name).table(table)
                if not Path(file).exists():
                    raise HeirloomError(
                        f"compare_with: the study {name} has no {file}. Run it first, in this "
                        "folder: snakemake --cores all --configfile ITS-STUDY-FILE"
                    )

    @property
    def exports(self) -> Exports:
        """Students that are written as whole models."""
        return Exports(self.plan, self.paths)

    def student_prompts(self, student: str) -> str:
        """Eval prompts of the set that a student is trained on."""
        dataset = self.plan.datasets[self.plan.models[student].trained_on]
        return self.paths.prompts(dataset.prompts, "eval")

    def base_on_hub(self, student: str) -> Record:
        """Base of a student: its name and, if it is on the hub, repository and revision.

        A base that is itself an adapter is on no hub as the whole that the student needs.
        """
        name = self.plan.models[student].artefact
        model = self.plan.study.models[name]
        sources = [] if model.base else model.sources
        found = [s.model_dump(mode="json") for s in sources if isinstance(s, HubSource)]
        return {"name": name, **(found[0] if found else {})}

    def published(self, kind: Kind) -> list[str]:
        """Records that a push leaves.

        Raises:
            HeirloomError: The study publishes nothing.
        """
        publish = self.plan.study.publish
        if publish is None:
            raise HeirloomError(
                "there is nothing to push: the study file has no section `publish`. "
                "config/README.md explains it."
            )
        chosen = getattr(publish, kind)
        names = getattr(self.plan, kind) if chosen is None else chosen
        return [self.paths.published(kind, name) for name in names]


def modules(*names: str) -> list[str]:
    """Files of these modules of heirloom and of all that they import, as inputs of a rule."""
    return [*_modules(names, Path.cwd())]


@cache
def _modules(names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """`modules` relative to a folder. Thousands of jobs ask for the same ones."""
    found = modules_of(*(f"heirloom.{name}" for name in names))
    return tuple(os.path.relpath(file, folder) for file in found)


def component_files(registry: Registry[Any], names: Iterable[str]) -> list[str]:
    """Files that define registered components; for heirloom's own, with their imports."""
    return sorted({file for name in names for file in _files_of(registry.source(name), Path.cwd())})


@cache
def _files_of(source: Path, folder: Path) -> tuple[str, ...]:
    home = Path(heirloom.__file__).resolve().parent
    if not source.is_relative_to(home):
        return (os.path.relpath(source, folder),)
    return _modules(
        (source.relative_to(home).with_suffix("").as_posix().replace("/", "."),), folder
    )


def run_command(study_files: Sequence[str | Path], shown: Callable[[str | Path], str]) -> str:
    """Command that runs the study again; `shown` says how the path of a study file is written."""
    files = ["--configfile", *map(shown, study_files)] if study_files else []
    return " ".join(["snakemake --cores all", *files])


def inner_path(file: str | Path) -> str:
    """A path relative to here; outside of here only its name, because folders may name a user."""
    path = Path(os.path.relpath(file))
    return path.name if ".." in path.parts else str(path)


def shards_there(paths: Paths, stage: str) -> int:
    """Number of shards that made the existing files; 1 if there are none.

    A run that states no number of shards (for example to look at the report without the cluster's
    profile) must keep the number that the existing files were made with.
    """
    made = Path(paths.root).glob(paths.shard_patterns(stage))
    newest = max(made, key=lambda file: file.stat().st_mtime, default=None)
    return int(newest.stem.rpartition("-of-")[2]) if newest else 1
