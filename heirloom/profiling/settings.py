"""Sections of the study file about benchmarks and their data."""

from pydantic import (
    Field,
    create_model,
)

from heirloom import profiling
from heirloom.fetch.settings import Artefact
from heirloom.support.settings import Section


class Data(Artefact):
    """A benchmark's data: a file, or a folder of them, in the format its authors publish."""


Benchmarks: type[Section] = create_model(
    "Benchmarks",
    __base__=Section,
    __doc__="Which benchmarks profile every model. One that is left out does not run.",
    **{
        benchmark.name: (benchmark.options | None, Field(None, description=benchmark.summary))
        for benchmark in profiling.registered()
    },  # type: ignore[call-overload]
)
