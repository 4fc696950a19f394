"""Selection strategies: ways to choose at most one candidate per prompt, found by name.

A new one is one file in this folder, or in a plugin of the study:

    from heirloom.select.pool import Choice, Pool
    from heirloom.select.settings import Criteria
    from heirloom.select.strategies import strategy

    @strategy("shortest", label="shortest", summary="The shortest candidate.", needs_objective=True)
    def shortest(pool: Pool, criteria: Criteria, *, seed: int) -> list[Choice]:
        groups = [group.candidates for group in pool.groups if group.candidates]
        return [Choice(min(group, key=lambda c: (len(c.completion), c.draw(f"{seed}"))))
                for group in groups]

A strategy sees only candidates that may be chosen (see `heirloom.select.pool.Group`), in an order
that does not depend on the order of the files. Whatever is random in it must follow from `seed` and
the candidates' names alone, as `Candidate.draw` does, so that the choice for a prompt depends on no
other prompt. An objective names it by its key `strategy`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from heirloom.select.pool import Choice
from heirloom.support.registry import Registry

SelectFunction = Callable[..., list[Choice]]
"""`function(pool, criteria, *, seed)`: at most one choice per prompt."""


def _chosen(pool: str, criteria: Any) -> str:
    return f"chosen from {pool}"


@dataclass(frozen=True)
class Strategy:
    """A way to choose candidates, and what is said about it.

    Attributes:
        name: Name in study files, in the plan and in the cards of training sets.
        select: The function.
        label: Training sets that are chosen so, for readers, such as "best for an objective".
        summary: One line about the choice.
        needs_objective: It chooses for an objective; else it takes no criteria.
        control: Name of the strategy that chooses the control of its sets, from the same pool; ""
            where it needs no objective.
        from_one_teacher: Name of the strategy that is as good as this one where a pool has one
            teacher, so that no second such set is made; "" without one.
        tag: Tag of such training sets and their students on the Hugging Face hub.
        reason: `reason(pool, criteria)` tells why a candidate was chosen from `pool`, a text such
            as "5 candidates".
    """

    name: str
    select: SelectFunction
    label: str
    summary: str
    needs_objective: bool = False
    control: str = ""
    from_one_teacher: str = ""
    tag: str = "synthetic"
    reason: Callable[[str, Any], str] = _chosen


class Facts(TypedDict, total=False):
    """Optional facts about a strategy: the attributes of `Strategy` by the same names."""

    needs_objective: bool
    control: str
    from_one_teacher: str
    tag: str
    reason: Callable[[str, Any], str]


STRATEGIES = Registry[Strategy]("selection strategy", "heirloom.select.strategies")


def strategy(
    name: str, *, label: str, summary: str, **facts: Unpack[Facts]
) -> Callable[[SelectFunction], SelectFunction]:
    """Register the decorated function as the selection strategy `name`.

    Args:
        name: Name in study files.
        label: Name of such training sets for readers.
        summary: One line about the choice.
        facts: See `Strategy`. The control of a strategy that needs an objective is "random" unless
            it says otherwise.

    Raises:
        HeirloomError: Another file has registered this name.
    """

    def register(function: SelectFunction) -> SelectFunction:
        if facts.get("needs_objective") and not facts.get("control"):
            facts["control"] = "random"
        STRATEGIES.register(
            name, Strategy(name, function, label, summary, **facts), source=function
        )
        return function

    return register


def serves_objectives(strategy: Strategy) -> bool:
    """True if an objective can name the strategy."""
    return strategy.needs_objective


def control_of(name: str, *, one_teacher: bool) -> str:
    """Name of the strategy that chooses the control of the sets that strategy `name` chooses.

    Args:
        name: The strategy of the steered set.
        one_teacher: True if its pool has one teacher.
    """
    control = STRATEGIES.get(name).control
    if control and one_teacher:
        return STRATEGIES.get(control).from_one_teacher or control
    return control
