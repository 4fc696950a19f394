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


def benchmarks_section() -> type[Section]:
    """Section with the options of every benchmark that is registered now."""
    return create_model(
        "Profiling",
        __base__=Section,
        __doc__="Benchmarks that profile every model. One that is left out does not run.",
        **{
            benchmark.name: (benchmark.options | None, Field(None, description=benchmark.summary))
            for benchmark in profiling.registered()
        },  # type: ignore[call-overload]
    )
