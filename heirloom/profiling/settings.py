"""Sections of the study file about benchmarks and their data."""

from pydantic import Field, create_model

from heirloom.fetch.settings import Artefact
from heirloom.profiling import BENCHMARKS
from heirloom.support.settings import Section


class Data(Artefact):
    """Data of a benchmark or scorer: a file or a folder, in its authors' own format."""


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
