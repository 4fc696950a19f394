"""The study file: one typed source for its keys, bounds and descriptions.

`config/schema.json` and the tables in `config/README.md` are generated from these classes.
"""

from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, create_model

from heirloom.finetune.settings import Finetune
from heirloom.generate.settings import Generate, Model
from heirloom.objectives.settings import Metric
from heirloom.profiling import BENCHMARKS, Options
from heirloom.profiling.judge import JudgeOptions
from heirloom.profiling.settings import Data, benchmarks_section
from heirloom.prompts.settings import Prompts
from heirloom.select.settings import Ablation, Objective
from heirloom.support.settings import Name, Names, Section, distinct


class Publish(Section):
    """Where `snakemake push` uploads training sets and students on the Hugging Face hub."""

    namespace: str = Field(
        ..., pattern=r"^\w([\w.-]*\w)?$", description="User or organisation that will own it."
    )
    private: bool = Field(True, description="Only the owner sees it.")
    datasets: list[str] | None = Field(
        None, description="Training sets to push, by name. Default: all."
    )
    students: list[str] | None = Field(None, description="Students to push, by name. Default: all.")


class Study(Section):
    """One study: everything between raw prompts and the report."""

    study: Name = Field(..., description="Names the results: `results/{study}/`.")
    title: str = Field(..., description="Title of the report, one line.")
    seed: int = Field(
        ..., ge=0, description="Seed of every random choice except those of finetuning."
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="Number format of models. `auto`: bfloat16 where it is faster than float32, "
        "else float32.",
    )
    models: dict[Name, Model] = Field(..., min_length=1, description="Every model, by name.")
    teachers: Names = Field(..., description="Models that generate candidates; `[]`: none.")
    bases: Names = Field(
        ...,
        description="Models that become students; `[]`: none. Models that are neither teacher nor "
        "base are profiled only.",
    )
    pools: dict[Name, Annotated[Names, Field(min_length=1)]] = Field(
        {}, description="Multi-source pools: teachers whose candidates compete. A teacher alone "
        "(single-source) needs no entry."
    )  # fmt: skip
    prompts: dict[Name, Prompts] = Field({}, description="Prompt sets, by name.")
    training_prompts: Name | None = Field(
        None, description="Prompt set that training sets are made from."
    )
    data: dict[Name, Data] = Field({}, description="Data sets of benchmarks, by name.")
    metrics: dict[Name, Metric] = Field({}, description="Metrics, by name.")
    objectives: dict[Name, Objective] = Field(
        {}, description="Objectives to select training sets for, by name."
    )
    ablation: Ablation | None = Field(
        None,
        description="Training sets from fewer candidates, to show how their number matters "
        "(figure 5).",
    )
    # Not checked here: that would ask for the registered back ends, and so import plugins, which
    # import this module.
    generate: Generate = Field(
        Generate.model_construct(), description="Settings for generating candidates."
    )
    finetune: Finetune = Field(Finetune(), description="Settings for training students.")
    profiling: Section = Field(..., description="Benchmarks that profile every model, by name.")
    plugins: Annotated[list[str], AfterValidator(distinct)] = Field(
        [],
        description="Python modules of your own that bring objectives, benchmarks, strategies, "
        "back ends, figures or tables. Each is imported, with every module in it, before this file "
        "is checked.",
    )
    compare_with: Names = Field(
        [],
        description="Other studies, run before in the same folder, to compare this one with.",
    )
    publish: Publish | None = Field(
        None,
        description="Upload by `snakemake push` to the Hugging Face hub. Default: nothing.",
    )

    @property
    def benchmarks(self) -> dict[str, Options]:
        """Options of the benchmarks that profile every model, by name."""
        return {name: options for name, options in self.profiling if options is not None}

    @property
    def judge(self) -> JudgeOptions | None:
        """Options of the judge benchmark if judges are shown completions of teachers."""
        options = self.benchmarks.get("judge")
        return options if isinstance(options, JudgeOptions) and options.pool else None

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
