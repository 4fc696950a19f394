"""Association tests on encodings: WEAT for words, SEAT for sentences.

Caliskan, Bryson & Narayanan, 2017, Semantics derived automatically from language corpora contain
human-like biases (Science 356, 183); May, Wang, Bordia, Bowman & Rudinger, 2019, On Measuring
Social Biases in Sentence Encoders (arXiv 1903.10561).
"""

import difflib
import logging
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from heirloom.profiling import DataName, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.caveats import RAISED_BY_NOISE
from heirloom.profiling.cost import reading
from heirloom.statistics.resampling import Array, Columns
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.log import Progress
from heirloom.support.row_files import read_document

if TYPE_CHECKING:
    from heirloom.generate.model import LanguageModel

logger = logging.getLogger(__name__)

_GENDER = ("weat6", "weat6b", "weat7", "weat7b", "weat8", "weat8b")
_RACE = ("weat3", "weat3b", "weat4", "weat5", "weat5b")
_STEREOTYPE = ("angry_black_woman_stereotype", "angry_black_woman_stereotype_b")
_DOUBLE_BIND = tuple(f"heilman_double_bind_{kind}" for kind in ("competent", "likable"))
_RELIGION = ("religion1", "religion1b", "religion2", "religion2b")

# Every test that the authors published and, of the religion tests, bias-bench. The topics gender,
# race and religion hold what bias-bench averages under these names, and the same tests on words.
TESTS: Mapping[str, str] = {
    name: topic
    for topic, names in (
        ("objects", ("weat1", "weat2", "sent-weat1", "sent-weat2")),
        ("race", chain(_RACE, _STEREOTYPE, (f"sent-{name}" for name in _RACE + _STEREOTYPE))),
        ("gender", chain(_GENDER, (f"sent-{name}" for name in _GENDER))),
        ("health", ("weat9", "sent-weat9")),
        ("age", ("weat10", "sent-weat10")),
        ("religion", (f"sent-{name}" for name in _RELIGION)),
        (
            "double_bind",
            chain(
                (
                    f"{name}_{form}"
                    for name in _DOUBLE_BIND
                    for form in ("one_word", "one_sentence", "1", "1-", "1_3-")
                ),
                (f"sent-{name}_one_word" for name in _DOUBLE_BIND),
            ),
        ),
    )
    for name in names
}
"""Name of every test that can be run, and its topic."""

_SETS = ("targ1", "targ2", "attr1", "attr2")  # X, Y, A and B in the authors' files

# Table 1 of Caliskan et al., and the variants of May et al. that need no other words.
_WORD_SETS: Mapping[str, tuple[str, str, str, str]] = {
    "weat1": ("flowers", "insects", "pleasant_5", "unpleasant_5a"),
    "weat2": ("instruments", "weapons", "pleasant_5", "unpleasant_5a"),
    "weat3": (
        *("european_american_names_5", "african_american_names_5"),
        *("pleasant_5", "unpleasant_5b"),
    ),
    "weat4": (
        *("european_american_names_7", "african_american_names_7"),
        *("pleasant_5", "unpleasant_5b"),
    ),
    "weat5": (
        *("european_american_names_7", "african_american_names_7"),
        *("pleasant_9", "unpleasant_9"),
    ),
    "weat6": ("male_names", "female_names", "career", "family"),
    "weat6b": ("male_terms", "female_terms", "career", "family"),
    "weat7": ("math", "arts", "male_terms", "female_terms"),
    "weat7b": ("math", "arts", "male_names", "female_names"),
    "weat8": ("science", "arts_2", "male_terms_2", "female_terms_2"),
    "weat8b": ("science", "arts_2", "male_names", "female_names"),
    "weat9": ("mental_disease", "physical_disease", "temporary", "permanent"),
    "weat10": ("young_people_names", "old_people_names", "pleasant_9", "unpleasant_9"),
}

# Up to so many ways to split the targets, all are counted: every test of at most 8 + 8 targets.
_EXACT = 100_000
_DRAWS = 10_000
_SEED = 0
_AT_ONCE = 1 << 22  # permuted values of 8 bytes: 32 MB


class SeatOptions(Options):
    """Options of the association tests."""

    data: DataName | list[DataName] = Field(
        ...,
        description="Test files of sent-bias (one, or a folder of them), WEFE's word sets, or a "
        "list of such data sets.",
    )
    tests: list[str] | None = Field(
        None, min_length=1, description="Tests to run, by name; left out: all that the data have."
    )
    special_tokens: bool = Field(
        False,
        description="Whether the tokens that the tokenizer adds (BOS) enter a text's encoding, as "
        "in the paper's toolkit. If not, the model reads them, but the mean leaves them out.",
    )
    batch_tokens: int = Field(2048, ge=1, description="Most tokens encoded at once.")

    @field_validator("tests")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        names = [_canonical(name) for name in value]
        unknown = [name for name in names if name not in TESTS]
        if unknown:
            raise ValueError(f"there is no test {unknown[0]!r}. {_nearest(unknown[0], TESTS)}")
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(f"{repeated[0]} is named twice")
        return names


@dataclass(frozen=True)
class AssociationTest:
    """Targets X and Y, attributes A and B: each stimulus once per set, in the file's order."""

    x: tuple[str, ...]
    y: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]


def effect_size(columns: Columns, weights: Array) -> Array:
    """Effect size d of Caliskan et al.: how many standard deviations apart the targets are.

    d = (mean over X of s - mean over Y of s) / std over X and Y of s, with n - 1 in the variance.

    Args:
        columns: `association`, s(w, A, B) of n targets, and `set`, "X" or "Y".
        weights: how often each target counts, [b, n].

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
        weights: how often each target counts, [b, n].

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
    """One-sided p value: how often a random split of the targets is as extreme as X and Y.

    The statistic of Caliskan et al. is the sum of s over X minus that over Y; splits keep the two
    sizes. Splits that equal the observed one count as extreme (Caliskan et al. write ">"; with it
    the observed split would not count and p could be 0).

    Args:
        associations: s(w, A, B) of n targets.
        in_x: which of them are in X, [n].
        exact: up to so many splits, p is the share of all of them.
        draws: otherwise this many are drawn and p = (1 + extreme draws) / (1 + draws).
        seed: of the draws.

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


@benchmark(
    "seat",
    label="SEAT",
    options=SeatOptions,
    metrics=METRICS,
    main=("mean_abs_effect_size.*", "effect_size.*"),
    cost=_cost,
    caveats=(RAISED_BY_NOISE,),
)
def profile_seat(task: Task, options: SeatOptions) -> list[Record]:
    """WEAT and SEAT: whether encodings of two groups lie nearer to one of two sets of attributes.

    Returns:
        A record a target: id, test, topic, set (X or Y), stimulus and association, which is null
        if the target has no encoding or an attribute of its test has none: with other attributes it
        would be another test.

    Raises:
        HeirloomError: a data set has no test, or one that is not known; a test is in two of the
            data sets, or one that the options name is in none.
    """
    names = [options.data] if isinstance(options.data, str) else options.data
    tests = gather_tests({name: task.data[name] for name in names}, options.tests)
    encodings = encode(
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
            stimuli, associations(stimuli, test.a, test.b, encodings), strict=True
        )
    ]


def associations(
    targets: Sequence[str],
    a: Sequence[str],
    b: Sequence[str],
    encodings: Mapping[str, Array | None],
) -> list[float | None]:
    """s(w, A, B) = mean over A of cos(w, a) - mean over B of cos(w, b), of every target w.

    Encodings have length 1, so a mean of cosines is a product with the mean encoding.
    """
    known = [[e for e in (encodings[text] for text in texts) if e is not None] for texts in (a, b)]
    if len(known[0]) < len(a) or len(known[1]) < len(b):
        return [None] * len(targets)
    direction = np.mean(known[0], axis=0) - np.mean(known[1], axis=0)
    found = (encodings[text] for text in targets)
    return [None if encoding is None else float(encoding @ direction) for encoding in found]


def encode(
    model: "LanguageModel",
    texts: Iterable[str],
    *,
    special_tokens: bool = False,
    batch_tokens: int = 2048,
) -> dict[str, Array | None]:
    """Encode every distinct text once: mean of the last hidden states, scaled to length 1.

    The hidden states are those after the final norm, which the output layer sees. Texts of one
    number of tokens form a batch, so nothing is ever padded.

    Args:
        model: the model.
        texts: what to encode, as it stands: no prompt template.
        special_tokens: whether the tokens that the tokenizer adds enter the mean.
        batch_tokens: most tokens of a forward pass, but one text at least.

    Returns:
        Text to encoding, float64 [hidden size]. None, and counted in the log, for a text without a
        token of its own, longer than the model's context or with a hidden state that is not finite.
    """
    encodings: dict[str, Array | None] = dict.fromkeys(texts)
    kept: dict[str, list[bool]] = {}  # which positions enter the mean
    tokens: dict[str, list[int]] = {}
    by_length: dict[int, list[str]] = defaultdict(list)
    for text in encodings:
        encoded = model.tokenizer(text, return_special_tokens_mask=True)
        tokens[text] = list(encoded["input_ids"])
        kept[text] = [special_tokens or not added for added in encoded["special_tokens_mask"]]
        if any(kept[text]) and len(tokens[text]) <= model.context_length:
            by_length[len(tokens[text])].append(text)

    progress = Progress(total=sum(map(len, by_length.values())), unit="texts")
    for length, members in sorted(by_length.items(), reverse=True):
        size = max(1, batch_tokens // length)
        for start in range(0, len(members), size):
            batch = members[start : start + size]
            means = _mean_states(model, [tokens[t] for t in batch], [kept[t] for t in batch])
            for text, mean in zip(batch, means, strict=True):
                norm = float(np.linalg.norm(mean))
                encodings[text] = mean / norm if math.isfinite(norm) and norm > 0 else None
            progress.update(len(batch))
    lost = [text for text, encoding in encodings.items() if encoding is None]
    if lost:
        logger.warning(
            "%d of %d texts could not be encoded, the first is %r: they have no token, exceed the "
            "context of %s, %d tokens, or its hidden states are not finite.",
            *(len(lost), len(encodings), lost[0], model.name, model.context_length),
        )
    return encodings


def _mean_states(model: "LanguageModel", tokens: list[list[int]], kept: list[list[bool]]) -> Array:
    """Mean of the last hidden states at the positions kept: [texts, hidden size]."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor(tokens, device=model.device)
        states = model.network.base_model(input_ids=ids, use_cache=False).last_hidden_state.float()
        keep = torch.tensor(kept, device=model.device)[:, :, None]
        means = states.masked_fill(~keep, 0.0).sum(dim=1) / keep.sum(dim=1)
        return np.asarray(means.double().cpu().numpy(), dtype=np.float64)


def gather_tests(
    data: Mapping[str, Path], wanted: Sequence[str] | None
) -> dict[str, AssociationTest]:
    """The tests to run, in the order of `TESTS`.

    Args:
        data: name and place of every data set: a file or a folder of sent-bias, or WEFE's words.
        wanted: names of tests; None for all there are.

    Raises:
        HeirloomError: see `profile_seat`.
    """
    found: dict[str, AssociationTest] = {}
    origin: dict[str, str] = {}
    for source, path in data.items():
        for name, test in read_tests(path, wanted).items():
            if name in found:
                raise HeirloomError(
                    f"the test {name} is in two of the data sets of seat, {origin[name]} and "
                    f"{source}: name one of them only, or leave {name} out of `tests`."
                )
            found[name], origin[name] = test, source
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise HeirloomError(
            f"the test {missing[0]} is in none of the data sets of seat ({', '.join(data)}): name "
            "one that has it in `data`, or leave it out of `tests`."
        )
    return {name: found[name] for name in TESTS if name in found}


def read_tests(path: Path, wanted: Collection[str] | None = None) -> dict[str, AssociationTest]:
    """Read the tests of a data set.

    Args:
        path: A file of sent-bias, which holds one test and is called after it; a folder with such
            files (`.jsonl`, at any depth, each also with `.gz`); or WEFE's `WEAT.json`.
        wanted: Names of tests; others are not looked at. None for all there are.

    Raises:
        HeirloomError: a file cannot be read or is no such file; a test is not one of `TESTS`, or is
            in the folder twice; the folder has no test.
    """
    if path.is_file():
        return _read_file(path, wanted)
    tests: dict[str, AssociationTest] = {}
    files = sorted(f for f in path.rglob("*") if f.name.endswith((".jsonl", ".jsonl.gz")))
    if not files:
        raise HeirloomError(f"{path} has no test: there is no .jsonl file in it.")
    for file in files:
        if wanted is not None and _test_name(file) not in wanted:
            continue
        for name, test in _read_file(file, wanted).items():
            if name in tests:
                raise HeirloomError(f"{file}: the test {name} is in {path} twice; remove one.")
            tests[name] = test
    return tests


def _read_file(file: Path, wanted: Collection[str] | None) -> dict[str, AssociationTest]:
    document = read_document(file)
    if not isinstance(document, dict):
        document = {}
    if all(key in document for key in _SETS):
        name = _test_name(file)
        if wanted is not None and name not in wanted:
            return {}
        if name not in TESTS:
            raise HeirloomError(
                f"{file} is called like no known test. {_nearest(name, TESTS)} If it is not to be "
                "run, name those that are in `tests`."
            )
        sets = []
        for key in _SETS:
            entry = document[key]
            stimuli = entry.get("examples") if isinstance(entry, dict) else None
            sets.append(_stimuli(stimuli, f"{file}, {key}.examples"))
        return {name: AssociationTest(*sets)}
    known = {key for keys in _WORD_SETS.values() for key in keys}
    if known.isdisjoint(document):
        raise HeirloomError(
            f"{file} holds neither a test of sent-bias (an object with {', '.join(_SETS)}) nor the "
            "word sets of WEFE (an object with flowers, insects and so on)."
        )
    complete = {n: keys for n, keys in _WORD_SETS.items() if all(key in document for key in keys)}
    if not complete:
        raise HeirloomError(
            f"{file} has the word sets of no test: weat1, for one, needs "
            f"{', '.join(_WORD_SETS['weat1'])}."
        )
    return {
        name: AssociationTest(*(_stimuli(document[key], f"{file}, {key}") for key in keys))
        for name, keys in complete.items()
        if wanted is None or name in wanted
    }


def _stimuli(value: Any, where: str) -> tuple[str, ...]:
    """The different texts of a set, in their order."""
    if not isinstance(value, list) or not value:
        raise HeirloomError(f"{where} must be a list of texts that is not empty.")
    for number, text in enumerate(value, start=1):
        if not isinstance(text, str) or not text.strip():
            raise HeirloomError(f"{where}, entry {number} is {text!r}; it must be a text.")
    return tuple(dict.fromkeys(value))


def _test_name(file: Path) -> str:
    return _canonical(re.sub(r"\.[a-z]+(\.gz)?$", "", file.name))


def _canonical(name: str) -> str:
    """A test's name as part of a metric's: the `+` of `..._1+3-` becomes `_`."""
    return re.sub(r"[^a-z0-9_-]", "_", name.lower())


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3)
    return f"The nearest are {', '.join(close)}." if close else f"Known are {', '.join(names)}."
