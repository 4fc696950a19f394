"""Split prompts into train and eval, which never share a prompt."""

import hashlib
import logging
from collections.abc import Iterable

from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

logger = logging.getLogger(__name__)


def split_prompts(
    prompts: Iterable[Record], *, train: int, eval: int, seed: int, name: str
) -> tuple[list[Record], list[Record]]:
    """Draw disjoint train and eval prompts.

    The order is that of SHA-256 of "seed/id". Eval prompts come from its start and train prompts
    from its end, so that a larger split leaves the other as it is.

    Raises:
        HeirloomError: there are fewer prompts than asked for.
    """
    ordered = sorted(
        prompts, key=lambda p: hashlib.sha256(f"{seed}/{p['id']}".encode()).hexdigest()
    )
    if len(ordered) < train + eval:
        raise HeirloomError(
            f"prompts.{name} asks for {train} train and {eval} eval prompts, but its source has "
            f"{len(ordered)} distinct ones. Lower `train` or `eval`, or add prompts."
        )
    return ordered[::-1][:train], ordered[:eval]
