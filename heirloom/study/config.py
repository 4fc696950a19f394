"""The study file: one typed source for its keys, bounds and descriptions.

`config/schema.json` and the tables in `config/README.md` are generated from these classes.
"""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from heirloom.finetune.settings import Finetune
from heirloom.generate.settings import Generation, Model
from heirloom.objectives.settings import Metric
from heirloom.profiling.settings import Benchmarks, Data
from heirloom.prompts.settings import Prompts
from heirloom.select.settings import Ablation, Objective
from heirloom.support.settings import Name, Names, Section


class Publish(Section):
    """What `snakemake push` puts on the Hugging Face hub, and where."""

    namespace: str = Field(
        ..., pattern=r"^\w([\w.-]*\w)?$", description="User or organisation that will own it."
    )
    private: bool = Field(True, description="Whether only the owner sees it.")
    datasets: list[str] | None = Field(
        None, description="Training sets to push, by name; left out: all."
    )
    students: list[str] | None = Field(None, description="Students, likewise.")


class Study(Section):
    """One study: everything between raw prompts and the report."""

    study: Name = Field(..., description="Names the results: `results/{study}/`.")
    title: str = Field(..., description="One line, the title of the report.")
    seed: int = Field(..., ge=0, description="Decides every random choice except finetuning's.")
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="`auto`: bfloat16 where it is faster than float32, else that."
    )
    models: dict[Name, Model] = Field(..., min_length=1, description="Every model, by name.")
    teachers: Names = Field(..., description="Models that write candidates; `[]`: none.")
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
        None, description="The prompt set that training sets come from."
    )
    data: dict[Name, Data] = Field({}, description="What benchmarks are run on, by name.")
    metrics: dict[Name, Metric] = Field({}, description="Metrics, by name.")
    objectives: dict[Name, Objective] = Field({}, description="What to steer students towards.")
    ablation: Ablation | None = Field(
        None, description="How much the number of candidates matters (figure 5)."
    )
    generation: Generation = Field(Generation(), description="How teachers write candidates.")
    finetuning: Finetune = Field(Finetune(), description="How students are trained.")
    benchmarks: Benchmarks = Field(..., description="How models are profiled.")  # type: ignore[valid-type]
    compare_with: Names = Field(
        [],
        description="Other studies, run before in the same folder, to put beside this one.",
    )
    publish: Publish | None = Field(
        None, description="What `snakemake push` puts on the Hugging Face hub; left out: nothing."
    )
