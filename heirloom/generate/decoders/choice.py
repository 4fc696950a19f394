"""The fastest decoder of transformers that computes what a model's plain forward pass does."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heirloom.generate.decoders import Decoder
from heirloom.generate.decoders.single import SingleDecoder
from heirloom.generate.decoders.transformers import TransformersDecoder
from heirloom.generate.shortcuts import holds, plain_logits, short_texts


def fitting_decoder(network: Any, pad_token: int) -> tuple[Decoder, str | None]:
    """Return the decoder, and a note for readers where it is not the fastest one.

    Args:
        network: A causal language model of transformers.
        pad_token: Any token.
    """
    ways: list[tuple[Callable[[], Decoder], str | None]] = [
        (lambda: TransformersDecoder(network, pad_token), None),
        (
            lambda: TransformersDecoder(network, pad_token, own_cache=True),
            "generated with transformers' own cache",
        ),
        (
            lambda: SingleDecoder(network, cached=True),
            "generated one sequence at a time: padded batches change its predictions",
        ),
    ]
    texts = short_texts(network)
    exact = _rows([plain_logits(network, text) for text in texts])
    if not torch.isfinite(exact).all():  # nothing can be compared, and nothing is right
        return ways[0][0](), None
    for make, note in ways:
        if holds(lambda make=make: _logits(make(), texts, network.device), exact):  # type: ignore[misc]
            return make(), note
    return SingleDecoder(network, cached=False), (
        "generated one sequence at a time and without a cache: both change its predictions"
    )


def _rows(logits: list[Tensor]) -> Tensor:
    """Return those rows of the logits of two texts that `_logits` computes."""
    first, second = logits
    return torch.stack([first[-3], first[-3], second[-3], first[-2], second[-2], second[-1]])


@torch.inference_mode()
def _logits(decoder: Decoder, texts: list[list[int]], device: torch.device) -> Tensor:
    """Let a decoder begin two texts together, one of them twice, and append two tokens.

    One of the two alike is dropped half way, and then the other.
    """
    first, second = texts
    none = torch.arange(0, device=device)
    decoder.reserve([len(first), len(first), len(second)], 3)
    found = [decoder.step(none, none, [first[:-2], second[:-2]], [2, 1]).clone()]
    for kept, tokens in (([0, 2], [first[-2], second[-2]]), ([1], [second[-1]])):
        rows, new = (torch.tensor(numbers, device=device) for numbers in (kept, tokens))
        found.append(decoder.step(rows, new).clone())
    decoder.finish()
    return torch.cat(found)
