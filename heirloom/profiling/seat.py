"""Association tests on embeddings: WEAT for words, SEAT for sentences.

Caliskan, Bryson & Narayanan, 2017, Semantics derived automatically from language corpora contain
human-like biases (Science 356, 183); May, Wang, Bordia, Bowman & Rudinger, 2019, On Measuring
Social Biases in Sentence Encoders (arXiv 1903.10561).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from heirloom.profiling import DataName, ItemSources, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.caveats import RAISED_BY_NOISE
from heirloom.profiling.cost import reading
from heirloom.profiling.data.seat import TESTS, canonical, gather_tests, nearest
from heirloom.profiling.engines.embeddings import embed
from heirloom.statistics.resampling import Array, Columns
from heirloom.support.files import Record

# Up to this many splits of the targets, all are counted: every test of at most 8 + 8 targets.
_EXACT = 100_000
_DRAWS = 10_000
_SEED = 0
_AT_ONCE = 1 << 22  # permuted values of 8 bytes: 32 MB


class SeatOptions(Options):
    """Options of the association tests."""

    data: DataName | list[DataName] = Field(
        ...,
        description="Test files of sent-bias (one file or a folder), WEFE's word sets, or a list "
        "of such data sets.",
    )
    tests: list[str] | None = Field(
        None, min_length=1, description="Names of the tests to run. Default: all tests in the data."
    )
    special_tokens: bool = Field(
        False,
        description="Include the tokens that the tokenizer adds (BOS) in the mean that is a "
        "text's embedding, as in the paper's toolkit. The model reads them in either case.",
    )
    batch_tokens: int = Field(2048, ge=1, description="Maximum number of tokens per forward pass.")

    @field_validator("tests")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        names = [canonical(name) for name in value]
        unknown = [name for name in names if name not in TESTS]
        if unknown:
            raise ValueError(f"there is no test {unknown[0]!r}. {nearest(unknown[0], TESTS)}")
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(f"{repeated[0]} is named twice")
        return names


def effect_size(columns: Columns, weights: Array) -> Array:
    """Effect size d of Caliskan et al.: distance of the targets in standard deviations.

    d = (mean over X of s - mean over Y of s) / std over X and Y of s, with n - 1 in the variance.

    Args:
        columns: `association`, s(w, A, B) of n targets, and `set`, "X" or "Y".
        weights: [b, n], the number of times that each target counts.

    Returns:
        d, [b]; NaN where a set is empty or all associations are equal.
    """
    # Centred first: the variance is otherwise a small difference of large numbers.
    s = columns["association"] - columns["association"].mean()
    x = weights * (columns["set"] == "X")
    y = weights - x
    n = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = x @ s / x.sum(axis=1) - y @ s / y.sum(axis=1)
        deviation = np.sqrt((weights @ s**2 - (weights @ s) ** 2 / n) / (n - 1))
        # Below this it is what rounding leaves of equal numbers.
        negligible = 1e-9 * np.abs(columns["association"]).max()
        return np.asarray(np.where(deviation > negligible, gap / deviation, np.nan), np.float64)


def mean_abs_effect_size(columns: Columns, weights: Array) -> Array:
    """Mean over tests of |d|, as Meade et al. (2022, arXiv 2110.08527) and bias-bench report it.

    Args:
        columns: `association`, `set` and `test` of n targets of any number of tests.
        weights: [b, n], the number of times that each target counts.

    Returns:
        The mean, [b]; NaN where d of a test is.
    """
    sizes = []
    for test in np.unique(columns["test"]):
        members = columns["test"] == test
        own = {name: columns[name][members] for name in ("association", "set")}
        sizes.append(np.abs(effect_size(own, weights[:, members])))
    return np.asarray(np.mean(sizes, axis=0), dtype=np.float64)


def permutation_p(
    associations: Array,
    in_x: NDArray[np.bool_],
    *,
    exact: int = _EXACT,
    draws: int = _DRAWS,
    seed: int = _SEED,
) -> float:
    """One-sided p value: share of random splits of the targets that are as extreme as X and Y.

    The statistic of Caliskan et al. is the sum of s over X minus that over Y; splits keep the two
    sizes. Splits that equal the observed one count as extreme (Caliskan et al. write ">"; with it
    the observed split would not count and p could be 0).

    Args:
        associations: s(w, A, B) of n targets.
        in_x: [n], True for those in X.
        exact: Up to this many splits, p is the share of all of them.
        draws: Otherwise this many are drawn and p = (1 + extreme draws) / (1 + draws).
        seed: Seed of the draws.

    Returns:
        p, which does not depend on the order of the targets; NaN if X or Y is empty.
    """
    size, n = int(in_x.sum()), len(associations)
    if size in (0, n):
        return math.nan
    if size > n - size:  # the same test, seen from the smaller set
        return permutation_p(-associations, ~in_x, exact=exact, draws=draws, seed=seed)
    pool = np.sort(associations)
    # Equal sums of different order differ in their last digits, and must count as equal.
    least = associations[in_x].sum() - 1e-12 * np.abs(pool).sum()
    splits = math.comb(n, size)
    if splits <= exact:
        members = np.fromiter(chain.from_iterable(combinations(range(n), size)), dtype=np.intp)
        return int((pool[members.reshape(splits, size)].sum(axis=1) >= least).sum()) / splits
    generator = np.random.default_rng(seed)
    extreme, chunk = 0, max(1, _AT_ONCE // n)
    for start in range(0, draws, chunk):
        rows = np.tile(pool, (min(chunk, draws - start), 1))
        shuffled = generator.permuted(rows, axis=1, out=rows)
        extreme += int((shuffled[:, :size].sum(axis=1) >= least).sum())
    return (1 + extreme) / (1 + draws)


def p_value(columns: Columns, weights: Array) -> Array:
    """`permutation_p` of the columns `association` and `set`; weights [b, n] are whole numbers."""
    in_x = columns["set"] == "X"
    times = weights.astype(np.intp)
    return np.array(
        [permutation_p(np.repeat(columns["association"], t), np.repeat(in_x, t)) for t in times]
    )


_DEVIATIONS = "standard deviations"
_TARGETS = ("association", "set")

METRICS = {
    **{
        f"effect_size.{test}": Metric(
            _DEVIATIONS,
            fields=_TARGETS,
            statistic=effect_size,
            where={"test": test},
            relative=False,
        )
        for test in TESTS
    },
    **{
        f"mean_abs_effect_size.{topic}": Metric(
            _DEVIATIONS,
            "lower",
            fields=(*_TARGETS, "test"),
            statistic=mean_abs_effect_size,
            where={"topic": topic},
            relative=False,
            label="Mean absolute effect size",
        )
        for topic in ("gender", "race", "religion")
    },
    **{
        f"p_value.{test}": Metric(
            "probability",
            fields=_TARGETS,
            statistic=p_value,
            where={"test": test},
            relative=False,
            compared=False,
            label="p value",
        )
        for test in TESTS
    },
}


def _cost(options: SeatOptions, eval_prompts: int) -> Tokens:
    sets = 1 if isinstance(options.data, str) else len(options.data)
    return reading(200, 10, sets=sets)


def _items(sources: ItemSources, options: SeatOptions) -> dict[str, Sequence[str]]:
    """The word or sentence of every target."""
    names = [options.data] if isinstance(options.data, str) else options.data
    tests = gather_tests({name: sources.data[name] for name in names}, options.tests)
    return {
        f"{name}/{group}/{stimulus}": [stimulus]
        for name, test in tests.items()
        for group, stimuli in (("X", test.x), ("Y", test.y))
        for stimulus in stimuli
    }


@benchmark(
    "seat",
    label="SEAT",
    options=SeatOptions,
    metrics=METRICS,
    main=("mean_abs_effect_size.*", "effect_size.*"),
    cost=_cost,
    items=_items,
    caveats=(RAISED_BY_NOISE,),
)
def profile_seat(task: Task, options: SeatOptions) -> list[Record]:
    """WEAT and SEAT: association of the embeddings of two groups with two sets of attributes.

    Returns:
        One record per target: id, test, topic, set (X or Y), stimulus and association, which is
        null if the target has no embedding or an attribute of its test has none: with other
        attributes it would be another test.

    Raises:
        HeirloomError: A data set has no test, or one that is not known; a test is in two of the
            data sets, or one that the options name is in none.
    """
    names = [options.data] if isinstance(options.data, str) else options.data
    tests = gather_tests({name: task.data[name] for name in names}, options.tests)
    embeddings = embed(
        task.model,
        [stimulus for test in tests.values() for stimulus in test.x + test.y + test.a + test.b],
        special_tokens=options.special_tokens,
        batch_tokens=options.batch_tokens,
    )
    return [
        {
            "id": f"{name}/{group}/{stimulus}",
            "test": name,
            "topic": TESTS[name],
            "set": group,
            "stimulus": stimulus,
            "association": association,
        }
        for name, test in tests.items()
        for group, stimuli in (("X", test.x), ("Y", test.y))
        for stimulus, association in zip(
            stimuli, associations(stimuli, test.a, test.b, embeddings), strict=True
        )
    ]


def associations(
    targets: Sequence[str],
    a: Sequence[str],
    b: Sequence[str],
    embeddings: Mapping[str, Array | None],
) -> list[float | None]:
    """s(w, A, B) = mean over A of cos(w, a) - mean over B of cos(w, b), of every target w.

    Embeddings have length 1, so a mean of cosines is a product with the mean embedding.
    """
    known = [[e for e in (embeddings[text] for text in texts) if e is not None] for texts in (a, b)]
    if len(known[0]) < len(a) or len(known[1]) < len(b):
        return [None] * len(targets)
    direction = np.mean(known[0], axis=0) - np.mean(known[1], axis=0)
    found = (embeddings[text] for text in targets)
    return [None if one is None else float(one @ direction) for one in found]
