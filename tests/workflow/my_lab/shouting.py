"""An objective: capital letters."""

from heirloom.objectives import scorer


@scorer("shouting", label="Shouting", unit="share of letters")
def shouting(texts: list[str]) -> list[float | None]:
    """Share of letters that are capitals; null without letters."""
    scores: list[float | None] = []
    for text in texts:
        letters = [letter for letter in text if letter.isalpha()]
        capitals = sum(letter.isupper() for letter in letters)
        scores.append(capitals / len(letters) if letters else None)
    return scores
