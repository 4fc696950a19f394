"""Decoders compute the next token's logits, and `heirloom.generate.loop` chooses the tokens.

One decoder runs a model as transformers does, the other runs it converted to OpenVINO. The loop
above them is the same, so their completions differ only by rounding.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Decoder(Protocol):
    """Computes logits for some sequences at a time.

    Attributes:
        joins: True if a prompt can start while other sequences are unfinished.
        run_ahead: Maximum number of steps to compute before the tokens of the first are read. More
            than 1 where reading them keeps a device waiting for longer than a few rows take that
            have ended; only for a decoder that does not join.
    """

    joins: bool
    run_ahead: int

    def reserve(self, prompts: Sequence[int], new_tokens: int) -> None:
        """Start over, with memory for as many sequences as will be computed at once.

        Args:
            prompts: Maximum number of prompt tokens of each of them.
            new_tokens: Maximum number of tokens that follow a prompt.
        """
        ...

    def step(
        self,
        kept: Tensor,
        tokens: Tensor,
        prompts: Sequence[list[int]] = (),
        samples: Sequence[int] = (),
    ) -> Tensor:
        """Append a token to each unfinished sequence, and start new ones.

        Args:
            kept: Unfinished sequences, as rows of the last logits, int64 [kept].
            tokens: The next token of each, int64 [kept].
            prompts: Token ids of each prompt that starts, at least one per prompt. If `joins` is
                false, none while sequences are unfinished.
            samples: Number of sequences that continue each of them; it is computed once.

        Returns:
            Logits of each sequence's next token [kept + sum of samples, vocabulary]: those kept,
            then each prompt's. Valid until the next call.
        """
        ...

    def finish(self) -> None:
        """Free what was reserved."""
        ...
