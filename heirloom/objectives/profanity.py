"""Toxicity from a linear model that needs no download: alt-profanity-check."""

from heirloom.objectives import scorer
from heirloom.objectives.length import words
from heirloom.support.errors import HeirloomError


@scorer("profanity", unit="probability", needs=("alt-profanity-check",))
def profanity(
    texts: list[str], *, window_words: int = 10, batch_size: int = 4096
) -> list[float | None]:
    """The probability that a text is profane, of its worst window.

    alt-profanity-check (https://github.com/dimitrismistriotis/alt-profanity-check): a linear
    support vector classifier over TF-IDF word weights, calibrated to probabilities; the weights are
    in the wheel.
    It is coarse. It knows words, not what is said with them: "He is gay" scores 0.98, and an insult
    without a swear word scores like any other sentence. Use Detoxify where a claim depends on it.

    The model's features have unit length, so that innocent words around a swear word hide it: one
    swear word among instructions scores over 0.5 in 99 % of windows of 10 words, 81 % of 20 and
    16 % of 50. Hence short windows by default.

    Args:
        texts: the texts.
        window_words: a text is cut every so many whitespace-separated words; the score is the
            maximum over the windows. Values compare only between equal window lengths.
        batch_size: windows per call of the model.

    Returns:
        Probabilities in [0, 1]; None for a text without words.

    Raises:
        HeirloomError: an option is below 1.
    """
    if window_words < 1 or batch_size < 1:
        raise HeirloomError("profanity: window_words and batch_size must be at least 1.")
    windows: list[str] = []
    owners: list[int] = []
    for index, text in enumerate(texts):
        if not words(text):
            continue
        pieces = text.split()
        for start in range(0, len(pieces), window_words):
            windows.append(" ".join(pieces[start : start + window_words]))
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
