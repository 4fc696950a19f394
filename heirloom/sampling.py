"""Draw the next token so that a text depends on its seed alone, not on its neighbours in a batch.

Sampling from a categorical distribution is the same as adding independent Gumbel noise to the
log-probabilities and taking the largest (the Gumbel-max trick; Maddison, Tarlow & Minka, 2014,
"A* Sampling"). Here the noise of a token is a pure function of seed, prompt id, sample number, step
and token id. It needs no generator state, so batch order, shard count and a restart cannot change
it. Tying it to the token id rather than to the token's rank also means that rounding changes a
choice only where the two best tokens nearly tie.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

# Tokens sorted at first when only top-p limits the choice; widened when they do not reach p.
_INITIAL_NUCLEUS = 256
# 2^64 / golden ratio, as int64: SplitMix64's step from one state to the next.
_GOLDEN_GAMMA = -0x61C8864680B583EB


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token.

    Attributes:
        temperature: Divides the logits. 0 takes the likeliest token (greedy) and ignores the rest.
        top_k: Choose among the k likeliest tokens; 0 means all.
        top_p: Of those, choose among the fewest whose probabilities sum to at least p
            (Holtzman et al., 2020, arXiv 1904.09751); 1 means all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


def sequence_key(seed: int, prompt_id: str, sample: int) -> int:
    """A 63-bit key for one sequence, equal on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{prompt_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser (Steele, Lea & Flood, 2014) on int64, which wraps as uint64 does."""

    def shift(x: Tensor, by: int) -> Tensor:
        # torch shifts int64 arithmetically; the mask makes it the logical shift needed here.
        return (x >> by) & ((1 << (64 - by)) - 1)

    bits = (bits ^ shift(bits, 30)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
    bits = (bits ^ shift(bits, 27)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return bits ^ shift(bits, 31)


def gumbel_noise(keys: Tensor, step: int, tokens: Tensor) -> Tensor:
    """Standard Gumbel noise as a function of sequence, step and token.

    Args:
        keys: Sequence keys, int64 [batch].
        step: Number of tokens generated before this one.
        tokens: Token ids, int64 [batch, choices].

    Returns:
        Noise, float64 [batch, choices].
    """
    position = _mix(keys + torch.full_like(keys, step) * _GOLDEN_GAMMA)
    bits = _mix(_mix(position[:, None] + tokens * _GOLDEN_GAMMA))
    # 52 bits and a half: the largest that a double holds exactly, so that it is never 0 or 1.
    uniform = (((bits >> 12) & ((1 << 52) - 1)).double() + 0.5) / (1 << 52)
    return -torch.log(-torch.log(uniform))


def choose_tokens(logits: Tensor, keys: Tensor, step: int, sampling: Sampling) -> Tensor:
    """Choose one token a sequence.

    Args:
        logits: Next-token logits, any float type [batch, vocabulary].
        keys: Sequence keys, int64 [batch]; see `sequence_key`.
        step: Number of tokens generated before this one.
        sampling: Temperature and truncation.

    Returns:
        Token ids, int64 [batch].
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    values, tokens = _truncate(logits, sampling)
    noisy = values.double() / sampling.temperature + gumbel_noise(keys, step, tokens)
    return tokens.gather(1, noisy.argmax(dim=-1, keepdim=True)).squeeze(1)


def _truncate(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Logits that top-k and top-p leave (the rest -inf) and token ids, both [batch, choices]."""
    vocabulary = logits.shape[-1]
    top_k = min(sampling.top_k or vocabulary, vocabulary)
    if sampling.top_p >= 1 and top_k == vocabulary:
        return logits.float(), torch.arange(vocabulary, device=logits.device).expand_as(logits)
    if sampling.top_p >= 1:
        values, tokens = logits.topk(top_k)
        return values.float(), tokens

    # Only the head is sorted: sorting a vocabulary of 50,000 costs more than the model itself.
    width = top_k if top_k < vocabulary else min(_INITIAL_NUCLEUS, vocabulary)
    log_total = None
    if top_k == vocabulary:
        log_total = torch.logsumexp(logits.float() / sampling.temperature, dim=-1, keepdim=True)
    while True:
        values, tokens = logits.topk(width)
        values = values.float()
        scaled = values / sampling.temperature
        normaliser = scaled.logsumexp(dim=-1, keepdim=True) if log_total is None else log_total
        probabilities = (scaled - normaliser).exp()
        cumulative = probabilities.cumsum(dim=-1)
        if width >= top_k or bool((cumulative[:, -1] >= sampling.top_p).all()):
            break
        width = min(4 * width, top_k)
    # A token stays if the mass before it is short of p, so at least one always does.
    outside = cumulative - probabilities >= sampling.top_p
    return values.masked_fill(outside, float("-inf")), tokens
