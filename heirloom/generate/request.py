"""Prompts, requests and completions. Imports nothing heavy."""

import hashlib
from dataclasses import dataclass

from heirloom.prompts.settings import Format
from heirloom.support.files import Record

#: Reason why a completion has no text, with its meaning.
UNANSWERED = {
    "too_long": "that exceed the model's context",
    "filtered": "removed by a filter of the server",
    "refused": "refused by the model or its server",
    "empty": "answers without text",
}


@dataclass(frozen=True)
class Sampling:
    """Rule for choosing the next token.

    Attributes:
        temperature: Divides the logits. 0 takes the most likely token (greedy) and ignores the
            rest.
        top_k: Choose among the k most likely tokens; 0 means all.
        top_p: Of those, choose among the fewest whose probabilities sum to at least p
            (Holtzman et al., 2020, arXiv 1904.09751); 1 means all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True)
class Prompt:
    """One prompt to complete: its id and its text."""

    id: str
    text: str


@dataclass(frozen=True)
class Request:
    """Samples to generate for every prompt.

    Attributes:
        samples: Completions per prompt (k), numbered from 0. Those of a smaller k are the first of
            a larger one.
        max_new_tokens: Maximum number of tokens per completion.
        sampling: Rule for choosing tokens.
        seed: Determines the completion, together with prompt id and sample number.
        format: Prompts are instructions, or the beginning of a text to continue.
        batch_size: Maximum number of sequences generated at once.
    """

    samples: int
    max_new_tokens: int
    sampling: Sampling
    seed: int
    format: Format = "instruction"
    batch_size: int = 80


@dataclass(frozen=True)
class Completion:
    """One completion, with the same fields whatever generated it.

    Attributes:
        prompt_id: Id of the prompt.
        sample: Number of the sample, from 0.
        completion: Text without the stop text and what follows it; None if there is no answer.
        n_tokens: Generated tokens, those of the reasoning and the end token included; None if a
            server does not count them.
        finish_reason: `"stop"` (ended by itself) or `"length"` (truncated by max_new_tokens);
            without an answer one of `UNANSWERED`.
        prompt_tokens: Tokens of the prompt as a server counts them, where they have a price; left
            out of files otherwise.
        reasoning: The reasoning before the answer, where it is kept apart; left out of files where
            there is none.
    """

    prompt_id: str
    sample: int
    completion: str | None
    n_tokens: int | None
    finish_reason: str
    prompt_tokens: int | None = None
    reasoning: str | None = None

    def record(self) -> Record:
        """Return the completion as it is written to files, fields in the order above."""
        optional = ("prompt_tokens", "reasoning")
        return {k: v for k, v in vars(self).items() if v is not None or k not in optional}


def sequence_key(seed: int, prompt_id: str, sample: int) -> int:
    """Return a 63-bit key for one sequence, equal on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{prompt_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
