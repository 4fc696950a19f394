"""The definition of a word, shared by scorers, judges and profiles."""

import unicodedata
from itertools import chain

import regex

# Scripts written without spaces, whose words ICU finds by dictionary. The single characters belong
# to two of them or to none in the Unicode database, such as the long vowel of kana.
_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u3006\u3031-\u3035\u3099\u309a\u303c\u30fc\uff70\uff9e\uff9f"
)
# A run of characters begins with a letter or digit. Combining marks (vowel signs, points, accents)
# continue it, and so do invisible characters inside it: joiners, soft hyphens, marks of direction.
_BEGIN = rf"[[\p{{L}}\p{{N}}]--[{_UNSPACED}]]"
_RUN = rf"{_BEGIN}(?:[{_BEGIN}\p{{M}}]|[\p{{WB=Format}}\u200c\u200d]+(?=[{_BEGIN}\p{{M}}]))*+"
_UNSPACED_RUN = rf"[[\p{{L}}\p{{N}}]&&[{_UNSPACED}]](?:[[\p{{L}}\p{{N}}]&&[{_UNSPACED}]]|\p{{M}})*+"
# Signs that join two runs: apostrophes and hyphens, decimal signs between digits, Hebrew's geresh
# and gershayim (also as quotation marks), the point in Catalan's "col\u00b7lecció". Not the
# underscore, Markdown's emphasis.
_JOIN = (
    r"(?:['\u2019\-\u2010\u2011]|(?<=\d)[.,\u066b\u066c](?=\d)"
    r"|(?<=\p{Hebrew})[\"\u05f3\u05f4](?=\p{Hebrew})|(?<=[Ll])\u00b7(?=[Ll]))"
)

_WORD = regex.compile(rf"(?V1){_RUN}(?:{_JOIN}{_RUN})*+|{_UNSPACED_RUN}")
_HAS_UNSPACED = regex.compile(rf"(?V1)[[\p{{L}}\p{{N}}]&&[{_UNSPACED}]]")
_NOT_LATIN = regex.compile(r"(?V1)[\p{L}--[\p{Latin}\p{Common}\p{Inherited}]]")


def words(text: str | None) -> list[str]:
    """Split a text into words, in order and in their own case; None has none.

    A word is a maximal run of letters and digits, each with its combining marks, with apostrophes,
    hyphens and decimal signs inside it: "don't", "well-being", "1,000.5" and "2nd" are one word
    each, "and/or" is two, "e.g." is two, a dash or an emoji is none.

    In scripts that are written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) a run is split
    by ICU's word segmentation (Unicode Standard Annex 29), which finds words in dictionaries.
    Tibetan counts syllables, because a point stands between them. Scripts that have neither spaces
    nor a dictionary (Javanese, Balinese, Tai Tham) count one word per run.
    """
    if not text:
        return []
    runs: list[str] = _WORD.findall(unicodedata.normalize("NFC", text))
    if not _has_unspaced(text):
        return runs
    split = [_segments(run) if _HAS_UNSPACED.match(run) else [run] for run in runs]
    return list(chain.from_iterable(split))


def chunks(text: str) -> list[str]:
    """Split a text at white space, and into words where its script is written without spaces."""
    split = [words(chunk) if _has_unspaced(chunk) else [chunk] for chunk in text.split()]
    return list(chain.from_iterable(split))


def only_latin(text: str) -> bool:
    """Return True if no letter of a text is of another script than the Latin one."""
    return text.isascii() or not _NOT_LATIN.search(text)


def _has_unspaced(text: str) -> bool:
    return not text.isascii() and _HAS_UNSPACED.search(text) is not None


def _segments(run: str) -> list[str]:
    from icu4py.breakers import WordBreaker  # loads 40 MB, which most studies never need

    return list(WordBreaker(run, "root"))
