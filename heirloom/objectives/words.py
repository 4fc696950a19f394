"""The definition of a word, shared by scorers and profiles."""

import re
import unicodedata

# Runs of letters and digits; inside a word one apostrophe or hyphen joins two runs, and a point or
# comma joins two digits. The underscore, which \w has, is left out: it is Markdown emphasis.
_WORD = re.compile(r"[^\W_]+(?:['\u2019\-\u2010\u2011][^\W_]+|(?<=\d)[.,]\d[^\W_]*)*")


def words(text: str) -> list[str]:
    """Split a text into words, in order and in their own case.

    A word is a maximal run of letters and digits, with apostrophes, hyphens and decimal signs
    inside it: "don't", "well-being", "1,000.5" and "2nd" are one word each, "and/or" is two,
    "e.g." is two, a dash or an emoji is none. In scripts that are written without spaces each run
    counts as one word; the metrics built on words are for languages that use spaces.
    """
    return _WORD.findall(unicodedata.normalize("NFC", text))
