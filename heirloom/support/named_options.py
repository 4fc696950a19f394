"""Options whose values name an entry of the study file, marked in their type annotations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["data", "prompts", "metric", "pool"]


@dataclass(frozen=True)
class NameOf:
    """Marks an option whose value names an entry of the study file.

    Attributes:
        kind: `"data"`, an entry of `data`; `"prompts"`, one of `prompts`; `"metric"`, one of
            `metrics`; `"pool"`, one of `pools` or a teacher.
    """

    kind: Kind


@dataclass(frozen=True)
class Reference:
    """A name in a section that must be defined elsewhere in the study file.

    Attributes:
        kind: Kind of the thing named.
        path: Key path in the section, such as `data[1]`.
        name: The name.
    """

    kind: Kind
    path: str
    name: str


def kinds_of(annotations: Mapping[str, Any]) -> dict[str, Kind]:
    """Return the kind of thing that each option names, for those that name something.

    Args:
        annotations: Option to its type annotation; the marker may stand anywhere inside it.
    """
    marked = {option: _marker(annotation) for option, annotation in annotations.items()}
    return {option: marker.kind for option, marker in marked.items() if marker is not None}


def names_in(kinds: Mapping[str, Kind], values: Mapping[str, Any]) -> Iterator[Reference]:
    """Yield every name in a section that must be defined elsewhere in the study file.

    Args:
        kinds: See `kinds_of`.
        values: The section as parsed from YAML, not yet validated: a value of a wrong type is
            passed over, so that a check can report names along with other errors.
    """
    for option, kind in kinds.items():
        for path, name in _texts(option, values.get(option)):
            yield Reference(kind, path, name)


def _marker(annotation: Any) -> NameOf | None:
    """First marker in an annotation and its arguments."""
    if isinstance(annotation, NameOf):
        return annotation
    inner = annotation if isinstance(annotation, tuple) else get_args(annotation)
    return next((found for found in map(_marker, inner) if found is not None), None)


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Key path and value of every text in a value, in lists and mappings too."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(f"{path}[{index}]", item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(f"{path}.{name}", item)
