"""What is asked of a model: prompts, and how to complete them."""

import logging
from dataclasses import dataclass

from heirloom.generate.sampling import Sampling
from heirloom.prompts.settings import Format

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """One prompt to complete: its id and its text."""

    id: str
    text: str


@dataclass(frozen=True)
class Request:
    """What to generate for every prompt.

    Attributes:
        samples: Completions a prompt (k), numbered from 0. Those of a smaller k are the first of a
            larger one.
        max_new_tokens: Most tokens of a completion.
        sampling: How to choose tokens.
        seed: Together with prompt id and sample number it decides the text.
        format: Whether prompts are instructions or the beginning of a text.
        batch_size: Most sequences generated at once.
    """

    samples: int
    max_new_tokens: int
    sampling: Sampling
    seed: int
    format: Format = "instruction"
    batch_size: int = 80
