"""Log-likelihoods of texts and of answers, each shared prefix computed once.

The sequences of a group (a question's answers, a pair of sentences) are merged into a tree of
tokens; several trees fill one row, which is a forward pass. A token attends only to its
ancestors and its position is its depth, so every sequence is scored as if it stood alone. Logits
are computed only where a token is scored. A part is the rows that are saved in one file.
"""

import inspect
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heirloom.generate import model as models
from heirloom.generate.model import LanguageModel
from heirloom.support.files import Record, read_jsonl, sha256, write_jsonl
from heirloom.support.log import Progress
from heirloom.support.work_folder import claimed

if TYPE_CHECKING:  # the study file is checked without torch
    from torch import Tensor

logger = logging.getLogger(__name__)

_ROWS_PER_PART = 16  # forward passes between two saved files: what a kill can lose
_LOGITS_AT_ONCE = 64  # positions turned into float32 at once: 16 to 64 MB


@dataclass(frozen=True)
class TokenSequence:
    """Tokens to score.

    Attributes:
        tokens: Token ids.
        start: The first position that is scored, given all before it; at least 1.
    """

    tokens: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihood of a sequence's scored tokens.

    Attributes:
        total: Natural logarithm, summed over the tokens; None if they could not be scored.
        n_tokens: Number of scored tokens.
    """

    total: float | None
    n_tokens: int

    @property
    def mean(self) -> float | None:
        """Mean over the tokens: the logarithm of their geometric mean probability."""
        return None if self.total is None else self.total / self.n_tokens


def encode_option(model: LanguageModel, context: str, option: str) -> TokenSequence | None:
    """Tokenise an answer to be scored after its context, as lm-evaluation-harness does.

    White space at the end of the context moves to the option; the option's tokens are those that
    context and option together have after as many as the context has alone. An empty context is
    replaced by the tokenizer's BOS token, or its EOS token if it has none.

    Returns:
        The sequence; None if the option adds no token.
    """
    kept = context.rstrip()
    option = context[len(kept) :] + option
    if not kept:
        return encode_text(model, option)
    before = list(model.tokenizer(kept).input_ids)
    added = list(model.tokenizer(kept + option).input_ids)[len(before) :]
    return TokenSequence((*before, *added), len(before)) if added and before else None


def encode_text(
    model: LanguageModel, text: str, *, start_token: Literal["bos", "none"] = "bos"
) -> TokenSequence | None:
    """Tokenise a whole text to be scored.

    Args:
        model: The model whose tokenizer is used.
        text: The text.
        start_token: `"bos"` puts the tokenizer's BOS token in front (its EOS token if it has none),
            so that every token of the text is scored; with `"none"` the first one is not.

    Returns:
        The sequence; None if there is no token to score.
    """
    tokens = list(model.tokenizer(text, add_special_tokens=False).input_ids)
    if start_token == "bos":
        bos = model.tokenizer.bos_token_id
        tokens.insert(0, model.tokenizer.eos_token_id if bos is None else bos)
    return TokenSequence(tuple(tokens), 1) if len(tokens) > 1 else None


def score(
    model: LanguageModel,
    groups: Sequence[Sequence[TokenSequence | None]],
    *,
    work: Path,
    batch_tokens: int | None = None,
) -> list[list[Likelihood]]:
    """Score groups of sequences; a killed call resumes if called again with the same `work`.

    Args:
        model: The model.
        groups: Sequences that share prefixes belong into one group. None is a sequence that could
            not be made.
        work: Folder for finished parts. One that belongs to another call is emptied first.
        batch_tokens: Tokens per row; a group of more is a row of its own. By default 256 on a CPU,
            where more only costs attention, and 2048 on a GPU.

    Returns:
        One likelihood per sequence, in the order given. Its total is None where the sequence is
        None or exceeds the model's context, or where the model's logits are not finite; the log
        counts those.
    """
    batch_tokens = batch_tokens or (256 if model.device.type == "cpu" else 2048)
    limit = model.context_length
    fitting = {
        index: [s for s in group if s is not None and len(s.tokens) <= limit]
        for index, group in enumerate(groups)
    }
    fitting = {index: sequences for index, sequences in fitting.items() if sequences}
    parts = list(_parts(model, fitting, batch_tokens))

    found: dict[tuple[int, TokenSequence], float | None] = {}
    progress = Progress(total=len(fitting), unit="examples")
    with claimed(work, _identity(model, fitting, batch_tokens)):
        for number, part in enumerate(parts):
            file = work / f"part-{number:05d}.jsonl"
            if not file.exists():
                write_jsonl(file, [r for row in part for r in _score_row(model, row, fitting)])
            records = read_jsonl(file)
            for record in records:
                sequence = fitting[record["group"]][record["sequence"]]
                found[record["group"], sequence] = record["total"]
            progress.update(len({record["group"] for record in records}))
    results = [
        [_likelihood(s, found.get((index, s)) if s else None) for s in group]
        for index, group in enumerate(groups)
    ]
    lost = sum(likelihood.total is None for group in results for likelihood in group)
    if lost:
        logger.warning(
            "%d of %d texts could not be scored: they have no token, exceed the context of %s, %s "
            "tokens, or its logits are not finite.",
            *(lost, sum(map(len, results)), model.name, limit),
        )
    return results


def _likelihood(sequence: TokenSequence | None, total: float | None) -> Likelihood:
    if sequence is None:
        return Likelihood(None, 0)
    return Likelihood(total, len(sequence.tokens) - sequence.start)


def _identity(
    model: LanguageModel, groups: dict[int, list[TokenSequence]], batch_tokens: int
) -> dict[str, Any]:
    """Everything that determines the scores: code, model and sequences."""
    return {
        "code": [sha256(str(module)) for module in (__file__, models.__file__)],
        "model": str(model.network.name_or_path),
        "adapter": model.adapter_sha256,
        "dtype": str(model.network.dtype),
        "batch_tokens": batch_tokens,
        "groups": {
            index: [[s.start, *s.tokens] for s in sequences] for index, sequences in groups.items()
        },
    }


# One row of a forward pass: (group, numbers of its sequences) merged into trees.
_Row = list[tuple[int, list[int]]]


def _parts(
    model: LanguageModel, groups: dict[int, list[TokenSequence]], batch_tokens: int
) -> Iterator[list[_Row]]:
    """Yield the rows that are computed and saved together."""
    if _attends_freely(model):
        rows = _fill({i: (_size(s), list(range(len(s)))) for i, s in groups.items()}, batch_tokens)
    else:
        rows = [[(index, [k])] for index, s in groups.items() for k in range(len(s))]
    for start in range(0, len(rows), _ROWS_PER_PART):
        yield rows[start : start + _ROWS_PER_PART]


def _attends_freely(model: LanguageModel) -> bool:
    """True if the model takes any attention mask and any positions, as trees of tokens need."""
    takes_positions = "position_ids" in inspect.signature(model.network.forward).parameters
    attention = getattr(model.network.config, "_attn_implementation", None)
    return takes_positions and attention in ("sdpa", "eager")


def _fill(groups: dict[int, tuple[int, list[int]]], capacity: int) -> list[_Row]:
    """Put groups, largest first, each into the first row that has room for it."""
    rows: list[_Row] = []
    room: list[int] = []
    first = 0  # rows before this one are all but full
    for index, (size, members) in sorted(groups.items(), key=lambda g: (-g[1][0], g[0])):
        chosen = next((r for r in range(first, len(rows)) if room[r] >= size), None)
        if chosen is None:
            chosen = len(rows)
            rows.append([])
            room.append(capacity)
        rows[chosen].append((index, members))
        room[chosen] -= size
        while first < len(rows) and room[first] < 4:
            first += 1
    return rows


def _size(sequences: list[TokenSequence]) -> int:
    """Number of tokens that have to be computed for the sequences: those of their tree."""
    return len({s.tokens[:end] for s in sequences for end in range(1, len(s.tokens))})


@dataclass
class _Forest:
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


def _plant(sequences: list[tuple[int, TokenSequence]]) -> _Forest:
    """Merge sequences, given with the number of their group, into one tree per group."""
    forest = _Forest([], [], [], [])
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


def _score_row(
    model: LanguageModel, row: _Row, groups: dict[int, list[TokenSequence]]
) -> list[Record]:
    """Score one row: one record per sequence, {group, sequence, total}."""
    import torch

    members = [(index, number) for index, numbers in row for number in numbers]
    forest = _plant([(index, groups[index][number]) for index, number in members])
    predicting = sorted({node for _, node, _ in forest.targets})
    place = {node: position for position, node in enumerate(predicting)}
    with torch.inference_mode():
        output = model.network(
            input_ids=torch.tensor([forest.tokens], device=model.device),
            use_cache=False,
            logits_to_keep=torch.tensor(predicting, device=model.device),
            **(_tree_attention(model, forest) if _attends_freely(model) else {}),
        )
        positions = torch.tensor([place[n] for _, n, _ in forest.targets], device=model.device)
        tokens = torch.tensor([token for _, _, token in forest.targets], device=model.device)
        scores = _log_probabilities(output.logits[0], positions, tokens).tolist()
    totals = [0.0] * len(members)
    for (number, _, _), log_probability in zip(forest.targets, scores, strict=True):
        totals[number] += log_probability
    return [
        {"group": index, "sequence": number, "total": total if _finite(total) else None}
        for (index, number), total in zip(members, totals, strict=True)
    ]


def _tree_attention(model: LanguageModel, forest: _Forest) -> dict[str, Any]:
    """Attention mask and positions that keep every sequence by itself."""
    import torch

    n = len(forest.tokens)
    config = model.network.config
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


def _log_probabilities(logits: "Tensor", positions: "Tensor", tokens: "Tensor") -> "Tensor":
    """Log-probability of each token at its position of `logits` [positions, vocabulary]."""
    import torch

    normalisers = torch.cat(
        [some.float().logsumexp(-1) for some in torch.split(logits, _LOGITS_AT_ONCE)]
    )
    return logits[positions, tokens].float() - normalisers[positions]


def _finite(number: float) -> bool:
    return number - number == 0
