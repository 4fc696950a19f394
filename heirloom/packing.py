"""Train on several examples in one row, none of which sees another: no padding, and no mask."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

IGNORED = -100  # label of a token that carries no loss
_PACKED = "heirloom_packed"


def pack(rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """One row of all `rows`, end to end, as arguments of a model's `forward`.

    Args:
        rows: `input_ids` and `labels` of each example.

    Returns:
        `input_ids`, `position_ids`, which start anew with every example, and `labels`, each of
        shape (1, tokens); `logits_to_keep`, the places that predict a token with loss; `lengths`,
        the tokens of each example, for `attend`.
    """
    # Nothing comes before an example's first token: what does so in the row is another's end.
    labels = [label for row in rows for label in (IGNORED, *row["labels"][1:])]
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row["input_ids"]]]),
        "position_ids": torch.tensor([[i for row in rows for i in range(len(row["input_ids"]))]]),
        "labels": torch.tensor([labels]),
        "logits_to_keep": torch.tensor(
            [i for i, label in enumerate(labels[1:]) if label != IGNORED], dtype=torch.long
        ),
        "lengths": tuple(len(row["input_ids"]) for row in rows),
        "use_cache": False,
    }


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: tuple[int, ...],
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each example of a packed row, an attention function of transformers.

    Args:
        module: The attention layer.
        query: Shape (1, heads, tokens, size); likewise `key` and `value`, of fewer heads perhaps.
        attention_mask: None.
        lengths: Tokens of each example.
        sliding_window: How many tokens back, its own included, a token sees.
        options: For `sdpa_attention_forward`, which is used on one example at a time.

    Returns:
        Shape (1, tokens, heads, size).
    """
    outputs = []
    parts = (torch.split(tensor, lengths, dim=2) for tensor in (query, key, value))
    for n, *part in zip(lengths, *parts, strict=True):
        window = None
        if sliding_window and n > sliding_window:
            band = torch.ones(n, n, dtype=torch.bool, device=query.device).tril()
            window = band.triu(1 - sliding_window)[None, None]
        outputs.append(sdpa_attention_forward(module, *part, window, **options)[0])
    return torch.cat(outputs, dim=1), None


def use_packing(network: Any) -> bool:
    """Switch `network` to `attend`, if it then computes for a packed row what it does for each.

    Architectures that carry anything but attention from token to token (Mamba and other recurrent
    layers, convolutions), or attention of another kind, cannot be packed so. Nothing about a model
    says reliably which it is, so it is asked: with two short texts of random tokens.

    Returns:
        Whether it does; if not, `network` is as it was.
    """
    generator = torch.Generator().manual_seed(0)
    texts = torch.randint(network.config.get_text_config().vocab_size, (2, 8), generator=generator)
    batch = pack([{"input_ids": ids, "labels": ids} for ids in texts.tolist()])
    before = network.config._attn_implementation
    with torch.no_grad():
        alone = network(input_ids=texts.to(network.device), use_cache=False).logits.float()
        network.set_attn_implementation(_PACKED)
        try:
            packed = network(
                input_ids=batch["input_ids"].to(network.device),
                position_ids=batch["position_ids"].to(network.device),
                lengths=batch["lengths"],
                use_cache=False,
            ).logits.float()
        # Whatever an architecture raises that knows no such arguments: it cannot be packed.
        except (TypeError, ValueError, RuntimeError, AttributeError):
            packed = torch.full_like(alone, torch.inf)
    # Rounding, in bfloat16 too, is far below; what the other text adds is far above.
    if (packed.view_as(alone) - alone).abs().max() < 0.1 * alone.std():
        return True
    network.set_attn_implementation(before)
    return False


AttentionInterface.register(_PACKED, attend)
