"""The study file: one typed source for its keys, bounds and descriptions.

`config/schema.json` and the tables in `config/README.md` are generated from these classes.
"""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from heirloom.finetune.settings import Finetune
from heirloom.generate.settings import Generate, Model
from heirloom.objectives.settings import Metric
from heirloom.profiling import BENCHMARKS, Options
from heirloom.profiling.judge import JudgeOptions
from heirloom.profiling.options import needs
from heirloom.profiling.settings import CompareAnswers, Data, benchmarks_section
from heirloom.prompts.settings import Prompts
from heirloom.select.settings import Ablation, Objective
from heirloom.study.settings import PublishedNumber
from heirloom.support.settings import Name, Names, Section, distinct

ExportForm = Literal["merged", "gguf"]


class Publish(Section):
    """Destination of `snakemake push` on the Hugging Face hub."""

    namespace: str = Field(
        ...,
        pattern=r"^\w([\w.-]*\w)?$",
        description="User or organisation that will own the repositories.",
    )
    private: bool = Field(True, description="Create private repositories.")
    datasets: list[str] | None = Field(
        None, description="Training sets to push, by name. Default: all."
    )
    students: list[str] | None = Field(None, description="Students to push, by name. Default: all.")


class Export(Section):
    """Students as whole models, next to their adapters."""

    merged: bool = Field(
        True,
        description="Write safetensors with the adapter merged in, in the number format that the "
        "base is stored in.",
    )
    gguf: Literal["f32", "f16", "bf16", "q8_0"] | None = Field(
        None,
        description="Write a GGUF file in this number format, by llama.cpp's converter. Default: "
        "none.",
    )
    students: list[str] | None = Field(None, description="Students to export. Default: all.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.merged and self.gguf is None:
            raise ValueError("there is nothing to export: set merged, gguf or both")
        return self

    @property
    def forms(self) -> list[ExportForm]:
        """The forms that each student is written in."""
        merged: list[ExportForm] = ["merged"] if self.merged else []
        return [*merged, "gguf"] if self.gguf else merged


class Study(Section):
    """A study: everything from raw prompts to the report."""

    study: Name = Field(
        ..., description="Name of the study. Results are written to `results/{study}/`."
    )
    title: str = Field(..., description="Title of the report, one line.")
    seed: int = Field(
        ...,
        ge=0,
        description="Seed of all random choices except those of finetuning (`finetune.seeds`).",
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="Number format of models. `auto`: bfloat16 where it is faster than float32, "
        "otherwise float32.",
    )
    models: dict[Name, Model] = Field(..., min_length=1, description="All models, by name.")
    teachers: Names = Field(
        ..., description="Models that generate candidates; may be empty (`[]`)."
    )
    bases: Names = Field(
        ...,
        description="Models to finetune; may be empty (`[]`). A model that is neither teacher nor "
        "base is only profiled.",
    )
    pools: dict[Name, Annotated[Names, Field(min_length=1)]] = Field(
        {},
        description="Multi-source pools: name to the teachers whose candidates compete. A single "
        "teacher (single-source) needs no entry; see `single_source`.",
    )
    single_source: Literal["own", "all"] = Field(
        "own",
        description="Bases that are trained on the best candidates of a single teacher. `own`: of "
        "a teacher that is a base, that base alone. `all`: every base, of every teacher.",
    )
    prompts: dict[Name, Prompts] = Field({}, description="Prompt sets, by name.")
    training_prompts: Name | None = Field(
        None, description="Prompt set for training sets. Required if there are teachers."
    )
    data: dict[Name, Data] = Field({}, description="Data sets of benchmarks and scorers, by name.")
    metrics: dict[Name, Metric] = Field(
        {},
        description="Metrics that score candidates and the answers of `profiling.text`, by name.",
    )
    objectives: dict[Name, Objective] = Field(
        {}, description="Objectives that training sets are selected for, by name."
    )
    ablation: Ablation | None = Field(
        None,
        description="Additional training sets from fewer candidates, to show the effect of their "
        "number (figure 5).",
    )
    noise_floor: bool = Field(
        False,
        description="Draw every passive and every random training set a second time, and train a "
        "student on it: two draws of one kind show what the draw of candidates alone changes.",
    )
    # Not validated here: that would ask for the registered back ends, and so import plugins, which
    # import this module.
    generate: Generate = Field(
        Generate.model_construct(), description="Sampling of candidates, and the back end."
    )
    finetune: Finetune = Field(Finetune(), description="Training of students.")
    profiling: Section = Field(..., description="Benchmarks to run on every model, by name.")
    compare_answers: CompareAnswers | None = Field(
        None,
        description="Let models judge the answers of each student against those of its control "
        "and of its base: the quality price of steering. Default: nothing is compared.",
    )
    plugins: Annotated[list[str], AfterValidator(distinct)] = Field(
        [],
        description="Python modules of your own that register objectives, benchmarks, back ends, "
        "strategies, methods, tables or figures.",
    )
    compare_with: Names = Field(
        [],
        description="Other studies, already run in the same folder, to compare this one with in "
        "its report.",
    )
    references: list[PublishedNumber] = Field(
        [],
        description="Published numbers, to stand next to this study's in its report. They change "
        "no result.",
    )
    publish: Publish | None = Field(
        None,
        description="Upload to the Hugging Face hub by `snakemake push`. Default: nothing is "
        "uploaded.",
    )

    export: Export | None = Field(
        None,
        description="Write students as whole models, merged or as GGUF. They change no result. "
        "Default: their adapters alone.",
    )

    @property
    def benchmarks(self) -> dict[str, Options]:
        """Options of the benchmarks that profile every model, by name."""
        return {name: options for name, options in self.profiling if options is not None}

    def scored_with(self, benchmark: str) -> list[str]:
        """Metrics whose scorers a benchmark gets, in its order."""
        named = needs(self.benchmarks[benchmark]).metrics
        return BENCHMARKS.get(benchmark).scored_with(named, list(self.metrics))

    @property
    def judge(self) -> JudgeOptions | None:
        """Options of the judge benchmark if judges are shown completions of teachers."""
        options = self.benchmarks.get("judge")
        return options if isinstance(options, JudgeOptions) and options.pool else None

    @property
    def judges(self) -> list[str]:
        """Models that compare the answers of students; none unless the study names some."""
        return list(self.compare_answers.judges) if self.compare_answers else []

    @property
    def judged_teachers(self) -> list[str]:
        """Teachers of the judged pool: of a pool by that name, or the one of that name."""
        if self.judge is None or self.judge.pool is None:
            return []
        return self.pools.get(self.judge.pool, [self.judge.pool])


def study_type() -> type[Study]:
    """`Study` with a section for every benchmark that is registered now, plugins' included."""
    return _study_type(tuple(BENCHMARKS.names()))


@cache
def _study_type(benchmarks: tuple[str, ...]) -> type[Study]:
    """One class per set of benchmarks, so that studies read apart can be equal."""
    section = benchmarks_section()
    field = Study.model_fields["profiling"]
    return create_model(
        "Study",
        __base__=Study,
        __doc__=Study.__doc__,
        profiling=(section, Field(..., description=field.description)),
    )
