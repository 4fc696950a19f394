"""Subsets: which examples are drawn, in which proportions, and which rows a file has."""

import pytest

from heirloom.support.errors import HeirloomError
from heirloom.support.subset import draw

Item = tuple[str, str]
# Strata a, b and c with 6, 3 and 1 of 10 examples.
ITEMS: list[Item] = [(f"{s}{i}", s) for s, n in (("a", 6), ("b", 3), ("c", 1)) for i in range(n)]


def drawn(size: int | None, *, seed: int = 1, items: list[Item] = ITEMS) -> list[str]:
    chosen = draw(items, size, seed=seed, id=lambda i: i[0], stratum=lambda i: i[1], name="letters")
    return [item[0] for item in chosen]


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (10, (6, 3, 1)),
        (5, (3, 2, 0)),  # quotas 3, 1.5 and 0.5: of equal remainders the first by name
        (7, (4, 2, 1)),  # quotas 4.2, 2.1 and 0.7
        (1, (1, 0, 0)),  # quotas 0.6, 0.3 and 0.1
    ],
)
def test_strata_keep_their_shares(size: int, counts: tuple[int, int, int]) -> None:
    ids = drawn(size)
    found = tuple(sum(i[0] == s for i in ids) for s in "abc")
    assert found == counts


def test_the_order_of_the_whole_is_kept_and_the_seed_decides() -> None:
    assert drawn(None) == [item[0] for item in ITEMS]
    assert drawn(5) == sorted(drawn(5), key=[item[0] for item in ITEMS].index)
    assert drawn(5) == drawn(5, items=ITEMS[::-1])[::-1]
    assert len({tuple(drawn(5, seed=seed)) for seed in range(20)}) > 1


def test_it_is_not_the_first_n() -> None:
    assert any(drawn(3, seed=seed) != ["a0", "a1", "b0"] for seed in range(3))


def test_too_few_examples_and_repeated_ids_are_errors() -> None:
    with pytest.raises(HeirloomError, match="letters: 11 examples are asked for, but there are 10"):
        drawn(11)
    with pytest.raises(HeirloomError, match="letters: the id 'a0' occurs twice"):
        drawn(1, items=[*ITEMS, ("a0", "b")])
