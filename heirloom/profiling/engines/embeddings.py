"""Embeddings of texts: means of a model's last hidden states."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from heirloom.generate.model import LanguageModel
from heirloom.statistics.resampling import Array
from heirloom.support.log import Progress

logger = logging.getLogger(__name__)


def embed(
    model: LanguageModel,
    texts: Iterable[str],
    *,
    special_tokens: bool = False,
    batch_tokens: int = 2048,
) -> dict[str, Array | None]:
    """Embed every distinct text once: mean of the last hidden states, scaled to length 1.

    The hidden states are those after the final norm, which the output layer sees. Texts of one
    number of tokens form a batch, so nothing is ever padded.

    Args:
        model: The model.
        texts: Texts to embed as they are, without a prompt template.
        special_tokens: If True, the tokens that the tokenizer adds enter the mean.
        batch_tokens: Most tokens of a forward pass, but one text at least.

    Returns:
        Text to embedding, float64 [hidden size]. None, and counted in the log, for a text without a
        token of its own, longer than the model's context or with a hidden state that is not finite.
    """
    embeddings: dict[str, Array | None] = dict.fromkeys(texts)
    kept: dict[str, list[bool]] = {}  # True for positions that enter the mean
    tokens: dict[str, list[int]] = {}
    by_length: dict[int, list[str]] = defaultdict(list)
    for text in embeddings:
        encoded = model.tokenizer(text, return_special_tokens_mask=True)
        tokens[text] = list(encoded["input_ids"])
        kept[text] = [special_tokens or not added for added in encoded["special_tokens_mask"]]
        if any(kept[text]) and len(tokens[text]) <= model.context_length:
            by_length[len(tokens[text])].append(text)

    progress = Progress(total=sum(map(len, by_length.values())), unit="texts")
    for length, members in sorted(by_length.items(), reverse=True):
        size = max(1, batch_tokens // length)
        for start in range(0, len(members), size):
            batch = members[start : start + size]
            means = _mean_states(model, [tokens[t] for t in batch], [kept[t] for t in batch])
            for text, mean in zip(batch, means, strict=True):
                norm = float(np.linalg.norm(mean))
                embeddings[text] = mean / norm if math.isfinite(norm) and norm > 0 else None
            progress.update(len(batch))
    lost = [text for text, embedding in embeddings.items() if embedding is None]
    if lost:
        logger.warning(
            "%d of %d texts have no embedding, the first is %r: they have no token, exceed the "
            "context of %s, %s tokens, or its hidden states are not finite.",
            *(len(lost), len(embeddings), lost[0], model.name, model.context_length),
        )
    return embeddings


def _mean_states(model: LanguageModel, tokens: list[list[int]], kept: list[list[bool]]) -> Array:
    """Means of the last hidden states at the positions kept: [texts, hidden size]."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor(tokens, device=model.device)
        states = model.network.base_model(input_ids=ids, use_cache=False).last_hidden_state.float()
        keep = torch.tensor(kept, device=model.device)[:, :, None]
        means = states.masked_fill(~keep, 0.0).sum(dim=1) / keep.sum(dim=1)
        return np.asarray(means.double().cpu().numpy(), dtype=np.float64)
