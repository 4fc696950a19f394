"""Options of benchmarks, and the names in them that the rest of the study file defines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from heirloom.support.errors import HeirloomError
from heirloom.support.settings import Section

Kind = Literal["data", "prompts", "metric", "pool"]


@dataclass(frozen=True)
class NameOf:
    """Marks an option whose value names an entry of the study file.

    Attributes:
        kind: `"data"`, an entry of `data`; `"prompts"`, one of `prompts`; `"metric"`, one of
            `metrics`; `"pool"`, one of `pools` or a teacher.
    """

    kind: Kind


DataName = Annotated[str, NameOf("data")]
"""The type of an option that names a data set; also in a list or as the values of a mapping."""
PromptsName = Annotated[str, NameOf("prompts")]
"""The type of an option that names the prompt set whose eval prompts the benchmark gets."""
MetricName = Annotated[str, NameOf("metric")]
"""The type of an option that names a metric whose scorer the benchmark gets; also in a list."""
PoolName = Annotated[str, NameOf("pool")]
"""The type of an option that names the pool whose teachers' paired answers the benchmark gets."""


class Options(Section):
    """Base of a benchmark's section in the study file."""

    @property
    def generates(self) -> bool:
        """True if the benchmark needs completions of the model and nothing else."""
        return False


@dataclass(frozen=True)
class Reference:
    """A name in a benchmark's section that must be defined elsewhere in the study file.

    Attributes:
        kind: Kind of the thing named.
        path: Key path in the section, such as `data[1]`.
        name: The name.
    """

    kind: Kind
    path: str
    name: str


def references(options: type[Options], values: Mapping[str, Any]) -> Iterator[Reference]:
    """Yield every name in a benchmark's section that must be defined elsewhere in the study file.

    Args:
        options: Class of the section.
        values: The section as parsed from YAML, not yet validated: a value of a wrong type is
            passed over, so that a check can report names along with other errors.
    """
    for key, kind in _kinds(options).items():
        for path, name in _texts(key, values.get(key)):
            yield Reference(kind, path, name)


def check_references(options: type[Options]) -> None:
    """Refuse options that name two prompt sets or two pools: a benchmark gets one of each.

    Raises:
        HeirloomError: Two options name prompts, or two a pool.
    """
    kinds = _kinds(options)
    for kind in ("prompts", "pool"):
        keys = [key for key, own in kinds.items() if own == kind]
        if len(keys) > 1:
            raise HeirloomError(
                f"{options.__name__}: the options {' and '.join(keys)} are both {kind} names, but "
                "a benchmark gets one. Keep one of them."
            )


def _kinds(options: type[Options]) -> dict[str, Kind]:
    """Option to the kind of thing that it names, for those that name something."""
    marked = {
        key: _marker((field.annotation, *field.metadata))
        for key, field in options.model_fields.items()
    }
    return {key: marker.kind for key, marker in marked.items() if marker is not None}


def _marker(annotations: tuple[Any, ...]) -> NameOf | None:
    """First marker in annotations and in their arguments."""
    for annotation in annotations:
        if isinstance(annotation, NameOf):
            return annotation
        inner = _marker(get_args(annotation))
        if inner is not None:
            return inner
    return None


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


@dataclass(frozen=True)
class Needs:
    """The parts of a study that a benchmark needs.

    Attributes:
        prompts: The prompt set whose eval prompts it gets, if any.
        metrics: Metrics whose scorers it gets, each once, in the order of the options.
        pool: The pool, or teacher, whose paired answers it gets, if any.
        data: Data sets, each once, in the order in which the options name them.
    """

    prompts: str | None = None
    metrics: tuple[str, ...] = ()
    pool: str | None = None
    data: tuple[str, ...] = ()


def needs(options: Options) -> Needs:
    """Return what a benchmark with these options needs of the study."""
    found = list(references(type(options), options.model_dump()))

    def named(kind: Kind) -> str | None:
        return next((reference.name for reference in found if reference.kind == kind), None)

    def all_named(kind: Kind) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.name for r in found if r.kind == kind))

    return Needs(named("prompts"), all_named("metric"), named("pool"), all_named("data"))
