"""Sentences of a text: by rule in English, by ICU in other languages.

Every function takes time in proportion to the length of its text, whatever the text.
"""

import re
from itertools import pairwise

# The next line continues a sentence only if it starts in lower case and is no list item.
_ITEM = re.compile(r"(?:[-*+\u2022]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+")
_TOKEN = re.compile(r"\S+")
_MARKS = ".!?\u2026"
_CLOSERS = "\"'\u201d\u2019)]*_"
_OPENERS = "\"'\u201c\u2018([*_"

# Written with a point inside a sentence: always, before a figure, and unless a capital follows.
_NEVER_LAST = re.compile(
    r"mr|mrs|ms|dr|prof|st|rev|hon|gen|col|maj|capt|lt|sgt|gov|sen|rep|pres|mt|ft|messrs"
    r"|e\.g|i\.e|vs|cf|viz|approx|ca"
)
_BEFORE_FIGURE = re.compile(r"nos?|figs?|eq|vols?|ch|sec|art|pp?")
_SELDOM_LAST = re.compile(r"etc|al|inc|ltd|co|corp|jr|sr|dept|est|min|max|a\.?m|p\.?m")
_ACRONYM = re.compile(r"(?:[A-Z][a-z]?\.)+[A-Z]|[A-HJ-Z]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def english_spans(text: str) -> list[str]:
    """Split an English text at the ends of its sentences; see `readability.sentences`."""
    spans = []
    for line in _joined_lines(text):
        marker = _ITEM.match(line)
        first = marker.end() if marker else 0
        start = 0
        tokens = [(found.start(), found[0]) for found in _TOKEN.finditer(line)]
        before = ""
        for (position, token), (_, following) in pairwise(tokens):
            if position >= first and _ends_sentence(before, token, following):
                spans.append(line[start : position + len(token)])
                start = position + len(token)
            before = token
        spans.append(line[start:])
    return spans


def icu_spans(text: str, language: str) -> list[str]:
    """Split a text in any language at the ends of its sentences, as ICU finds them."""
    from icu4py.breakers import SentenceBreaker  # loads 40 MB, which most studies never need

    return list(SentenceBreaker(_SURROGATE.sub("\ufffd", text), language))


def _joined_lines(text: str) -> list[str]:
    joined: list[list[str]] = []
    open_line = False
    for raw in text.splitlines():
        line = raw.strip()
        if open_line and line[:1].islower() and not _ITEM.match(line):
            joined[-1].append(line)
        elif line:
            joined.append([line])
        open_line = bool(line)
    return [" ".join(lines) for lines in joined]


def _ends_sentence(before: str, token: str, following: str) -> bool:
    """Return True if a sentence ends after a token, which white space surrounds."""
    closed = token.rstrip(_CLOSERS)
    word = closed.rstrip(_MARKS)
    marks = closed[len(word) :]
    if not marks:
        return False
    following = following.lstrip(_OPENERS)[:1]
    if following.islower() and (
        len(closed) < len(token) or marks == "\u2026" or marks.startswith("..")
    ):
        return False
    if marks != ".":
        return True
    word = (word or before).lstrip(_OPENERS)
    if _ACRONYM.fullmatch(word) or _NEVER_LAST.fullmatch(word.lower()):
        return False
    if _BEFORE_FIGURE.fullmatch(word.lower()):
        return not following.isdigit()
    if _SELDOM_LAST.fullmatch(word.lower()):
        return following.isupper()
    return True
