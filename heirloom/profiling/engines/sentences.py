"""Log-likelihoods of whole sentences, as CrowS-Pairs and StereoSet compare them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from heirloom.generate.model import LanguageModel
from heirloom.generate.tokens import start_tokens
from heirloom.profiling.engines import likelihood
from heirloom.profiling.engines.likelihood import Likelihood
from heirloom.profiling.engines.trees import TokenSequence

Score = Annotated[
    Literal["mean", "sum"],
    Field(
        description="Score of a sentence: the mean or the sum of the log-likelihoods of its "
        "tokens. lm-evaluation-harness uses the sum."
    ),
]
StartToken = Annotated[
    Literal["bos", "none", "separate", "counted"],
    Field(
        description="`bos`: the BOS token (EOS if the tokenizer has none) precedes each sentence. "
        "`none`: nothing precedes it, so its first token is not scored. `separate`: "
        "BOS precedes only the first token, and the others are scored without it, as "
        "in StereoSet's evaluation. `counted`: as `separate`, and a BOS that the tokenizer itself "
        "adds (Llama's and Mixtral's do) is read with the sentence and counted as one more of its "
        "tokens, as in the paper's toolkit."
    ),
]


def score_sentences(
    model: LanguageModel,
    groups: Sequence[Sequence[str]],
    start_token: StartToken,
    *,
    work: Path,
) -> list[list[Likelihood]]:
    """Score whole sentences.

    Args:
        model: The model.
        groups: Sentences; a prefix that those of a group share is computed once.
        start_token: Token before a sentence, see the option of that name.
        work: Folder for finished parts; see `heirloom.profiling.engines.likelihood.score`.

    Returns:
        One likelihood per sentence; its total is None where the model cannot score it.
    """
    sequences = [[_sequences(model, text, start_token) for text in group] for group in groups]
    flat = [[sequence for text in group for sequence in text] for group in sequences]
    joined = []
    for group, found in zip(sequences, likelihood.score(model, flat, work=work), strict=True):
        following = iter(found)
        joined.append([_join([next(following) for _ in text]) for text in group])
    return joined


def _sequences(
    model: LanguageModel, text: str, start_token: StartToken
) -> list[TokenSequence | None]:
    """The sequences whose likelihoods add up to that of a sentence."""
    if start_token in ("bos", "none"):
        return [likelihood.encode_text(model, text, start_token=start_token)]
    whole = likelihood.encode_text(model, text)
    if whole is None:  # no token
        return [None]
    bos, *tokens = whole.tokens
    if start_token == "counted":
        tokens = [*start_tokens(model.tokenizer), *tokens]
    first = TokenSequence((bos, tokens[0]), 1)
    return [first, TokenSequence(tuple(tokens), 1)] if len(tokens) > 1 else [first]


def _join(found: Sequence[Likelihood]) -> Likelihood:
    """Likelihood of several sequences together."""
    totals = [one.total for one in found if one.total is not None]
    total = sum(totals) if len(totals) == len(found) else None
    return Likelihood(total, sum(one.n_tokens for one in found))


def sentence_score(found: Likelihood, score: Score) -> float | None:
    """Return the mean or the sum of the tokens' log-likelihoods; None if there is none."""
    return found.mean if score == "mean" else found.total
