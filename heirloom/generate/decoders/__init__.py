"""Decoders compute the next token's logits, and `heirloom.generate.loop` chooses the tokens.

There is one that runs a model as transformers does and one that runs it converted to OpenVINO. The
loop above them is the same, so they differ by rounding alone.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Decoder(Protocol):
    """Computes logits for some sequences at a time.

    Attributes:
        joins: A prompt can begin while other sequences go on.
    """

    joins: bool

    def reserve(self, prompts: Sequence[int], new_tokens: int) -> None:
        """Begin anew, with memory for as many sequences as will go on at once.

        Args:
            prompts: Most tokens that the prompt of each of them may have.
            new_tokens: Most tokens that will follow a prompt.
        """
        ...

    def step(
        self,
        kept: Tensor,
        tokens: Tensor,
        prompts: Sequence[list[int]] = (),
        samples: Sequence[int] = (),
    ) -> Tensor:
        """Append a token to each sequence that goes on, and begin others.

        Args:
            kept: Sequences that go on, as rows of the last logits, int64 [kept].
            tokens: The next token of each, int64 [kept].
            prompts: Token ids of each prompt that begins, at least one per prompt. Where `joins` is
                false, none while sequences go on.
            samples: Number of sequences that continue each of them; it is computed once.

        Returns:
            Logits of each sequence's next token [kept + sum of samples, vocabulary]: those kept,
            then each prompt's. Valid until the next call.
        """
        ...

    def finish(self) -> None:
        """Free what was reserved."""
        ...
