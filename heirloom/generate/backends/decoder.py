"""What computes the next token's logits while `heirloom.generate.loop` chooses the tokens."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from torch import Tensor

Backend = Literal["auto", "transformers", "openvino", "vllm"]
Weights = Literal["model", "int8"]


class Decoder(Protocol):
    """Computes logits for some sequences at a time.

    Attributes:
        identity: What decides the numbers beside the model: back end, weights and versions.
        joins: Whether a prompt can begin while other sequences go on.
    """

    identity: Mapping[str, str]
    joins: bool

    def reserve(self, prompts: Sequence[int], new_tokens: int) -> None:
        """Begin anew, with memory for as many sequences as will go on at once.

        Args:
            prompts: How many tokens the prompt of each of them may have.
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
            kept: Which sequences go on, by their rows in the last logits, int64 [kept].
            tokens: The next token of each, int64 [kept].
            prompts: Token ids of each prompt that begins, at least one each. Where `joins` is
                false, none while sequences go on.
            samples: How many sequences continue each of them; it is computed once.

        Returns:
            Logits of each sequence's next token [kept + sum of samples, vocabulary]: those kept,
            then each prompt's. Valid until the next call.
        """
        ...

    def finish(self) -> None:
        """Free what was reserved."""
        ...
