"""Draw the examples of a benchmark that a study uses."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from heirloom.support.errors import HeirloomError

Example = TypeVar("Example")


def draw(
    examples: Sequence[Example],
    size: int | None,
    *,
    seed: int,
    id: Callable[[Example], str],
    stratum: Callable[[Example], str],
    name: str,
) -> list[Example]:
    """Draw a subset in which every stratum has the share it has in the whole.

    Within a stratum the order is that of SHA-256 of "seed/id". Shares are rounded by largest
    remainders, ties going to the stratum that comes first by name.

    Args:
        examples: All examples.
        size: Number of examples to draw; None for all of them.
        seed: Determines the draw.
        id: Returns the id of an example, unique among `examples`.
        stratum: Returns the category of an example.
        name: Name of the examples in messages.

    Returns:
        The drawn examples in the order they were given.

    Raises:
        HeirloomError: There are fewer examples than asked for, or an id occurs twice.
    """
    ids = [id(example) for example in examples]
    if len(set(ids)) < len(ids):
        repeated = next(key for key in ids if ids.count(key) > 1)
        raise HeirloomError(f"{name}: the id {repeated!r} occurs twice.")
    if size is None:
        return list(examples)
    if size > len(examples):
        raise HeirloomError(
            f"{name}: {size} examples are asked for, but there are {len(examples)}. Lower "
            "`examples`, or leave it out to use all."
        )
    strata: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        strata[stratum(example)].append(index)
    quotas = {key: size * len(members) / len(examples) for key, members in strata.items()}
    counts = {key: int(quota) for key, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda key: (counts[key] - quotas[key], key))
    for key in by_remainder[: size - sum(counts.values())]:
        counts[key] += 1
    chosen = []
    for key, members in strata.items():
        members.sort(key=lambda i: hashlib.sha256(f"{seed}/{ids[i]}".encode()).hexdigest())
        chosen += members[: counts[key]]
    return [examples[index] for index in sorted(chosen)]
