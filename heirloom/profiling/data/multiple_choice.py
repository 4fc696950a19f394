"""Multiple-choice data sets: HellaSwag, OpenBookQA, BoolQ, RTE, WinoGrande and ARC.

The layouts have the fields that lm-evaluation-harness's own task configurations read.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from heirloom.profiling.data.layouts import Text, parse_row
from heirloom.prompts.rows import read_rows
from heirloom.support.errors import HeirloomError


class Layout(BaseModel):
    """A row of a data set, checked. Keys that it does not name are ignored."""

    model_config = ConfigDict(frozen=True)
    expected: ClassVar[str]

    @property
    def gold(self) -> int:
        """Number of the right option, counted from 0."""
        raise NotImplementedError


LayoutT = TypeVar("LayoutT", bound=Layout)


def read_layout(path: Path, layout: type[LayoutT]) -> list[LayoutT]:
    """Read and check every row of a file.

    Raises:
        HeirloomError: There are none, or one has another layout: the message names row and key.
    """
    rows = [parse_row(row, layout, expected=layout.expected) for row in read_rows(path)]
    if not rows:
        raise HeirloomError(f"{path} has no rows. {layout.expected}")
    return rows


Texts = list[Text]


class HellaSwag(Layout):
    """HellaSwag, as its authors and the Hugging Face Hub publish it."""

    expected = (
        "HellaSwag's validation set has activity_label, ctx_a, ctx_b, ctx, four endings and a "
        "label from 0 to 3."
    )
    activity_label: str
    ctx_a: str
    ctx_b: str
    ctx: Text
    endings: Texts = Field(min_length=4, max_length=4)
    label: int = Field(ge=0, le=3)

    @property
    def gold(self) -> int:
        """Number of the right ending."""
        return self.label


class Choices(BaseModel):
    """The options of a question and the label of each."""

    model_config = ConfigDict(frozen=True)
    text: Texts
    label: list[str]


class Lettered(Layout):
    """A question whose answer is named by its label: OpenBookQA, ARC."""

    id: str
    choices: Choices
    answer_key: str = Field(alias="answerKey")

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        if len(self.choices.text) != len(self.choices.label):
            raise ValueError("choices have a different number of texts and labels")
        if self.choices.label.count(self.answer_key.strip()) != 1:
            raise ValueError(f"answerKey {self.answer_key!r} is not one of the labels")
        return self

    @property
    def gold(self) -> int:
        """Number of the right choice."""
        return self.choices.label.index(self.answer_key.strip())


class OpenBookQA(Lettered):
    """OpenBookQA, as its authors (`question.stem`) or the Hugging Face Hub publish it."""

    expected = (
        "OpenBookQA has id, answerKey and question.stem with four question.choices (text, label), "
        "or question_stem and choices.text, choices.label."
    )
    question_stem: Text

    @model_validator(mode="before")
    @classmethod
    def _from_upstream(cls, values: Any) -> Any:
        question = values.get("question") if isinstance(values, dict) else None
        if not isinstance(question, dict):
            return values
        choices = question.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            return values
        columns = {key: [c.get(key) for c in choices] for key in ("text", "label")}
        return {**values, "question_stem": question.get("stem"), "choices": columns}

    @model_validator(mode="after")
    def _four_choices(self) -> Self:
        if len(self.choices.text) != 4:
            raise ValueError(f"the question has {len(self.choices.text)} choices, not 4")
        return self


class BoolQ(Layout):
    """BoolQ as in SuperGLUE (`label`) or as published by itself (`answer`)."""

    expected = "BoolQ has passage, question and label (0: no, 1: yes) or answer (true or false)."
    passage: Text
    question: Text
    label: int = Field(ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _from_answer(cls, values: Any) -> Any:
        if isinstance(values, dict) and "label" not in values and "answer" in values:
            return {**values, "label": values["answer"]}
        return values

    @property
    def gold(self) -> int:
        """0: no, 1: yes."""
        return self.label


class RTE(Layout):
    """RTE as in GLUE."""

    expected = "RTE has sentence1, sentence2 and label (0: entailment, 1: not)."
    sentence1: Text
    sentence2: Text
    label: int = Field(ge=0, le=1)

    @property
    def gold(self) -> int:
        """0: true, 1: false."""
        return self.label


class WinoGrande(Layout):
    """WinoGrande as published."""

    expected = "WinoGrande has a sentence with _ in it, option1, option2 and answer (1 or 2)."
    sentence: str = Field(pattern="_")
    option1: Text
    option2: Text
    answer: Literal["1", "2"]

    @property
    def gold(self) -> int:
        """0: the first option, 1: the second."""
        return int(self.answer) - 1


class ARC(Lettered):
    """ARC as on the Hugging Face Hub."""

    expected = "ARC has id, question, choices.text, choices.label and answerKey, one of the labels."
    question: Text

    @model_validator(mode="after")
    def _several_choices(self) -> Self:
        if len(self.choices.text) < 2:
            raise ValueError("the question has fewer than two choices")
        return self


@dataclass(frozen=True)
class Question:
    """A question: the options are scored after the context and a space.

    Attributes:
        id: `data_set/` and the data set's own id, or the row's number counted from 0.
        data_set: "hellaswag" or "openbookqa".
        context: The text that is given.
        options: The options, without a space in front.
        gold: Number of the right one.
    """

    id: str
    data_set: str
    context: str
    options: tuple[str, ...]
    gold: int


def read_hellaswag(path: Path, *, text: Literal["harness", "raw"]) -> list[Question]:
    """Read every question of a HellaSwag file.

    Args:
        path: The file.
        text: `"harness"`: `harness_text`; `"raw"`: `ctx` and the endings as they are.

    Raises:
        HeirloomError: It is not such a file.
    """
    questions = []
    # `ind` is no id: 433 rows of the validation set repeat another's.
    for number, item in enumerate(read_layout(path, HellaSwag)):
        context, options = harness_text(item) if text == "harness" else (item.ctx, item.endings)
        questions.append(
            Question(f"hellaswag/{number}", "hellaswag", context, tuple(options), item.gold)
        )
    return questions


def harness_text(item: HellaSwag) -> tuple[str, list[str]]:
    """Return context and endings as lm-evaluation-harness writes them."""
    context = f"{item.activity_label}: {item.ctx_a} {item.ctx_b.capitalize()}"
    return _without_tags(context), [_without_tags(ending) for ending in item.endings]


def _without_tags(text: str) -> str:
    """Remove from a text of WikiHow the tags in brackets that its conversion left behind."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def read_openbookqa(path: Path) -> list[Question]:
    """Read every question of an OpenBookQA file: the stem alone is the context.

    Raises:
        HeirloomError: It is not such a file.
    """
    return [
        Question(
            f"openbookqa/{item.id}",
            "openbookqa",
            item.question_stem,
            tuple(item.choices.text),
            item.gold,
        )
        for item in read_layout(path, OpenBookQA)
    ]
