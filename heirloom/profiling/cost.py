"""Tokens that a model reads and generates for a benchmark, for estimates of run time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Tokens of a prompt, its template included.
PROMPT_TOKENS = 64


@dataclass(frozen=True)
class Tokens:
    """Work of one model.

    Attributes:
        written: Tokens generated.
        read: Tokens of prompts and of texts that are scored.
        repeated: Tokens of prompts that an endpoint reads in addition: once per further sample.
    """

    written: float = 0.0
    read: float = 0.0
    repeated: float = 0.0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.written + other.written, self.read + other.read, self.repeated + other.repeated
        )


Cost = Callable[[Any, int], Tokens]
"""`cost(options, eval_prompts)`: the benchmark's validated options, and the number of eval prompts
in the set that they name (0 if they name none)."""


def reading(examples: int, tokens: int, *, sets: int = 1, limit: int | None = None) -> Tokens:
    """Return the work of scoring examples.

    Args:
        examples: Number of examples in a data set.
        tokens: Tokens read per example.
        sets: Data sets.
        limit: Maximum number of examples per data set, an option of the benchmark; None: all.
    """
    return Tokens(read=sets * min(limit or examples, examples) * tokens)


def completing(prompts: int, *, samples: int, max_new_tokens: int) -> Tokens:
    """Return the work of generating `samples` completions per prompt."""
    read = prompts * PROMPT_TOKENS
    return Tokens(prompts * samples * max_new_tokens, read, (samples - 1) * read)
