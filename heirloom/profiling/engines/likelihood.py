"""Log-likelihoods of texts and of answers, each shared prefix computed once.

The sequences of a group (a question's answers, a pair of sentences) are merged into a tree of
tokens; several trees fill one row, which is a forward pass. A token attends only to its
ancestors and its position is its depth, so every sequence is scored as if it stood alone. A model
in which anything but attention passes from token to token, or attention of another kind, is found
by a trial, and scored one sequence at a time. Logits are computed only where a token is scored. A
part is the rows that are saved in one file.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heirloom.generate import model as models
from heirloom.generate.model import LanguageModel
from heirloom.generate.tokens import encode, guard
from heirloom.profiling.engines import trees
from heirloom.profiling.engines.trees import (
    TokenSequence,
    node_logits,
    plant,
    reach,
    size,
    trees_hold,
)
from heirloom.support.files import Record, read_jsonl, sha256, write_jsonl
from heirloom.support.log import Progress
from heirloom.support.work_folder import claimed

if TYPE_CHECKING:  # the study file is checked without torch
    from torch import Tensor

logger = logging.getLogger(__name__)

_ROWS_PER_PART = 16  # forward passes between two saved files: what a kill can lose
_LOGITS_AT_ONCE = 64  # positions turned into float32 at once: 16 to 64 MB


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihood of a sequence's scored tokens.

    Attributes:
        total: Natural logarithm, summed over the tokens; None if they could not be scored.
        n_tokens: Number of scored tokens.
        greedy: True if each scored token is the most probable one at its place; None if that was
            not asked for, or they could not be scored.
    """

    total: float | None
    n_tokens: int
    greedy: bool | None = None

    @property
    def mean(self) -> float | None:
        """Mean over the tokens: the logarithm of their geometric mean probability."""
        return None if self.total is None else self.total / self.n_tokens


def encode_option(
    model: LanguageModel, context: str, option: str, *, guarded: bool = False
) -> TokenSequence | None:
    """Tokenise an answer to be scored after its context, as lm-evaluation-harness does.

    White space at the end of the context moves to the option; the option's tokens are those that
    context and option together have after as many as the context has alone. Tokens that the
    tokenizer adds at the end of a text belong to neither. An empty context is replaced by the
    tokenizer's BOS token, or its EOS token if it has none.

    Args:
        model: The model whose tokenizer is used.
        context: The context. What it spells is text, and no control token.
        option: The answer, likewise.
        guarded: The context is a template, which may write control tokens, filled with texts that
            are guarded, see `heirloom.generate.tokens.guard`.

    Returns:
        The sequence; None if the option adds no token.
    """
    kept = context.rstrip()
    option = context[len(kept) :] + option
    if not kept:
        return encode_text(model, option)
    if guarded:
        whole = kept + guard(model.tokenizer, option)
    else:
        kept, whole = guard(model.tokenizer, kept), guard(model.tokenizer, kept + option)
    before = encode(model.tokenizer, kept, start=True)
    added = encode(model.tokenizer, whole, start=True)[len(before) :]
    return TokenSequence((*before, *added), len(before)) if added and before else None


def encode_text(
    model: LanguageModel, text: str, *, start_token: Literal["bos", "none"] = "bos"
) -> TokenSequence | None:
    """Tokenise a whole text to be scored; nothing in it is a control token.

    Args:
        model: The model whose tokenizer is used.
        text: The text.
        start_token: `"bos"` puts the tokenizer's BOS token in front (its EOS token if it has none),
            so that every token of the text is scored; with `"none"` the first one is not.

    Returns:
        The sequence; None if there is no token to score.
    """
    tokens = encode(model.tokenizer, guard(model.tokenizer, text), start=False)
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
    greedy: bool = False,
) -> list[list[Likelihood]]:
    """Score groups of sequences; a killed call resumes if called again with the same `work`.

    Args:
        model: The model.
        groups: Sequences that share prefixes belong into one group. None is a sequence that could
            not be made.
        work: Folder for finished parts. One that belongs to another call is emptied first.
        batch_tokens: Tokens per row; a group of more is a row of its own. By default 256 on a CPU,
            where more only costs attention, and 2048 on a GPU.
        greedy: True to find out if a sequence is what greedy decoding would generate.

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

    found: dict[tuple[int, TokenSequence], Record] = {}
    progress = Progress(total=len(fitting), unit="examples")
    with claimed(work, {**_identity(model, fitting, batch_tokens), "greedy": greedy}):
        for number, part in enumerate(parts):
            file = work / f"part-{number:05d}.jsonl"
            if not file.exists():
                scored = [_score_row(model, row, fitting, greedy=greedy) for row in part]
                write_jsonl(file, [record for row in scored for record in row])
            records = read_jsonl(file)
            for record in records:
                sequence = fitting[record["group"]][record["sequence"]]
                found[record["group"], sequence] = record
            progress.update(len({record["group"] for record in records}))
    results = [
        [_likelihood(s, found.get((index, s), {}) if s else {}) for s in group]
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


def _likelihood(sequence: TokenSequence | None, record: Record) -> Likelihood:
    if sequence is None:
        return Likelihood(None, 0)
    n_tokens = len(sequence.tokens) - sequence.start
    return Likelihood(record.get("total"), n_tokens, record.get("greedy"))


def _identity(
    model: LanguageModel, groups: dict[int, list[TokenSequence]], batch_tokens: int
) -> dict[str, Any]:
    """Everything that determines the scores: code, model and sequences."""
    return {
        "code": [sha256(str(module)) for module in (__file__, trees.__file__, models.__file__)],
        "model": str(model.network.name_or_path),
        "adapter": model.adapter_sha256,
        "dtype": str(model.network.dtype),
        "batch_tokens": batch_tokens,
        "trees": _attends_freely(model),
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
    free = {i: s for i, s in groups.items() if _fits_trees(model, s)}
    rows = _fill({i: (size(s), list(range(len(s)))) for i, s in free.items()}, batch_tokens)
    rows += [[(i, [k])] for i, s in groups.items() if i not in free for k in range(len(s))]
    for start in range(0, len(rows), _ROWS_PER_PART):
        yield rows[start : start + _ROWS_PER_PART]


def _fits_trees(model: LanguageModel, sequences: Sequence[TokenSequence]) -> bool:
    """True if a tree of these sequences can be scored, false if each needs a row of its own."""
    return _attends_freely(model) and max(len(s.tokens) for s in sequences) <= reach(model)


def _attends_freely(model: LanguageModel) -> bool:
    """True if the model takes any attention mask and any positions, as trees of tokens need.

    It is tried once, on two texts that share a prefix and a third that does not.
    """
    holds = model.keep("trees of tokens", lambda: trees_hold(model))
    if not holds:
        model.note(
            "likelihood",
            "scored one text at a time: others in the same forward pass change its predictions",
        )
    return holds


def _fill(groups: dict[int, tuple[int, list[int]]], capacity: int) -> list[_Row]:
    """Put groups, largest first, each into the first row that has room for it."""
    rows: list[_Row] = []
    room: list[int] = []
    first = 0  # rows before this one are all but full
    for index, (needed, members) in sorted(groups.items(), key=lambda g: (-g[1][0], g[0])):
        chosen = next((r for r in range(first, len(rows)) if room[r] >= needed), None)
        if chosen is None:
            chosen = len(rows)
            rows.append([])
            room.append(capacity)
        rows[chosen].append((index, members))
        room[chosen] -= needed
        while first < len(rows) and room[first] < 4:
            first += 1
    return rows


def _score_row(
    model: LanguageModel, row: _Row, groups: dict[int, list[TokenSequence]], *, greedy: bool
) -> list[Record]:
    """Score one row: one record per sequence, {group, sequence, total}; `greedy` where asked."""
    import torch

    members = [(index, number) for index, numbers in row for number in numbers]
    forest = plant([(index, groups[index][number]) for index, number in members])
    predicting = sorted({node for _, node, _ in forest.targets})
    place = {node: position for position, node in enumerate(predicting)}
    sequences = [groups[index][number] for index, number in members]
    with torch.inference_mode():
        logits = node_logits(model, forest, predicting, trees=_fits_trees(model, sequences))
        positions = torch.tensor([place[n] for _, n, _ in forest.targets], device=model.device)
        tokens = torch.tensor([token for _, _, token in forest.targets], device=model.device)
        scores = _log_probabilities(logits, positions, tokens).tolist()
        first = (logits.argmax(-1)[positions] == tokens).tolist() if greedy else []
    totals = [0.0] * len(members)
    for (number, _, _), log_probability in zip(forest.targets, scores, strict=True):
        totals[number] += log_probability
    records = [
        {"group": index, "sequence": number, "total": total if _finite(total) else None}
        for (index, number), total in zip(members, totals, strict=True)
    ]
    missed = {
        number
        for (number, _, _), is_first in zip(forest.targets, first, strict=False)
        if not is_first
    }
    if greedy:
        for number, record in enumerate(records):
            record["greedy"] = None if record["total"] is None else number not in missed
    return records


def _log_probabilities(logits: "Tensor", positions: "Tensor", tokens: "Tensor") -> "Tensor":
    """Log-probability of each token at its position of `logits` [positions, vocabulary]."""
    import torch

    normalisers = torch.cat(
        [some.float().logsumexp(-1) for some in torch.split(logits, _LOGITS_AT_ONCE)]
    )
    return logits[positions, tokens].float() - normalisers[positions]


def _finite(number: float) -> bool:
    return number - number == 0
