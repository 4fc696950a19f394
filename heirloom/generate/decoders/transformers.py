"""Logits from the model as transformers runs it, its batches padded on the left."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from heirloom.generate.shortcuts import accepted

# Share of unfinished rows below which dropping the finished ones pays, because it copies the cache.
_COMPACT_AT = 0.85
# Steps that a GPU computes before it is asked for their tokens, which makes it wait. On average, a
# sequence that ends is computed for half as many in vain.
_RUN_AHEAD = 8


class TransformersDecoder:
    """A model on the device and in the number format that it was loaded in."""

    joins = False  # its batches are rectangles, padded on the left

    def __init__(self, network: Any, pad_token: int, *, own_cache: bool = False) -> None:
        """Take a model.

        Args:
            network: A causal language model of transformers.
            pad_token: Any token.
            own_cache: Use transformers' own cache, which has states of other kinds than keys and
                values, but grows by being copied.
        """
        self._network, self._pad_token, self._own_cache = network, pad_token, own_cache
        self.run_ahead = 1 if network.device.type == "cpu" else _RUN_AHEAD
        self._takes = accepted(network, position_ids=True, cache_params=True, logits_to_keep=True)
        self._cache: Cache | None = None
        # Of the batch's rows: the tokens that are seen, the last position, and the unfinished rows.
        self._mask: Tensor
        self._position: Tensor
        self._going: Tensor

    def reserve(self, prompts: Sequence[int], new_tokens: int) -> None:
        """See `Decoder.reserve`. Memory is taken when a batch begins, as much as that one needs."""
        self.finish()
        self._new_tokens = new_tokens

    def step(
        self,
        kept: Tensor,
        tokens: Tensor,
        prompts: Sequence[list[int]] = (),
        samples: Sequence[int] = (),
    ) -> Tensor:
        """See `Decoder.step`."""
        if prompts:
            return self._begin(prompts, samples)
        assert self._cache is not None, "a prompt comes first"
        self._going = self._going[kept]
        if len(self._going) <= _COMPACT_AT * len(self._mask):
            self._cache.reorder_cache(self._going)
            self._mask, self._position = self._mask[self._going], self._position[self._going]
            self._going = torch.arange(len(self._going), device=kept.device)
        self._width += 1
        self._position = self._position + 1
        ids = torch.full_like(self._position, self._pad_token)
        ids[self._going, 0] = tokens
        logits = self._next_logits(ids, self._mask[:, : self._width], self._position)
        return logits if len(self._going) == len(logits) else logits[self._going]

    def finish(self) -> None:
        """See `Decoder.finish`."""
        self._cache = None

    def _begin(self, prompts: Sequence[list[int]], samples: Sequence[int]) -> Tensor:
        """Return logits after each prompt, one row per sequence."""
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self._pad_token)
        seen = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            seen[row, width - len(prompt) :] = 1
        ids, seen = ids.to(self._network.device), seen.to(self._network.device)
        self.finish()  # first, so that there are never two caches
        capacity = width + self._new_tokens
        if self._own_cache:
            self._cache = DynamicCache(config=self._network.config)
        else:
            self._cache = _ReservedCache(capacity)
        positions = (seen.cumsum(-1) - 1).clamp(min=0)
        logits = self._next_logits(ids, seen, positions)

        # From here on a row is a sequence and no longer a prompt.
        rows = torch.arange(len(prompts)).repeat_interleave(torch.tensor(samples)).to(ids.device)
        self._cache.reorder_cache(rows)
        self._width = width
        self._mask = seen.new_ones(len(rows), capacity)
        self._mask[:, :width] = seen[rows]
        self._position = positions[rows, -1:]
        self._going = torch.arange(len(rows), device=ids.device)
        return logits[rows]

    def _next_logits(self, ids: Tensor, seen: Tensor, positions: Tensor) -> Tensor:
        """Return logits of the token after the last position [batch, vocabulary]."""
        options: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        output = self._network(
            input_ids=ids,
            attention_mask=seen,
            use_cache=True,
            **{"cache_params" if "cache_params" in self._takes else "past_key_values": self._cache},
            **{name: value for name, value in options.items() if name in self._takes},
        )
        logits: Tensor = output.logits[:, -1]
        return logits


class _ReservedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer in memory reserved up front.

    transformers' own `DynamicLayer` copies the whole cache to append one token, which is half the
    time of a decoding step on a processor.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values [batch, heads, tokens, width], and return all there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            batch, heads, _, width = key_states.shape
            self._keys = key_states.new_empty(batch, heads, self.capacity, width)
            self._values = value_states.new_empty(
                batch, heads, self.capacity, value_states.shape[-1]
            )
        start, self.length = self.length, self.length + key_states.shape[2]
        self._keys[:, :, start : self.length] = key_states
        self._values[:, :, start : self.length] = value_states
        return self._expose()

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep these rows; a row named twice is copied."""
        self._keys, self._values = self._keys[beam_idx], self._values[beam_idx]
        self._expose()

    def _expose(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = self._keys[:, :, : self.length], self._values[:, :, : self.length]
        return self.keys, self.values


class _ReservedCache(Cache):  # type: ignore[misc]
    """A key-value cache that never grows beyond `capacity` tokens."""

    def __init__(self, capacity: int) -> None:
        super().__init__(layer_class_to_replicate=lambda: _ReservedLayer(capacity))
