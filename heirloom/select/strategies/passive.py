"""Passive: nothing is selected."""

from typing import Any

from heirloom.select.pool import Choice, Pool
from heirloom.select.strategies import strategy
from heirloom.support.errors import HeirloomError


def _reason(pool: str, criteria: Any) -> str:
    return f"the first of {pool} that may be selected"


@strategy(
    "passive",
    label="passive",
    summary="The first completion of one teacher that may be selected.",
    tag="passive-inheritance",
    reason=_reason,
)
def passive(pool: Pool, criteria: None, *, seed: int) -> list[Choice]:
    """Choose the usable candidate with the lowest sample number, of a pool of one teacher.

    Raises:
        HeirloomError: The pool has several teachers.
    """
    if len(pool.teachers) > 1:
        raise HeirloomError(
            f"A passive training set has one teacher, but its pool has {', '.join(pool.teachers)}."
        )
    groups = [group.candidates for group in pool.groups if group.candidates]
    return [Choice(min(group, key=lambda candidate: candidate.sample)) for group in groups]
