"""Random: the control of what is selected for an objective."""

from typing import Any

from heirloom.select.pool import Choice, Pool
from heirloom.select.strategies import strategy


def _reason(pool: str, criteria: Any) -> str:
    return f"drawn at random from {pool}"


@strategy(
    "random",
    label="random control",
    summary="One candidate of the pool at random.",
    from_one_teacher="passive",
    tag="random-control",
    reason=_reason,
)
def random(pool: Pool, criteria: None, *, seed: int) -> list[Choice]:
    """Choose the usable candidate with the smallest SHA-256 of its name.

    The name is "seed/random/prompt_id/teacher/sample". The draw of a prompt depends neither on the
    order of candidates nor on other prompts, and draws are nested: from more candidates either the
    same one is drawn or one of the new.
    """
    prefix = f"{seed}/random"
    groups = [group.candidates for group in pool.groups if group.candidates]
    return [Choice(min(group, key=lambda candidate: candidate.draw(prefix))) for group in groups]
