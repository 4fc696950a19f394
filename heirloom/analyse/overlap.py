"""Overlap of training sets with the items of benchmarks: shared runs of words.

A text is its words, in lower case and without punctuation, as in Brown et al., 2020 (GPT-3, arXiv
2005.14165, appendix C). They look for runs of 8 to 13 words; 8 are counted here, the shortest
that they use and the length of Chowdhery et al., 2022 (PaLM, arXiv 2204.02311, section 8), because
items and completions are short. An item overlaps if one of its runs is in a training set, and is
contained if 70 % of them are, which is PaLM's criterion.

Runs are compared by 64-bit hashes. Memory follows the benchmarks' items and one block of training
texts: words that no item has are not kept.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Words of a run.
WORDS = 8
#: Share of an item's runs from which on it is contained.
CONTAINED = 0.7
_WORD = re.compile(r"\w+")
_BLOCK = 4096  # training texts hashed at once
# Multilinear hashing (Carter & Wegman, 1979): random odd factors, one for each place in a run.
_FACTORS = np.random.default_rng(0).integers(2**63, size=WORDS, dtype=np.uint64) * 2 + 1

_Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """Items of one benchmark against one training set.

    Attributes:
        n_items: Number of items.
        n_short: Items of fewer than `WORDS` words, which are in none of the other numbers.
        n_overlapping: Items of which at least one run is in the training set; None if all are
            short.
        n_contained: Items of which at least the share `CONTAINED` is; None likewise.
    """

    n_items: int
    n_short: int
    n_overlapping: int | None
    n_contained: int | None


class ItemRuns:
    """Runs of words in the items of benchmarks, to be looked for in training sets."""

    def __init__(self, items: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Read the items.

        Args:
            items: Benchmark to the texts of each of its items.
        """
        self._numbers: dict[str, int] = {}
        runs = {
            benchmark: [self._hashed(self._learnt(texts)) for texts in own]
            for benchmark, own in items.items()
        }
        found = [one for own in runs.values() for one in own]
        self._known = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
        self._sizes = {name: np.array([len(r) for r in own], int) for name, own in runs.items()}
        # Places in `_known` of the runs of all items of a benchmark, one item after the other.
        self._places = {
            name: np.searchsorted(self._known, np.concatenate(own)) if own else np.empty(0, int)
            for name, own in runs.items()
        }

    def _learnt(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Numbers of the words of each text; new words get one, from 1."""
        for text in texts:
            yield [self._numbers.setdefault(w, len(self._numbers) + 1) for w in words(text)]

    def _hashed(self, texts: Iterable[Sequence[int]]) -> _Hashes:
        """Distinct hashes of the runs of these texts; those with an unknown word are left out."""
        # A 0 ends every text, so that no run crosses over; an unknown word is 0 as well.
        numbers = np.fromiter((n for text in texts for n in (*text, 0)), dtype=np.uint64)
        if len(numbers) < WORDS:
            return np.empty(0, np.uint64)
        runs = np.lib.stride_tricks.sliding_window_view(numbers, WORDS)
        whole = runs[(runs != 0).all(axis=1)]
        return np.unique((whole * _FACTORS).sum(axis=1, dtype=np.uint64))

    def overlaps(self, texts: Iterable[str]) -> dict[str, Overlap]:
        """Return the overlap of each benchmark's items with the texts of one training set."""
        found = np.zeros(len(self._known), dtype=bool)
        for block in _blocks(texts, _BLOCK):
            numbered = ([self._numbers.get(w, 0) for w in words(text)] for text in block)
            found |= np.isin(self._known, self._hashed(numbered))
        return {
            name: _counted(sizes, found[self._places[name]]) for name, sizes in self._sizes.items()
        }


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def _counted(sizes: NDArray[np.int_], there: NDArray[np.bool_]) -> Overlap:
    """Count items by the share of their runs that are there.

    Args:
        sizes: Number of runs of each item; 0 for a short one.
        there: True for each run that is in the training set, one item after the other.
    """
    long = sizes[sizes > 0]
    n_short = len(sizes) - len(long)
    if not len(long):
        return Overlap(len(sizes), n_short, None, None)
    owners = np.repeat(np.arange(len(long)), long)
    shares = np.bincount(owners, there, minlength=len(long)) / long
    return Overlap(len(sizes), n_short, int((shares > 0).sum()), int((shares >= CONTAINED).sum()))


def _blocks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    block: list[str] = []
    for text in texts:
        block.append(text)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
