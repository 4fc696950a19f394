"""Leave out prompts that nearly repeat another one.

Two prompts are as similar as the share of their shingles (runs of 5 characters, without case and
with single spaces) that they have in common: the resemblance of Broder, 1997 (On the resemblance
and containment of documents), which is the Jaccard index of the two sets. Candidates are found by
MinHash and locality-sensitive hashing, by the package datasketch; then their similarity is
computed exactly. So no prompt is left out by an estimate, while a pair that is barely at the
threshold can be missed.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from heirloom.support.files import Record

logger = logging.getLogger(__name__)

_CHARACTERS = 5
_PERMUTATIONS = 128
#: Candidates are looked for below the threshold, so that few of those at it are missed.
_SLACK = 0.1


@dataclass(frozen=True)
class NearDuplicate:
    """A prompt that is left out.

    Attributes:
        id: Its id.
        text: Its text.
        like: Id of the prompt that it nearly repeats, which is kept.
        similarity: Share of common shingles, from the threshold to 1.
    """

    id: str
    text: str
    like: str
    similarity: float

    def record(self) -> Record:
        """The prompt as JSON."""
        return asdict(self)


def without_near_duplicates(
    prompts: Iterable[Record], threshold: float
) -> tuple[list[Record], list[NearDuplicate]]:
    """Keep the first of prompts that nearly repeat each other.

    Args:
        prompts: Prompts {"id", "text"} with distinct ids.
        threshold: Least similarity at which a prompt is left out, from 0 to 1.

    Returns:
        The prompts that are kept, in their order, and those that are left out, each with the most
        similar of the prompts kept before it.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=max(threshold - _SLACK, 0.0), num_perm=_PERMUTATIONS)
    kept: dict[str, tuple[int, Record, frozenset[str]]] = {}
    left_out = []
    for prompt in prompts:
        own = _shingles(prompt["text"])
        hashed = MinHash(num_perm=_PERMUTATIONS)
        hashed.update_batch([shingle.encode() for shingle in sorted(own)])
        like = {key: _similarity(own, kept[key][2]) for key in index.query(hashed)}
        # Of equals the first: the index returns them in no order.
        nearest = max(like, key=lambda key: (like[key], -kept[key][0]), default=None)
        if nearest is not None and like[nearest] >= threshold:
            left_out.append(NearDuplicate(prompt["id"], prompt["text"], nearest, like[nearest]))
            continue
        kept[prompt["id"]] = len(kept), prompt, own
        index.insert(prompt["id"], hashed)
    if left_out:
        logger.warning(
            "left out %d prompts that are as similar as %s or more to one before them",
            len(left_out),
            threshold,
        )
    return [prompt for _, prompt, _ in kept.values()], left_out


def _shingles(text: str) -> frozenset[str]:
    """Runs of characters of a text; a shorter text is one."""
    plain = " ".join(text.casefold().split())
    return frozenset(
        plain[i : i + _CHARACTERS] for i in range(max(1, len(plain) - _CHARACTERS + 1))
    )


def _similarity(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
