"""Sections of the study file about prompt sets."""

from typing import Literal

from pydantic import Field

from heirloom.fetch.settings import Artefact
from heirloom.support.settings import Section

Format = Literal["instruction", "continuation"]


class Columns(Section):
    """Columns of the source. A dot reaches into nested objects (`prompt.text`)."""

    text: str = Field("instruction", description="The prompt, or its first part.")
    input: str | None = Field(None, description="A second part, put below the first (Alpaca).")
    id: str | None = Field(None, description="A stable id. Left out: a hash of the text.")


class Prompts(Artefact):
    """A set of prompts, split into train and eval, which never share a prompt."""

    columns: Columns = Field(Columns(), description="Columns of the source.")
    format: Format = Field(
        "instruction",
        description="`instruction`: in the model's template; `continuation`: a text to continue.",
    )
    train: int = Field(..., ge=1, description="Prompts to make training data from.")
    eval: int = Field(..., ge=1, description="Prompts to profile models on.")
    max_new_tokens: int = Field(..., ge=1, description="Most tokens of a completion.")
