"""Sections of the study file about prompt sets."""

from typing import Literal

from pydantic import Field

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


class Prompts(Artefact):
    """A prompt set, split into train and eval prompts, which are disjoint."""

    columns: Columns = Field(Columns(), description="Columns to read from the source.")
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
    train: int = Field(..., ge=1, description="Number of prompts for training data.")
    eval: int = Field(..., ge=1, description="Number of prompts for profiling models.")
    max_new_tokens: int = Field(..., ge=1, description="Maximum number of tokens per completion.")
    truncated: bool | None = Field(
        None,
        description="Whether training sets may hold completions truncated at `max_new_tokens`. "
        "They have no end token, so students trained on them do not learn to stop, and selecting "
        "the longest selects them first. Default: no for instructions, yes for continuations, "
        "which have no end of their own.",
    )

    @property
    def admits_truncated(self) -> bool:
        """True if training sets may hold truncated completions."""
        return self.format == "continuation" if self.truncated is None else self.truncated
