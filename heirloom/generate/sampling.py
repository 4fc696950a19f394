"""Draw the next token so that a completion depends on its seed alone, not on its batch.

Sampling from a categorical distribution is the same as adding independent Gumbel noise to the
log-probabilities and taking the largest (the Gumbel-max trick; Maddison, Tarlow & Minka, 2014,
"A* Sampling"). Here the noise of a token is a pure function of seed, prompt id, sample number, step
and token id. It needs no generator state, so batch order, shard count and a restart cannot change
it. Tying it to the token id rather than to the token's rank also means that rounding changes a
choice only where the two best tokens nearly tie.
"""

import numpy as np
import torch
from torch import Tensor

from heirloom.generate.request import Sampling

# Tokens sorted at first when only top-p limits the choice; more where they do not reach p.
_INITIAL_NUCLEUS = 64
_CHUNK = 64  # neighbouring tokens of which the largest logit is looked for first
# 2^64 / golden ratio, as int64: SplitMix64's step from one state to the next.
_GOLDEN_GAMMA = -0x61C8864680B583EB


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser (Steele, Lea & Flood, 2014) on int64, which wraps as uint64 does."""

    def shift(x: Tensor, by: int) -> Tensor:
        # torch shifts int64 arithmetically; the mask makes it the logical shift needed here.
        return (x >> by) & ((1 << (64 - by)) - 1)

    bits = (bits ^ shift(bits, 30)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
    bits = (bits ^ shift(bits, 27)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return bits ^ shift(bits, 31)


def gumbel_noise(keys: Tensor, steps: Tensor, tokens: Tensor) -> Tensor:
    """Standard Gumbel noise as a function of sequence, step and token.

    Args:
        keys: Sequence keys, int64 [batch].
        steps: Number of tokens of each sequence before this one, int64 [batch].
        tokens: Token ids, int64 [batch, choices].

    Returns:
        Noise, float64 [batch, choices].
    """
    position = _mix(keys + steps * _GOLDEN_GAMMA)
    bits = _mix(_mix(position[:, None] + tokens * _GOLDEN_GAMMA))
    # 52 bits and a half: the largest that a double holds exactly, so that it is never 0 or 1.
    uniform = (((bits >> 12) & ((1 << 52) - 1)).double() + 0.5) / (1 << 52)
    return -torch.log(-torch.log(uniform))


def choose_tokens(logits: Tensor, keys: Tensor, steps: Tensor, sampling: Sampling) -> Tensor:
    """Choose one token per sequence.

    Args:
        logits: Next-token logits, any float type [batch, vocabulary].
        keys: Sequence keys, int64 [batch]; see `sequence_key`.
        steps: Number of tokens of each sequence before this one, int64 [batch].
        sampling: Temperature and truncation.

    Returns:
        Token ids, int64 [batch].
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    if sampling.top_p < 1 and not 0 < sampling.top_k < logits.shape[-1]:
        return _choose_in_nucleus(logits, keys, steps, sampling)
    if 0 < sampling.top_k < logits.shape[-1]:
        values, tokens = largest(logits, sampling.top_k)
    else:
        values = logits
        tokens = torch.arange(logits.shape[-1], device=logits.device).expand_as(logits)
    values = values.float()
    if sampling.top_p < 1:
        probabilities = (values / sampling.temperature).softmax(dim=-1)
        values = values.masked_fill(_outside(probabilities, sampling.top_p), float("-inf"))
    return _likeliest(values, tokens, keys, steps, sampling)


def largest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest logits and their tokens, as `Tensor.topk` does, at half its cost.

    The k largest lie in the k chunks of the vocabulary that have the largest maxima, and only these
    are searched. Where they are too many for that, NumPy finds them, which on processors has the
    faster way.

    Args:
        logits: Any float type [batch, vocabulary].
        k: Number of logits, at most the vocabulary.

    Returns:
        Values and token ids [batch, k], largest first.
    """
    batch, vocabulary = logits.shape
    if vocabulary % _CHUNK or k > vocabulary // _CHUNK // 2:
        if k == vocabulary or logits.device.type != "cpu" or logits.dtype != torch.float32:
            values, tokens = logits.topk(k)
            return values, tokens
        found = torch.from_numpy(np.argpartition(logits.numpy(), -k)[:, -k:])
        values, places = logits.gather(1, found).sort(descending=True)
        return values, found.gather(1, places)
    chunks = logits.reshape(batch, -1, _CHUNK)
    best = chunks.amax(-1).topk(k, sorted=False).indices
    values, places = chunks.gather(1, best[:, :, None].expand(-1, -1, _CHUNK)).flatten(1).topk(k)
    return values, best.gather(1, places // _CHUNK) * _CHUNK + places % _CHUNK


def _likeliest(
    values: Tensor, tokens: Tensor, keys: Tensor, steps: Tensor, sampling: Sampling
) -> Tensor:
    """Return the tokens with the largest sum of logit and noise; both inputs [batch, choices]."""
    noisy = values.double() / sampling.temperature + gumbel_noise(keys, steps, tokens)
    return tokens.gather(1, noisy.argmax(dim=-1, keepdim=True)).squeeze(1)


def _outside(probabilities: Tensor, top_p: float) -> Tensor:
    """Return a mask of the tokens, likeliest first, that top-p leaves out."""
    # A token stays if the mass before it is short of p, so at least one always does.
    return probabilities.cumsum(dim=-1) - probabilities >= top_p


def _choose_in_nucleus(logits: Tensor, keys: Tensor, steps: Tensor, sampling: Sampling) -> Tensor:
    """Choose among the fewest tokens of the whole vocabulary that reach p.

    Only the head is sorted, and more of it only for the sequences that need more: sorting a
    vocabulary of 50,000 costs more than the model itself.
    """
    vocabulary = logits.shape[-1]
    totals = torch.logsumexp(logits.float() / sampling.temperature, dim=-1, keepdim=True)
    chosen = torch.empty_like(keys)
    rows = torch.arange(len(logits), device=logits.device)  # those without a choice so far
    width = min(_INITIAL_NUCLEUS, vocabulary)
    while True:
        values, tokens = largest(logits[rows], width)
        values = values.float()
        probabilities = (values / sampling.temperature - totals[rows]).exp()
        reached = probabilities.sum(dim=-1) >= sampling.top_p
        if width == vocabulary:
            reached = torch.ones_like(reached)  # but for rounding
        values = values.masked_fill(_outside(probabilities, sampling.top_p), float("-inf"))
        done = rows[reached]
        chosen[done] = _likeliest(
            values[reached], tokens[reached], keys[done], steps[done], sampling
        )
        rows = rows[~reached]
        if not len(rows):
            return chosen
        width = min(8 * width, vocabulary)
