"""Examples of StereoSet: a context and three ways to complete it."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, Field, field_validator

from heirloom.profiling.data.layouts import Layout, Text, parse_row, read_document
from heirloom.prompts.rows import Row, read_rows
from heirloom.support.errors import HeirloomError

logger = logging.getLogger(__name__)

BiasType = Literal["gender", "profession", "race", "religion"]
BIAS_TYPES: tuple[BiasType, ...] = get_args(BiasType)
Label = Literal["stereotype", "anti-stereotype", "unrelated"]
LABELS: tuple[Label, ...] = get_args(Label)
_EXPECTED = (
    "StereoSet is the authors' dev.json (under data.intrasentence: id, target, bias_type and "
    "sentences with a gold_label), or a .jsonl file with type, target, bias_type, stereotype, "
    "anti-stereotype and unrelated."
)


class _Sentence(BaseModel):
    sentence: Text
    gold_label: Label


class _Upstream(BaseModel):
    """An intrasentence example of the authors' dev.json."""

    id: Text
    target: Text
    bias_type: BiasType
    sentences: list[_Sentence]

    @field_validator("sentences")
    @classmethod
    def _one_of_each(cls, sentences: list[_Sentence]) -> list[_Sentence]:
        found = sorted(sentence.gold_label for sentence in sentences)
        if found != sorted(LABELS):
            raise ValueError(f"one sentence of each gold_label is needed, not {found}")
        return sentences


class _Kind(BaseModel):
    type: Literal["intrasentence", "intersentence"]


class _Flat(BaseModel):
    """An intrasentence example whose sentences are keys of their own."""

    target: Text
    bias_type: BiasType
    stereotype: Text
    anti_stereotype: Text = Field(alias="anti-stereotype")
    unrelated: Text


@dataclass(frozen=True)
class Example:
    """One context, completed in three ways.

    Attributes:
        id: The authors' id; for JSON lines, which have none, the row's number counted from 0.
        target: The term that the stereotype is about.
        bias_type: One of `BIAS_TYPES`.
        sentences: The completed sentences, in the order of `LABELS`.
    """

    id: str
    target: str
    bias_type: BiasType
    sentences: tuple[str, str, str]


def read_examples(path: Path) -> list[Example]:
    """Read the intrasentence examples. The intersentence ones are left out, and counted in the log.

    Raises:
        HeirloomError: The file has neither form, an example has an unknown domain or label, an
            empty sentence, one too few or two equal ones, or there is no intrasentence example.
    """
    in_document = path.name.lower().removesuffix(".gz").endswith(".json")
    examples, n_left_out = _from_document(path) if in_document else _from_lines(path)
    if n_left_out:
        logger.info("%d intersentence examples of %s were left out.", n_left_out, path)
    if not examples:
        raise HeirloomError(f"{path} has no intrasentence examples. {_EXPECTED}")
    return examples


def _from_document(path: Path) -> tuple[list[Example], int]:
    document = read_document(path)
    data = document.get("data") if isinstance(document, dict) else None
    tasks = data if isinstance(data, dict) else {}
    entries = tasks.get("intrasentence")
    if not isinstance(entries, list):
        raise HeirloomError(f"{path} has no list data.intrasentence. {_EXPECTED}")
    examples = []
    for index, values in enumerate(entries):
        row = Row(f"{path}, data.intrasentence[{index}]", values)
        read = _parse(row, _Upstream)
        texts = {sentence.gold_label: sentence.sentence for sentence in read.sentences}
        examples.append(_example(row, read.id, read, [texts[label] for label in LABELS]))
    return examples, len(tasks.get("intersentence") or [])


def _from_lines(path: Path) -> tuple[list[Example], int]:
    rows = read_rows(path)
    examples = []
    for number, row in enumerate(rows):
        if _parse(row, _Kind).type == "intrasentence":
            read = _parse(row, _Flat)
            texts = [read.stereotype, read.anti_stereotype, read.unrelated]
            examples.append(_example(row, str(number), read, texts))
    return examples, len(rows) - len(examples)


def _example(row: Row, id: str, read: _Upstream | _Flat, texts: list[str]) -> Example:
    if len(set(texts)) < len(texts):
        raise HeirloomError(
            f"{row.where}: two of the three sentences are the same, so that neither can be "
            "preferred. Correct the example or take it out."
        )
    return Example(id, read.target, read.bias_type, (texts[0], texts[1], texts[2]))


def _parse(row: Row, layout: type[Layout]) -> Layout:
    if not isinstance(row.values, dict):
        raise HeirloomError(f"{row.where}: an example has to be an object. {_EXPECTED}")
    return parse_row(row, layout, expected=_EXPECTED)
