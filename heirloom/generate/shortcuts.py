"""Ask a model, once, whether a shortcut computes what a plain forward pass of it does.

Shared prefixes, left padding, packing and caches of our own are right for models whose tokens meet
in attention alone. Nothing about a model tells reliably whether it is one: recurrent layers,
convolutions, attention in chunks and sinks are found by computing two short texts both ways.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from heirloom.support.errors import HeirloomError

# Largest root mean square by which the log-probabilities of a token may differ, in standard
# deviations of the logits. Rounding of SmolLM2 and Gemma 3 is 6e-6 in float32 and 0.05 in
# bfloat16; another text or another position is far above.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
_TOLERANCE_16_BITS = 0.1
_LENGTHS = (6, 11)
_LONGEST = 64  # a window or chunk of fewer tokens is exceeded by the second text


def accepted(network: Any, **arguments: Any) -> dict[str, Any]:
    """Return the arguments that the forward pass of a model names."""
    known = inspect.signature(network.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}


def chunk(network: Any) -> int | None:
    """Return the number of tokens in a chunk that attention does not leave; None without chunks."""
    config = network.config.get_text_config()
    chunked = "chunked_attention" in (getattr(config, "layer_types", None) or ())
    return (getattr(config, "attention_chunk_size", None) or None) if chunked else None


def short_texts(network: Any) -> list[list[int]]:
    """Return two texts of random tokens, which begin alike.

    None of them stands for anything but text, as the places of images do. The second is longer than
    the window or chunk of the attention, where those are small.
    """
    config = network.config.get_text_config()
    declared = {**network.config.to_dict(), **config.to_dict()}
    special = [value for key, value in declared.items() if "_token_i" in key]
    windows = [
        getattr(config, key, None) or 0
        for key in ("sliding_window", "attention_chunk_size", "attention_window_size")
    ]
    beyond = [window + 4 for window in windows if isinstance(window, int) and window]
    longest = max([_LENGTHS[1], *(n for n in beyond if n <= _LONGEST)])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(config.vocab_size, (2, 2 * longest + 16), generator=generator).tolist()
    first, second = ([token for token in row if token not in special] for row in drawn)
    return [[*second[:3], *first[: _LENGTHS[0] - 3]], second[:longest]]


@torch.inference_mode()
def plain_logits(network: Any, tokens: Sequence[int]) -> Tensor:
    """Return the logits at each token of a text, alone and without a cache [tokens, vocabulary]."""
    ids = torch.tensor([list(tokens)], device=network.device)
    logits: Tensor = network(input_ids=ids, **accepted(network, use_cache=False)).logits[0]
    return logits


def alike(found: Tensor, exact: Tensor) -> bool:
    """Tell if logits are the same but for rounding in their number format [rows, vocabulary]."""
    if found.shape != exact.shape:
        return False
    tolerance = _TOLERANCE.get(exact.dtype, _TOLERANCE_16_BITS)
    found, exact = found.float(), exact.float()
    difference = found.log_softmax(-1) - exact.log_softmax(-1)
    return bool(difference.square().mean(-1).sqrt().max() <= tolerance * exact.std())


def holds(compute: Callable[[], Tensor], exact: Tensor) -> bool:
    """Tell if a shortcut computes these logits [rows, vocabulary].

    Args:
        compute: The shortcut. An error of any kind, which an architecture raises that knows nothing
            of what it is given, means that it does not.
        exact: Of plain forward passes.
    """
    try:
        return alike(compute(), exact)
    except Exception:
        return False


def require_causal(network: Any, name: str) -> None:
    """Refuse a model that does not predict each token from those before it.

    Args:
        network: A model of transformers, in evaluation mode.
        name: Its name, for the message.

    Raises:
        HeirloomError: Its forward pass fails on a text, its logits have another shape, or they
            depend on later tokens, as in models that fill gaps.
    """
    _, text = short_texts(network)
    other = [*text[:-1], text[0]]
    try:
        logits, changed = (plain_logits(network, tokens) for tokens in (text, other))
    except Exception as error:  # each architecture raises its own
        words = " ".join(str(error).split())[:300]
        raise HeirloomError(
            f"model {name!r} ({type(network).__name__}) computes no predictions from text alone: "
            f"{type(error).__name__}: {words}. Use a causal language model."
        ) from error
    if logits.ndim != 2 or len(logits) != len(text):
        raise HeirloomError(
            f"model {name!r} ({type(network).__name__}) returns logits of shape "
            f"{list(logits.shape)} for {len(text)} tokens. Use a causal language model."
        )
    finite = torch.isfinite(logits).all()  # else its scores are null, which is counted
    if finite and not alike(changed[:-1], logits[:-1]):
        raise HeirloomError(
            f"model {name!r} ({type(network).__name__}) is no causal language model: its "
            "predictions depend on later tokens. Use one that predicts each token from those "
            "before it (an encoder may need is_decoder: true in its config.json)."
        )
