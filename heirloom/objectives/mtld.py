"""Lexical diversity: the measure of textual lexical diversity (MTLD)."""

import string
from collections.abc import Iterable

from heirloom.objectives import scorer
from heirloom.objectives.words import only_latin, words
from heirloom.support.errors import HeirloomError

# lexicalrichness 0.5.1 deletes digits and these dashes and then splits at ASCII punctuation, so
# that "well-being" is one token and "don't" two. Kept, because published values depend on it.
_DELETED = str.maketrans(dict.fromkeys(string.digits + "-\u2013\u2014"))
_CLEAN = str.maketrans(dict.fromkeys(string.punctuation, " ")) | _DELETED


def tokens(text: str) -> list[str]:
    """Split a text into the words that MTLD counts.

    Between spaces that hold no letters but Latin ones, those of lexicalrichness 0.5.1 by default;
    elsewhere those of `heirloom.objectives.words`, in small letters and, as in lexicalrichness,
    without digits and dashes.
    """
    if only_latin(text):
        return text.lower().translate(_CLEAN).split()
    found: list[str] = []
    for chunk in text.lower().split():
        if only_latin(chunk):
            found += chunk.translate(_CLEAN).split()
        else:
            lettered = words(chunk.translate(_DELETED))
            found += [word for word in lettered if any(map(str.isalpha, word))]
    return found


@scorer("mtld", label="Lexical diversity (MTLD)", unit="words", same_as="text.mtld")
def mtld(texts: list[str], *, threshold: float = 0.72, min_words: int = 0) -> list[float | None]:
    """Mean length of runs of words whose type-token ratio stays above a threshold.

    P. M. McCarthy and S. Jarvis (2010), "MTLD, vocd-D, and HD-D", Behavior Research Methods 42(2),
    https://doi.org/10.3758/BRM.42.2.381. Read word by word, a factor closes as soon as types /
    tokens <= threshold; the words left at the end count as the partial factor (1 - ratio) / (1 -
    threshold). MTLD is tokens / factors, averaged over reading forwards and backwards. Where all n
    words differ there is no factor, and MTLD is n. Time is linear in the length of the text.

    Args:
        texts: Texts to score.
        threshold: Type-token ratio that closes a factor, in (0, 1).
        min_words: Texts with fewer words have no score. MTLD is unstable under about 50 words.

    Returns:
        MTLD in words; None for a text with no words or fewer than `min_words`.

    Raises:
        HeirloomError: The threshold is out of range.

    >>> mtld(["one two three", ""])
    [3.0, None]
    """
    if not 0 < threshold < 1:
        raise HeirloomError(f"mtld: threshold must lie between 0 and 1, but is {threshold}.")
    return [_mtld(tokens(text), threshold=threshold, min_words=min_words) for text in texts]


def _mtld(tokens: list[str], *, threshold: float, min_words: int) -> float | None:
    if not tokens or len(tokens) < min_words:
        return None
    forward = _factors(tokens, threshold=threshold)
    if forward == 0:
        return float(len(tokens))
    backward = _factors(reversed(tokens), threshold=threshold)
    return (len(tokens) / forward + len(tokens) / backward) / 2


def _factors(tokens: Iterable[str], *, threshold: float) -> float:
    """Count the factors in reading order, the partial one included; 0 if all words differ."""
    factors = 0.0
    types: set[str] = set()
    n = 0
    for token in tokens:
        n += 1
        if token not in types:  # a new type only raises the ratio
            types.add(token)
        elif len(types) / n <= threshold:
            factors += 1
            types.clear()
            n = 0
    if n:
        factors += (1 - len(types) / n) / (1 - threshold)
    return factors
