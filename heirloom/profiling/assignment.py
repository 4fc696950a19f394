"""A model to profile, and a benchmark to run on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heirloom.generate.completions import open_model
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import Engine, LanguageModel, Weights
from heirloom.generate.templates import PromptTemplate
from heirloom.objectives.data_files import data_named
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.options import needs
from heirloom.prompts.settings import Format


@dataclass(frozen=True)
class Subject:
    """A model to profile.

    Attributes:
        name: Its name in the study.
        note: The fetch stage's note on the model, or on a student's base.
        adapter: Files of a student's adapter, in one folder; none for any other model.
        template: Fields of the prompt template.
        dtype: See `heirloom.generate.model.load_model`, as for the next two.
        backend: Name of the generation back end.
        weights: Weights to generate with.
    """

    name: str
    note: str | Path
    adapter: Sequence[str | Path]
    template: Mapping[str, Any]
    dtype: str
    backend: str
    weights: Weights


def open_subject(subject: Subject) -> LanguageModel | RemoteModel:
    """Load a model to profile, or open its endpoint.

    Raises:
        HeirloomError: A file is missing or damaged, or the back end cannot run here.
    """
    return open_model(
        subject.note,
        name=subject.name,
        prompt_template=PromptTemplate(**subject.template),
        adapter=Path(subject.adapter[0]).parent if subject.adapter else None,
        dtype=subject.dtype,
        engine=Engine(subject.backend, subject.weights),
    )


@dataclass(frozen=True)
class Assignment:
    """A benchmark to run, and its inputs from the study.

    Attributes:
        name: The benchmark.
        options: Its options as JSON.
        prompts: File of the eval prompts that they name.
        format: Format of those prompts.
        scorer: The metric that they name, the first of several: {function, options}.
        pairs: File of the pairs by the pool's teachers that they name.
        language: Language tag of the eval prompts.
        scorers: Every metric whose scorer it gets, by name and in order: {function, options}.
    """

    name: str
    options: Mapping[str, Any]
    prompts: str | None
    format: Format | None
    scorer: Mapping[str, Any] | None
    pairs: str | None
    language: str = "en"
    scorers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def inputs(self) -> list[str]:
        """Files of the study that it reads."""
        return [file for file in (self.prompts, self.pairs) if file]

    @property
    def own_data(self) -> tuple[str, ...]:
        """Data sets that its options name, each once."""
        return needs(BENCHMARKS.get(self.name).options.model_validate(self.options)).data

    @property
    def data(self) -> list[str]:
        """Data sets that its options and its scorers name, each once."""
        scorers = [scorer for scorer in (self.scorer, *self.scorers.values()) if scorer]
        named = [name for s in scorers for name in data_named(s["function"], s["options"])]
        return list(dict.fromkeys([*self.own_data, *named]))
