"""Texts of a benchmark's items, to be looked for in training sets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heirloom.support.files import Record


@dataclass(frozen=True)
class ItemSources:
    """Places that a benchmark's items are read from.

    Attributes:
        prompts: The eval prompts of the set that its options name: {id, text}.
        data: Data set to its file or folder, for those that its options name.
        pairs: Pairs of answers by the study's own teachers, if its options name a pool.
    """

    prompts: Sequence[Record] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    pairs: Path | None = None


Items = Callable[[ItemSources, Any], Mapping[str, Sequence[str]]]
"""`items(sources, options)`: id of a record to the texts of its example; examples that the options
do not draw may be among them."""


def prompts_as_items(sources: ItemSources, options: Any) -> dict[str, list[str]]:
    """The eval prompts, for benchmarks whose records have their ids."""
    return {prompt["id"]: [prompt["text"]] for prompt in sources.prompts}


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from texts_in(inner)
