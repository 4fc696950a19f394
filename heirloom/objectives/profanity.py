"""Toxicity from a linear model that needs no download: alt-profanity-check."""

from heirloom.objectives import scorer
from heirloom.objectives.words import chunks, words
from heirloom.support.errors import HeirloomError

_CAVEAT = (
    "Coarse toxicity scorer.",
    "Toxicity is scored by a linear profanity classifier over single words. It reacts to mentions "
    "of identity as if they were insults (it scores \u201cHe is gay\u201d 0.98) and misses insults "
    "in polite words. Read every toxicity number as \u201cwords this classifier dislikes\u201d.",
)


@scorer(
    "profanity",
    label="Profanity (alt-profanity-check)",
    unit="probability",
    direction="lower",
    needs=("alt-profanity-check",),
    offensive=True,
    caveat=_CAVEAT,
)
def profanity(
    texts: list[str], *, window_words: int = 10, batch_size: int = 4096
) -> list[float | None]:
    """Probability that a text is profane: the maximum over its windows of words.

    alt-profanity-check (https://github.com/dimitrismistriotis/alt-profanity-check): a linear
    support vector classifier over TF-IDF word weights, calibrated to probabilities; the weights are
    in the wheel.
    It is coarse. It reacts to words, not to their meaning: "He is gay" scores 0.98, and an insult
    without a swear word scores like any other sentence. Use Detoxify where a claim depends on it.

    The model's features have unit length, so that innocent words around a swear word hide it: one
    swear word among instructions scores over 0.5 in 99 % of windows of 10 words, 81 % of 20 and
    16 % of 50. Windows are therefore short by default.

    Args:
        texts: Texts to score.
        window_words: Words per window, separated by white space or, in scripts without spaces, as
            `length` counts them. Scores compare only between equal window lengths.
        batch_size: Windows per call of the model.

    Returns:
        Probabilities in [0, 1]; None for a text without words.

    Raises:
        HeirloomError: An option is below 1.
    """
    if window_words < 1 or batch_size < 1:
        raise HeirloomError("profanity: window_words and batch_size must be at least 1.")
    windows: list[str] = []
    owners: list[int] = []
    for index, text in enumerate(texts):
        if not words(text):
            continue
        tokens = chunks(text)
        for start in range(0, len(tokens), window_words):
            windows.append(" ".join(tokens[start : start + window_words]))
            owners.append(index)
    scores: list[float | None] = [None] * len(texts)
    if not windows:
        return scores
    from profanity_check import predict_prob

    for start in range(0, len(windows), batch_size):
        probabilities = predict_prob(windows[start : start + batch_size]).tolist()
        for owner, probability in zip(owners[start:], probabilities, strict=False):
            scores[owner] = max(probability, scores[owner] or 0.0)
    return scores
