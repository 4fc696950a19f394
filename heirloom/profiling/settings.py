"""Sections of the study file about benchmarks and their data."""

from typing import Annotated

from pydantic import Field, create_model

from heirloom.fetch.settings import Artefact
from heirloom.profiling import BENCHMARKS
from heirloom.support.settings import Names, Section


class Data(Artefact):
    """Data of a benchmark or scorer: a file or a folder, in its authors' own format."""


class CompareAnswers(Section):
    """Judges compare each student's answers with those of its control and of its base."""

    judges: Annotated[Names, Field(min_length=1)] = Field(
        ...,
        description="Models that judge, by the likelihood of the letters A and B. Teachers among "
        "them also judge the students of each other, for the preference leakage score.",
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Number of eval prompts whose answers are compared, drawn by seed. Default: "
        "all that `profiling.text` answers.",
    )


def benchmarks_section() -> type[Section]:
    """Return the section of the study file that has one key per registered benchmark.

    Each call makes a new one, because plugins may have registered more since the last.
    """
    fields = {
        benchmark.name: (benchmark.options | None, Field(None, description=benchmark.summary))
        for benchmark in BENCHMARKS
    }
    return create_model(  # type: ignore[call-overload, no-any-return]
        "Profiling",
        __base__=Section,
        __doc__="Benchmarks to run on every model. One that is left out does not run.",
        **fields,
    )
