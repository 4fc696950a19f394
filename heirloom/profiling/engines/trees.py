"""Several token sequences as trees in one forward pass, each shared prefix computed once.

A token attends only to its ancestors and its position is its depth, so every sequence is scored as
if it stood alone, by a model in which nothing but attention passes from token to token.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heirloom.generate.model import LanguageModel

if TYPE_CHECKING:  # the study file is checked without torch
    from torch import Tensor


@dataclass(frozen=True)
class TokenSequence:
    """Tokens to score.

    Attributes:
        tokens: Token ids.
        start: The first position that is scored, given all before it; at least 1.
    """

    tokens: tuple[int, ...]
    start: int


def size(sequences: list[TokenSequence]) -> int:
    """Number of tokens that have to be computed for the sequences: those of their tree."""
    return len({s.tokens[:end] for s in sequences for end in range(1, len(s.tokens))})


@dataclass
class Forest:
    """Trees of tokens: one entry per node, parents before children.

    Attributes:
        tokens: Token ids.
        depths: Positions of the tokens.
        ancestors: The nodes that each attends to, itself included.
        targets: The tokens to score: (sequence, node that predicts, token).
    """

    tokens: list[int]
    depths: list[int]
    ancestors: list[list[int]]
    targets: list[tuple[int, int, int]]


def plant(sequences: list[tuple[int, TokenSequence]]) -> Forest:
    """Merge sequences, given with the number of their group, into one tree per group."""
    forest = Forest([], [], [], [])
    known: dict[tuple[int, int, int], int] = {}  # (group, parent, token) -> node
    for number, (group, sequence) in enumerate(sequences):
        parent = -1
        # The last token is predicted, but predicts nothing.
        for depth, token in enumerate(sequence.tokens[:-1]):
            key = (group, parent, token)
            node = known.get(key)
            if node is None:
                node = known[key] = len(forest.tokens)
                forest.tokens.append(token)
                forest.depths.append(depth)
                above = forest.ancestors[parent] if parent >= 0 else []
                forest.ancestors.append([*above, node])
            if depth + 1 >= sequence.start:
                forest.targets.append((number, node, sequence.tokens[depth + 1]))
            parent = node
    return forest


def node_logits(
    model: LanguageModel, forest: Forest, predicting: list[int], *, trees: bool
) -> "Tensor":
    """Return logits at the nodes that predict a scored token [nodes, vocabulary].

    Args:
        model: The model.
        forest: The tokens.
        predicting: The nodes.
        trees: False for a single sequence, which the model attends to in its own way.
    """
    import torch

    from heirloom.generate.shortcuts import accepted

    nodes = torch.tensor(predicting, device=model.device)
    with torch.inference_mode():
        logits: Tensor = model.network(
            input_ids=torch.tensor([forest.tokens], device=model.device),
            **accepted(model.network, use_cache=False, logits_to_keep=nodes),
            **(_tree_attention(model, forest) if trees else {}),
        ).logits[0]
    return logits if len(logits) == len(predicting) else logits[nodes]


def _tree_attention(model: LanguageModel, forest: Forest) -> dict[str, Any]:
    """Attention mask and positions that keep every sequence by itself."""
    import torch

    n = len(forest.tokens)
    config = model.network.config.get_text_config()
    nodes = torch.tensor([i for i, above in enumerate(forest.ancestors) for _ in above])
    above = torch.tensor([a for ancestors in forest.ancestors for a in ancestors])
    depths = torch.tensor(forest.depths)
    lowest = torch.finfo(model.network.dtype).min

    def mask(window: int | None) -> "Tensor":
        near = slice(None) if window is None else depths[nodes] - depths[above] < window
        weights = torch.full((1, 1, n, n), lowest, dtype=model.network.dtype)
        weights[0, 0, nodes[near], above[near]] = 0
        return weights.to(model.device)

    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    attention: Any = mask(None)
    if window and max(forest.depths) >= window and "sliding_attention" in kinds:
        attention = {kind: mask(window if kind == "sliding_attention" else None) for kind in kinds}
    return {"attention_mask": attention, "position_ids": depths[None].to(model.device)}


def trees_hold(model: LanguageModel) -> bool:
    """Tell if a model scores trees as it scores each sequence alone.

    Tried on two texts that share a prefix and a third that does not.
    """
    import torch

    from heirloom.generate.shortcuts import accepted, holds, plain_logits, short_texts

    if getattr(model.network.config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return False
    if not accepted(model.network, position_ids=None):
        return False
    first, second = short_texts(model.network)
    texts = [TokenSequence(tuple(text), 1) for text in (first, second, second[::-1])]
    forest = plant([(0, texts[0]), (0, texts[1]), (1, texts[2])])
    alone = [plain_logits(model.network, text.tokens) for text in texts]
    exact = torch.cat([logits[:-1] for logits in alone])

    def compute() -> "Tensor":
        nodes = list(range(len(forest.tokens)))
        logits = node_logits(model, forest, nodes, trees=True)
        return logits[[node for _, node, _ in forest.targets]]

    return holds(compute, exact)


def reach(model: LanguageModel) -> float:
    """Number of tokens up to which a tree's attention is the model's own, whatever its kind.

    `_tree_attention` knows windows by the kinds of layers. Chunks, and windows of all layers alike,
    are too long for a trial: texts longer than them are scored alone.
    """
    from heirloom.generate.shortcuts import chunk

    config = model.network.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        window = None
    return min(chunk(model.network) or math.inf, window or math.inf)
