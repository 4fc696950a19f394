"""Options of benchmarks, and the names in them that the rest of the study file defines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from heirloom.support.errors import HeirloomError
from heirloom.support.named_options import Kind, NameOf, Reference, kinds_of, names_in
from heirloom.support.settings import Section

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


def references(options: type[Options], values: Mapping[str, Any]) -> Iterator[Reference]:
    """Return every name in a benchmark's section that must be defined elsewhere in the study file.

    Args:
        options: Class of the section.
        values: The section as parsed from YAML, not yet validated: a value of a wrong type is
            passed over, so that a check can report names along with other errors.
    """
    return names_in(_kinds(options), values)


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
    fields = options.model_fields.items()
    return kinds_of({key: (field.annotation, *field.metadata) for key, field in fields})


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
