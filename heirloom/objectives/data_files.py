"""Data sets that the options of a scorer name, fetched before it runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heirloom.fetch.notes import locate
from heirloom.objectives import load
from heirloom.support.named_options import names_in


def data_named(function: str, options: Mapping[str, Any]) -> list[str]:
    """Return the data sets that a scorer's options name, each once.

    Args:
        function: As for `heirloom.objectives.load`.
        options: Options of the scorer, as in the study file.
    """
    found = names_in(load(function).named, options)
    return list(dict.fromkeys(reference.name for reference in found))


def with_paths(
    function: str, options: Mapping[str, Any], notes: Mapping[str, str | Path]
) -> dict[str, Any]:
    """Return a scorer's options with paths in place of the names of data sets.

    Args:
        function: As for `heirloom.objectives.load`.
        options: Options of the scorer, as in the study file.
        notes: Data set to the fetch stage's note on it.

    Raises:
        HeirloomError: A file is not there any more.
    """
    paths = {name: locate(notes[name]) for name in data_named(function, options)}
    named = load(function).named
    return {
        key: _located(value, paths) if key in named else value for key, value in options.items()
    }


def _located(value: Any, paths: Mapping[str, Path]) -> Any:
    """A value with paths for names, in lists and mappings too."""
    if isinstance(value, str):
        return paths[value]
    if isinstance(value, dict):
        return {key: _located(item, paths) for key, item in value.items()}
    return [_located(item, paths) for item in value] if isinstance(value, list | tuple) else value
