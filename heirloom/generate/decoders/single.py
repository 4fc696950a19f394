"""Logits of one sequence at a time, for models that cannot compute padded batches."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heirloom.generate.shortcuts import accepted

# Names of the state that a forward pass returns and takes.
_STATES = ("past_key_values", "cache_params", "state")


@dataclass
class _Sequence:
    """The tokens of a sequence so far, and the state after them; None where there is none."""

    tokens: list[int]
    state: Any


class SingleDecoder:
    """A model as transformers computes it, without padding; see `Decoder`."""

    joins = True  # nothing is computed together
    run_ahead = 1

    def __init__(self, network: Any, *, cached: bool) -> None:
        """Take a model.

        Args:
            network: A causal language model of transformers.
            cached: Use the state that its forward pass returns. Without, each token costs a forward
                pass over all before it.
        """
        self._network = network
        named = accepted(network, **dict.fromkeys(_STATES))
        self._state = next((name for name in _STATES if name in named), None) if cached else None
        if cached and self._state is None:
            raise ValueError("its forward pass takes no state")
        self._sequences: list[_Sequence] = []

    def reserve(self, prompts: Sequence[int], new_tokens: int) -> None:
        """See `Decoder.reserve`."""
        self.finish()

    def step(
        self,
        kept: Tensor,
        tokens: Tensor,
        prompts: Sequence[list[int]] = (),
        samples: Sequence[int] = (),
    ) -> Tensor:
        """See `Decoder.step`."""
        self._sequences = [self._sequences[row] for row in kept.tolist()]
        logits = [
            self._next_logits(sequence, [token])
            for sequence, token in zip(self._sequences, tokens.tolist(), strict=True)
        ]
        for prompt, n in zip(prompts, samples, strict=True):
            first = _Sequence([], None)
            logits += [self._next_logits(first, prompt)] * n
            others = [_Sequence([*prompt], copy.deepcopy(first.state)) for _ in range(n - 1)]
            self._sequences += [first, *others]
        return torch.stack(logits)

    def finish(self) -> None:
        """See `Decoder.finish`."""
        self._sequences = []

    def _next_logits(self, sequence: _Sequence, tokens: list[int]) -> Tensor:
        """Append tokens to a sequence and return the logits after them [vocabulary]."""
        past = len(sequence.tokens) if self._state else 0
        sequence.tokens += tokens
        ids = torch.tensor([sequence.tokens[past:]], device=self._network.device)
        options: dict[str, Any] = {"use_cache": self._state is not None, "logits_to_keep": 1}
        if past and self._state:
            options[self._state] = sequence.state
            options["position_ids"] = torch.arange(past, past + ids.shape[1])[None].to(ids.device)
        output = self._network(input_ids=ids, **accepted(self._network, **options))
        if self._state:
            sequence.state = output[self._state]
        logits: Tensor = output.logits[0, -1]
        return logits
