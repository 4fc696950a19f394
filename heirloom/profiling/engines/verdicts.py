"""Read a judge's verdict, A or B, from its reply."""

import re
from typing import Literal

from heirloom.generate.reasoning import split

_MARKUP = r"\s\"'`*_#(\[“‘"  # noqa: RUF001
_VERDICT = re.compile(
    rf"""[{_MARKUP}]*         # quotes, brackets and emphasis around the verdict
    (?:<answer>\s*)?
    (?:(?i:the\ better\ answer\ is|answer)[{_MARKUP}:]*)*
    (?:\$?\\boxed\{{(?:\\text\{{)?)?
    ([AB])
    (?:[)\]"'`*_}}$”’]*)
    (?:\s*$|[ \t]*\n|[.:]|</answer>)
    """,  # noqa: RUF001
    re.VERBOSE,
)
_LETTER = re.compile(r"(?<![\w'’-])([AB])(?![\w'’-])")  # noqa: RUF001
_DENIAL = re.compile(r"\W*(?:not?|wrong|incorrect|false|worse)\b", re.IGNORECASE)
# The letter at the end of a line, unless another answer is compared with it.
_CONCLUSION = re.compile(
    r"^(?!.*\b(?:than|over|to|with|and|or|beats|from)\b\W*(?:the\s+)?(?:answer\W+)?[AB]\W*$)"
    r".*?(?<![\w'])(?-i:([AB]))\W*$",
    re.IGNORECASE,
)


def parse_reply(text: str, a: str = "", b: str = "") -> Literal["A", "B"] | None:
    """Return the letter that a reply names first, alone or after "The better answer is".

    Reasoning before the reply is left out. Strict, because a guess would count as a judgement: the
    letter has to be a capital one; nothing but a line break, a full stop or a colon may follow it
    and the marks around it; and the reply must not repeat the answers, deny the letter or name the
    other one as its verdict too.

    Args:
        text: The reply.
        a: The answer that was shown as A.
        b: The answer that was shown as B.

    Example:
        >>> parse_reply("**B**"), parse_reply("Answer A."), parse_reply("A good question")
        ('B', 'A', None)
        >>> parse_reply("<think>B is longer.</think> A"), parse_reply("Answer: **A** is wrong, B")
        ('A', None)
    """
    reply = split(text).answer
    found = _VERDICT.match(reply)
    if found is None:
        return None
    letter: Literal["A", "B"] = "A" if found[1] == "A" else "B"
    line, _, below = reply[found.end(1) :].partition("\n")
    if {*_LETTER.findall(line)} - {letter} or _repeats(line, a if letter == "A" else b):
        return None
    if _DENIAL.match(line) or any(_concludes(other, letter) for other in below.splitlines()):
        return None
    return letter


def _concludes(line: str, letter: str) -> bool:
    """Tell if a line begins or ends with another verdict than the letter."""
    named = _VERDICT.match(line) or _CONCLUSION.search(line)
    return named is not None and named[1] != letter


def _repeats(line: str, answer: str) -> bool:
    """Tell if what follows a letter is the beginning of the answer that it stands for."""
    words, shown = (re.findall(r"\w+", text.casefold()) for text in (line, answer))
    n = min(len(words), len(shown), 4)
    return n > 0 and words[:n] == shown[:n]
