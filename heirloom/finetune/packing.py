"""Pack several examples into one row, none of which attends to another: no padding, no mask."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from heirloom.generate.products import multiply
from heirloom.generate.shortcuts import chunk, holds, plain_logits, short_texts

Row = dict[str, list[int]]
"""`input_ids` and `labels` of one example."""

IGNORED = -100  # label of a token that carries no loss
_PACKED = "heirloom_packed"
SHORT = 512  # keys of one example; the scores of more take much memory


def pack(rows: Sequence[Row]) -> dict[str, Any]:
    """Concatenate examples to one row, as arguments of a model's `forward`.

    Their shared prefix, such as the first tokens of a chat template, is computed once, in front.

    Args:
        rows: The examples.

    Returns:
        `input_ids`, `position_ids`, as in each example alone, and `labels`, each of shape
        (1, tokens); `logits_to_keep`, the positions that predict a token with loss; `lengths`, the
        number of tokens of the shared prefix, which may be 0, and of the rest of each example.
    """
    shared = _shared(rows)
    ids, labels = rows[0]["input_ids"][:shared], [IGNORED] * shared
    positions = list(range(shared))
    for row in rows:
        ids += row["input_ids"][shared:]
        positions += range(shared, len(row["input_ids"]))
        # The token before a rest in the row is the end of another example.
        labels += [IGNORED, *row["labels"][shared + 1 :]]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([labels]),
        "logits_to_keep": torch.tensor(
            [i for i, label in enumerate(labels[1:]) if label != IGNORED], dtype=torch.long
        ),
        "lengths": (shared, *(len(row["input_ids"]) - shared for row in rows)),
        "use_cache": False,
    }


def single(rows: Sequence[Row]) -> dict[str, Any]:
    """`pack` of one example, for a model that cannot compute packed rows."""
    return {key: v for key, v in pack(rows).items() if key not in ("position_ids", "lengths")}


def _shared(rows: Sequence[Row]) -> int:
    """Length of the shared prefix of all rows, up to a token that predicts one with loss."""
    if len(rows) == 1:
        return 0
    same = takewhile(
        lambda tokens: len(set(tokens)) == 1, zip(*(row["input_ids"] for row in rows), strict=False)
    )
    silent = (
        sum(1 for _ in takewhile(lambda label: label == IGNORED, row["labels"])) for row in rows
    )
    return max(0, min(sum(1 for _ in same), *(n - 1 for n in silent)))


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: Sequence[int] | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each example of a packed row: an attention function of transformers.

    Args:
        module: The attention layer.
        query: Shape (1, heads, tokens, size).
        key: Likewise, of fewer heads perhaps.
        value: As `key`.
        attention_mask: None.
        lengths: Number of tokens per segment, as `pack` returns them; None: one example.
        sliding_window: Number of tokens that a token attends to, its own included; None: all.
        options: For `sdpa_attention_forward`, which is used on one example at a time, but for short
            ones in 16 bits on a processor.

    Returns:
        Shape (1, tokens, heads, size).
    """
    lengths = lengths or (0, query.shape[2])
    split = (torch.split(tensor, list(lengths), dim=2) for tensor in (query, key, value))
    (_, first_key, first_value), *_ = segments = list(zip(*split, strict=True))
    outputs = []
    for number, (own_query, own_key, own_value) in enumerate(segments):
        n, before = own_query.shape[2], 0
        if not n:
            continue
        if number and lengths[0]:
            before = lengths[0]
            own_key = torch.cat([first_key, own_key], dim=2)
            own_value = torch.cat([first_value, own_value], dim=2)
        mask = None  # the fastest kernels take None for causal
        short = _is_short(own_query, own_key, options)
        if short or before or (sliding_window and n > sliding_window):
            seen = torch.ones(n, before + n, dtype=torch.bool, device=query.device).tril(before)
            if sliding_window:
                seen = seen.triu(before + 1 - sliding_window)
            mask = seen[None, None]
        if short:
            output = _attend_short(own_query, own_key, own_value, seen, options.get("scaling"))
        else:
            output, _ = sdpa_attention_forward(
                module, own_query, own_key, own_value, mask, **options
            )
        outputs.append(output)
    return torch.cat(outputs, dim=1), None


def _is_short(query: Tensor, key: Tensor, options: dict[str, Any]) -> bool:
    """True where products of whole matrices are faster than torch's attention, and small."""
    return (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and key.shape[2] <= SHORT
        and not options.get("dropout")
    )


def _attend_short(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor, scaling: float | None
) -> Tensor:
    """Attention as two products around a softmax.

    Of 160 tokens in bfloat16, forward and backward take a third of the time of torch's attention,
    whose backward pass is slow on processors.

    Args:
        query: Shape (1, heads, tokens, size).
        key: Shape (1, key heads, keys, size); key heads divide heads.
        value: As `key`.
        seen: The keys that each token attends to, bool (tokens, keys).
        scaling: Factor of the scores; None: 1 / sqrt(size).

    Returns:
        Shape (1, tokens, heads, size).
    """
    _, heads, n, size = query.shape
    key_heads = key.shape[1]
    scale = size**-0.5 if scaling is None else scaling
    # The heads that share a key follow one another: one product for all of them.
    grouped = query.reshape(key_heads, -1, size)
    hidden = torch.zeros(seen.shape, dtype=query.dtype).masked_fill_(~seen, float("-inf"))
    hidden = hidden.repeat(heads // key_heads, 1)
    scores = multiply(torch.baddbmm, hidden, grouped, key[0].transpose(1, 2), alpha=scale)
    output = multiply(torch.bmm, scores.softmax(-1), value[0])
    return output.view(1, heads, n, -1).transpose(1, 2)


def use_packing(model: Any, longest: int = 0) -> bool:
    """Switch `model` to `attend` if it then computes for a packed row the same as for each example.

    Architectures that pass anything but attention from token to token (Mamba and other recurrent
    layers, convolutions), or attention of another kind, cannot be packed so. Both ways are tried on
    two short texts with a shared prefix.

    Args:
        model: A causal language model of transformers.
        longest: Number of tokens of the longest example. Attention in chunks of fewer is not what
            `attend` computes.

    Returns:
        True if it can be packed; if not, `model` is as it was.
    """
    if longest > (chunk(model) or longest):
        return False
    texts = short_texts(model)
    silent = [IGNORED] * 4
    batch = pack([{"input_ids": [*ids], "labels": [*silent, *ids[4:]]} for ids in texts])
    alone = [plain_logits(model, ids) for ids in texts]
    exact = torch.cat([alone[0], alone[1][batch["lengths"][0] :]])
    before = model.config._attn_implementation

    def compute() -> Tensor:
        model.set_attn_implementation(_PACKED)
        logits: Tensor = model(
            input_ids=batch["input_ids"].to(model.device),
            position_ids=batch["position_ids"].to(model.device),
            lengths=batch["lengths"],
            use_cache=False,
        ).logits[0]
        return logits

    with torch.no_grad():
        packs = holds(compute, exact)
    if not packs:
        model.set_attn_implementation(before)
    return packs


AttentionInterface.register(_PACKED, attend)
