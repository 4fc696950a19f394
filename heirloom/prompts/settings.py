"""Sections of the study file about prompt sets."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from heirloom.fetch.settings import Artefact
from heirloom.support.settings import Section

Format = Literal["instruction", "continuation"]


class Columns(Section):
    """Columns to read from the source. A dot reaches into nested objects (`prompt.text`)."""

    text: str = Field("instruction", description="Column that contains the prompt.")
    input: str | None = Field(
        None,
        description="Column with further input, appended below the prompt (as in Alpaca). "
        "Default: none.",
    )
    id: str | None = Field(
        None, description="Column with a stable id. Default: a hash of the text is the id."
    )


class Rows(Section):
    """Rows of a source to read, in the order of the file."""

    skip: int = Field(0, ge=0, description="Number of rows to leave out at the start of the file.")
    take: int | None = Field(
        None, ge=1, description="Number of rows to read after those. Default: all that follow."
    )


class Reading(Section):
    """Prompts as they are read from a source."""

    columns: Columns = Field(Columns(), description="Columns to read from the source.")
    rows: Rows = Field(Rows(), description="Rows to read from the source. Default: all.")
    # Left out of the JSON form where it is not given: it is a parameter of finished jobs.
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        exclude_if=lambda value: value is None,
        description="Leave out prompts that are at least this similar to one before them: the "
        "share of runs of 5 characters that they have in common, such as 0.8. Default: only "
        "repeated prompts are left out.",
    )
    template: str = Field(
        "{prompt}",
        description="Text with `{prompt}` in it: an instruction that every prompt of this set is "
        "wrapped in before a model's own template is applied. Requires the format `instruction`.",
    )

    @field_validator("template")
    @classmethod
    def _holds_the_prompt(cls, value: str) -> str:
        if "{prompt}" not in value:
            raise ValueError("write {prompt} where the prompt belongs")
        return value


class Prompts(Reading, Artefact):
    """A prompt set, split into train and eval prompts, which are disjoint."""

    format: Format = Field(
        "instruction",
        description="`instruction`: prompts are shown in the model's template; `continuation`: "
        "the model continues them as they are.",
    )
    language: str = Field(
        "en",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Language of prompts and completions, as a language tag (BCP 47): `en`, `hi`, "
        "`zh-Hant`; `mul` for several. Readability is only computed in English; cards state it.",
    )
    train: int = Field(
        ...,
        ge=0,
        description="Number of prompts for training data; 0 in a set that no training set is made "
        "from.",
    )
    eval: int = Field(..., ge=1, description="Number of prompts for profiling models.")
    max_new_tokens: int = Field(..., ge=1, description="Maximum number of tokens per completion.")
    truncated: bool | None = Field(
        None,
        description="Whether training sets may hold completions truncated at `max_new_tokens`. "
        "They have no end token, so students trained on them do not learn to stop, and selecting "
        "the longest selects them first. Default: no for instructions, yes for continuations, "
        "which have no end of their own.",
    )

    @model_validator(mode="after")
    def _wraps_instructions(self) -> Self:
        if self.format == "continuation" and self.template != "{prompt}":
            raise ValueError(
                "`template` makes an instruction of a prompt, but the format is continuation: "
                "leave one of them out"
            )
        return self

    @property
    def admits_truncated(self) -> bool:
        """True if training sets may hold truncated completions."""
        return self.format == "continuation" if self.truncated is None else self.truncated
