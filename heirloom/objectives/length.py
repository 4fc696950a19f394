"""Length in words."""

from heirloom.objectives import scorer
from heirloom.objectives.words import words


@scorer("length", label="Length", unit="words", same_as="text.length")
def length(texts: list[str]) -> list[float | None]:
    """Number of words; an empty text has 0, a real number.

    >>> length(["It's well-known.", ""])
    [2.0, 0.0]
    """
    return [float(len(words(text))) for text in texts]
