"""A model to profile, and a benchmark to run on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heirloom.generate.model import Weights
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
