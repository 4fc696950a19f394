"""Tell the reasoning in a completion from the answer.

Reasoning models write a block of reasoning before they answer. It is recognised by the marks that
the models use, and only where a completion begins with it: a text that mentions a mark further on
is an answer. Some chat templates open the block themselves, so that a completion begins inside it
and shows its end alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from heirloom.generate.request import Completion

# <think> is the tag of DeepSeek, Qwen, GLM, Kimi K2, MiniMax, Nemotron, OLMo, Phi, SmolLM and more;
# <thought> is EXAONE's and Gemini's, <seed:think> Seed-OSS', <longcat_think> LongCat's; the others
# are common in finetuned models.
_TAG = r"(?:[a-z0-9]+[:_])?(?:think|thinking|thought|thoughts|reasoning)"
# Marks that are no tags, each with its end.
_MARKS = {
    "[THINK]": "[/THINK]",  # Mistral
    "◁think▷": "◁/think▷",  # Kimi 1.5 and VL
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A and R7B
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker, Sky-T1
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<unused94>thought": "<unused95>",  # MedGemma
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",  # gpt-oss
    "Here are my reasoning steps:\n": "[BEGIN FINAL RESPONSE]",  # Apriel
}
# Plain words, which are reasoning only if both are there: Granite 3.2's, and gpt-oss' where a
# server left the marks out and the names of the channels in.
_SPOKEN = re.compile(
    r"\s*(?:Here(?: is|'s) my thought process:(.*?)Here(?: is|'s) my response:"
    r"|analysis(?=\S)(.*?)assistantfinal)",
    re.DOTALL,
)
# Marks around the answer, after a block: Hunyuan's, Granite 3.3's, Command A's, OpenThinker's and
# Apriel's.
_AROUND_ANSWER = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("", "[END FINAL RESPONSE]"),
)
# What gpt-oss puts between the messages of a turn.
_BETWEEN = r"<\|end\|>|<\|return\|>|<\|start\|>assistant|<\|channel\|>\w+<\|message\|>"
# Marks that some tokenizers have as special tokens, which decoding would leave out.
_TOKENS = frozenset(
    [
        *(
            tag.format(name)
            for name in ("think", "thinking", "thought")
            for tag in ("<{}>", "</{}>")
        ),
        *(mark for pair in _MARKS.items() for mark in pair),
        *("<|channel|>", "<|channel>", "<unused94>"),
    ]
)
_TOKENS_BESIDE = frozenset(
    ["<|message|>", "<|start|>", "<|end|>", *(mark for pair in _AROUND_ANSWER for mark in pair)]
)


def _alternatives(*marks: str) -> str:
    return "|".join(map(re.escape, marks))


_OPENER = re.compile(rf"(?i:<{_TAG}>)|{_alternatives(*_MARKS)}")
_CLOSER = re.compile(rf"(?i:</{_TAG}>)|{_alternatives(*_MARKS.values())}")
_MARK = re.compile(rf"(?P<opens>{_OPENER.pattern})|{_CLOSER.pattern}")
_QUOTES = frozenset("`'\"‘’“”«»")  # noqa: RUF001


@dataclass(frozen=True)
class Parts:
    """A completion in two parts.

    Attributes:
        reasoning: The reasoning; None if there is none.
        answer: The answer; "" if there is none.
    """

    reasoning: str | None
    answer: str


def split(text: str, *, inside: bool = False) -> Parts:
    """Split a completion into reasoning and answer; an answer alone stays as it is.

    A block that nothing opened ends at the last mark that closes one and is not in quotation marks.
    A block that is never closed has no answer behind it.

    Args:
        text: The completion.
        inside: It begins inside a block, which the prompt has opened.

    Example:
        >>> split("<think>Sky?</think> Blue.")
        Parts(reasoning='Sky?', answer='Blue.')
        >>> split("Sky? </think> Blue.", inside=True)
        Parts(reasoning='Sky?', answer='Blue.')
        >>> split("A <think> tag opens a block.")
        Parts(reasoning=None, answer='A <think> tag opens a block.')
    """
    found: list[str] = []
    rest, opener = text, _OPENER.match(text.lstrip())
    while opener or inside:
        body = rest.lstrip()[opener.end() :] if opener else rest
        closer = _first_end(body, opener)
        if closer is None:
            return _parts([*found, body], "")
        found.append(body[: closer.start()])
        rest, inside = body[closer.end() :], False
        opener = _OPENER.match(rest.lstrip())
    if spoken := _SPOKEN.match(rest):
        found.append(spoken[1] or spoken[2])
        rest = rest[spoken.end() :]
    if end := _unopened_end(rest):
        found.append(rest[: end.start()])
        rest = rest[end.end() :]
    return _parts(found, rest) if found else Parts(None, text)


def _parts(reasoning: list[str], answer: str) -> Parts:
    """Return the parts without the marks around them."""
    cleaned = [re.sub(_BETWEEN, "", text).strip() for text in reasoning]
    answer = re.sub(rf"(?:{_BETWEEN})\s*$", "", answer).strip()
    for before, after in _AROUND_ANSWER:
        if answer.startswith(before):
            answer = answer.removeprefix(before).removesuffix(after).strip()
    return Parts("\n\n".join(filter(None, cleaned)) or None, answer)


def _end_of(opener: str) -> str:
    """Return the mark that closes what `opener` opened."""
    return _MARKS.get(opener, f"</{opener[1:]}")


def _first_end(body: str, opener: re.Match[str] | None) -> re.Match[str] | None:
    """Return the mark that closes a block: the opener's own, or any if that is not there."""
    own = re.compile(f"(?i:{re.escape(_end_of(opener[0]))})") if opener else _CLOSER
    for pattern in (own, _CLOSER):
        for mark in pattern.finditer(body):
            if not _is_quoted(mark):
                return mark
    return None


def _unopened_end(text: str) -> re.Match[str] | None:
    """Return the last mark that closes a block which is not opened in the text."""
    depth, last = 0, None
    for mark in _MARK.finditer(text):
        if _is_quoted(mark):
            continue
        if mark["opens"]:
            depth += 1
        elif depth:
            depth -= 1
        else:
            last = mark
    return last


def _is_quoted(mark: re.Match[str]) -> bool:
    """Tell if a mark is in quotation marks: a text about it."""
    text, (start, end) = mark.string, mark.span()
    return text[start - 1 : start] in _QUOTES and text[end : end + 1] in _QUOTES


def ends_inside(text: str) -> bool:
    """Tell if a completion ends a block of reasoning that it does not begin."""
    return _OPENER.match(text.lstrip()) is None and _unopened_end(text) is not None


def opened(ending: str) -> str | None:
    """Return the text that closes the block which the end of a prompt leaves open, if it does.

    Args:
        ending: The part of a prompt that its template puts behind the user's text.

    Example:
        >>> opened("<|assistant|>\\n<think>\\n"), opened("<think>\\n\\n</think>\\n\\n")
        ('\\n</think>\\n\\n', None)
    """
    last = None
    for mark in _MARK.finditer(ending):
        last = mark if mark["opens"] else None
    if last is None:
        return None
    closer = _end_of(last[0])
    if closer.endswith("<|message|>"):
        return f"<|end|><|start|>assistant{closer}"
    return ("\n" if ending.endswith("\n") else "\n\n") + f"{closer}\n\n"


def telling(special: Iterable[str]) -> frozenset[str]:
    """Return the special tokens of a completion that tell its reasoning from its answer."""
    found = frozenset(special)
    return found & (_TOKENS | _TOKENS_BESIDE) if found & _TOKENS else frozenset()


def mentions_block(template: str) -> bool:
    """Tell if a template may open a block."""
    return _OPENER.search(template) is not None


def without_opener(text: str) -> str:
    """Return a text without the mark at its beginning that opens a block, if there is one."""
    opener = _OPENER.match(text.lstrip())
    return text.lstrip()[opener.end() :].lstrip("\n") if opener else text


def of_message(message: Mapping[str, Any]) -> str | None:
    """Return the reasoning that a server gives apart from the content of a message, if any.

    It is a text in `reasoning_content` (DeepSeek, vLLM, llama.cpp) or `reasoning` (OpenRouter,
    later versions of vLLM), or parts of the type `thinking` or `reasoning` in a content that is a
    list (Mistral).
    """
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := message.get(name), str) and text.strip():
            return _writable(text)
    content = message.get("content")
    if not isinstance(content, list):
        return None
    thought = [
        text
        for part in content
        if isinstance(part, Mapping) and part.get("type") in ("thinking", "reasoning")
        for text in _texts(part.get("thinking") or part.get("reasoning") or part.get("text"))
    ]
    return _writable("".join(thought)) or None


def _writable(text: str) -> str:
    """Return a text without half surrogate pairs, which could be written into no file."""
    return text.strip().encode(errors="replace").decode()


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a part of a message, which is a text, a list of parts, or a part."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, Mapping):
        yield from _texts(value.get("text"))


def apart(completion: Completion, *, inside: bool = False) -> Completion:
    """Return a completion whose reasoning is kept apart; see `split` for `inside`.

    One that is reasoning alone has no answer.
    """
    parts = split(completion.completion or "", inside=inside)
    if parts == Parts(None, completion.completion or ""):
        return completion
    given = [text for text in (completion.reasoning, parts.reasoning) if text]
    found = replace(completion, completion=parts.answer, reasoning="\n\n".join(given) or None)
    return found if parts.answer else replace(found, completion=None, finish_reason="empty")


def together(completion: Completion, *, inside: bool = False) -> Completion:
    """Return a completion with its reasoning in front of the answer, in a block that is opened."""
    text = completion.completion
    if completion.reasoning:
        thought = f"<think>\n{completion.reasoning}\n"
        if text is None:
            # A server gives no more reason than that: the block does not end.
            return replace(completion, completion=thought, finish_reason="length", reasoning=None)
        return replace(completion, completion=f"{thought}</think>\n\n{text}", reasoning=None)
    if text is not None and inside and not _OPENER.match(text):
        return replace(completion, completion=f"<think>\n{text}")
    return completion
