"""Redraw: a second draw for a set that no score decides, to see what the draw alone changes."""

from typing import Any

from heirloom.select.pool import Choice, Pool
from heirloom.select.strategies import strategy
from heirloom.select.strategies.random import random


def _reason(pool: str, criteria: Any) -> str:
    return f"drawn at random from {pool}, but for that of the first draw"


@strategy(
    "redraw",
    label="second random draw",
    summary="One candidate of the pool at random, other than that of the first draw.",
    tag="random-control",
    reason=_reason,
)
def redraw(pool: Pool, criteria: None, *, seed: int) -> list[Choice]:
    """Choose at random; the pool offers what the first draw left.

    The candidates of a prompt are exchangeable and the first draw does not look at them, so the
    smallest hash among the others is a draw that does not depend on the first.
    """
    return random(pool, criteria, seed=seed)
