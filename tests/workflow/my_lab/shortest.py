"""A selection strategy: the shortest candidate."""

from heirloom.select.pool import Choice, Pool
from heirloom.select.settings import Criteria
from heirloom.select.strategies import strategy


@strategy("shortest", label="shortest", summary="The shortest candidate.", needs_objective=True)
def shortest(pool: Pool, criteria: Criteria, *, seed: int) -> list[Choice]:
    """Choose the candidate with fewest characters; of several, one by hash."""
    groups = [group.candidates for group in pool.groups if group.candidates]
    return [
        Choice(min(group, key=lambda c: (len(c.completion), c.draw(f"{seed}")))) for group in groups
    ]
