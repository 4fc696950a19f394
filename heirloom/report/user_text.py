"""Texts of users and models as a page, figure or card can show them."""

from typing import Any

import regex

#: Combining marks that one character may carry; scripts in use need five or six.
_MOST_MARKS = 8
# Controls (but not tabs and line breaks), all that direct text, line separators within a line,
# what no UTF-8 file can hold, and what no program may exchange.
_HIDDEN = regex.compile(
    r"(?V1)[[\p{Cc}\p{Cs}\p{Bidi_Control}\p{Noncharacter_Code_Point}\u2028\u2029\ufff9-\ufffb\ufeff"
    r"\U000e0001]--[\t\n]]"
)
_HEAP = regex.compile(rf"([\p{{M}}\u200c\u200d]{{{_MOST_MARKS}}})([\p{{M}}\u200c\u200d]+)")
_UNIT = regex.compile(r"\[U\+[0-9A-F]{4,6}\]|\X")
_LONGEST_UNIT = 200


def visible(text: str) -> str:
    """Return a text whose invisible characters are shown and not obeyed.

    Controls such as NUL and ESC, characters that direct the text after them (U+202E turns it
    round) and lone surrogates become their code in brackets: [U+202E]. Of more than 8 combining
    marks on one character, which would cover the lines above, 8 are left, with the number of the
    others.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\r\n", "\n"))
    short: str = _HEAP.sub(lambda heap: f"{heap[1]}[{len(heap[2]):,} more marks]", text)
    return short


def shown(value: Any) -> Any:
    """Return `visible` of a text, and anything else, markup included, as it is."""
    return visible(value) if type(value) is str else value


def truncated(text: str, longest: int) -> str:
    """Return a visible text of about `longest` characters, with […] where the rest is missing.

    It ends between two characters as readers see them: no accent or part of an emoji is lost.
    """
    text = visible(text)
    if len(text) <= longest:
        return text
    start = max(0, longest - _LONGEST_UNIT)
    units = _UNIT.finditer(text, start, longest + _LONGEST_UNIT)
    across = next(unit.start() for unit in units if unit.end() > longest)
    end = across if across > start else longest
    return f"{text[:end]} [\N{HORIZONTAL ELLIPSIS}]"
