"""Refusals of servers: whether the prompt or the request is at fault, and the key that mends it."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from heirloom.generate.answer import Answer, excerpt, is_filter
from heirloom.generate.settings import FIELDS, NEUTRAL, Endpoint

Fault = Literal["prompt", "field", "request"]

# Answers to a prompt: another prompt may fare better. Every other refusal concerns all of them.
_OF_PROMPTS = frozenset({400, 413, 422, 451})
_TOO_LONG = re.compile(
    r"""
    context_length_exceeded | exceed_context_size | string_above_max_length
    | context[\s_-]*(length|window|size|limit) | n_ctx | max_seq_len
    | (maximum|max)[\s_-]*(model|sequence|input|prompt)[\s_-]*(length|len|size|tokens)
    | (prompt|inputs?|requests?|messages?|conversation|sequence|text)\b[^.]{0,80}
      \b(too\s+(long|large)|longer\s+than)
    | too\s+many\s+(input\s+|prompt\s+)?tokens
    | (prompts?|inputs?`?|messages)\b[^.]{0,80}\btokens?\b[^.]{0,80}
      (\bexceed|must\s+be\s*<|\blimit\s+is)
    | must\s+have\s+less\s+than\s+\d+\s+tokens
    | (tokens?|length)\b[^.]{0,40}\bexceeds?\b | exceeds?\b[^.]{0,40}\b(tokens|context|length)\b
    | reduce\s+(the\s+length|your\s+(prompt|input))
    | tokens\s+must\s+be\s+reduced\s+in\s+order\s+to\s+run
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Rates and times, which the words of _TOO_LONG may be about.
_RATE = re.compile(
    r"per\s+(minute|min|hour|day|second)|quota|rate[\s_-]*limit|time[d\s-]*out|took|taking",
    re.IGNORECASE,
)
_NEVER = re.compile(r"must be reduced in order to run", re.IGNORECASE)
_ACCOUNT = re.compile(
    r"credit balance|billing|insufficient[\s_](quota|funds|credits?|balance)|payment", re.IGNORECASE
)


def answer_to(status: int, said: str) -> Answer | None:
    """Return the answer that a refusal is to its prompt; None if it is none for sure.

    Args:
        status: HTTP status.
        said: Body of the response.
    """
    if status == 413 or (
        _TOO_LONG.search(said) and (not _RATE.search(said) or _NEVER.search(said))
    ):
        return Answer(None, 0, "too_long", said=excerpt(said))
    if status == 451 or (status in (400, 403, 422) and is_filter(said)):
        return Answer(None, 0, "filtered", said=excerpt(said))
    return None


def fault(status: int, said: str, body: Mapping[str, Any]) -> Fault:
    """Return what a refusal finds fault with.

    Returns:
        "field" for a field of `body` that it names, "prompt" if the prompt may be the reason, and
        "request" if it would refuse any.
    """
    if status not in _OF_PROMPTS or _ACCOUNT.search(said):
        return "request"
    return "field" if status in (400, 422) and fields_named(said, body) else "prompt"


def fields_named(said: str, sent: Collection[str]) -> list[str]:
    """Return the sampling fields among those sent that a server's message names.

    A field without an underscore may be a word of a sentence, and counts in quotes, as a parameter
    or next to a complaint alone.
    """
    complaint = r"(is|are|was)?\s*(not|un|invalid|only|must|does|deprecated)"
    found, said = [], said.replace("\\", "")  # JSON within JSON
    for name in sent:
        if name in ("model", "messages", "prompt"):
            continue
        word = rf"(?<![A-Za-z_]){re.escape(name)}(?![A-Za-z_])"
        if "_" not in name:
            word = (
                rf"[\"'`]{word}[\"'`]|(parameter|field|argument|property)s?:?\s+{word}"
                rf"|{word}\s*:?\s+{complaint}|[.\[]{word}"
            )
        if re.search(word, said, re.IGNORECASE):
            found.append(name)
    return found


def neutral_fields(body: Mapping[str, Any]) -> list[str]:
    """Return the fields of a request that have the value that changes nothing."""
    return [name for name, value in NEUTRAL.items() if name in body and body[name] == value]


def hint(status: int, said: str, path: str, body: Mapping[str, Any], endpoint: Endpoint) -> str:
    """Return the advice that follows a refusal: a sentence, or "".

    Args:
        status: HTTP status.
        said: Body of the response.
        path: `"chat/completions"` or `"completions"`.
        body: The request.
        endpoint: The endpoint's settings.
    """
    if status in (401, 403):
        if endpoint.key:
            return f" Is the key in {endpoint.key} the right one?"
        return " If it wants a key, name the environment variable that holds it in `key`."
    if 300 <= status < 400:
        return " It sends clients elsewhere: put the address that it has now into `url`."
    if status == 404 and path == "completions":
        return " If it serves chat alone, set `completions: no`."
    if status in (400, 422):
        return _field_hint(said, body, endpoint)
    return ""


def _field_hint(said: str, body: Mapping[str, Any], endpoint: Endpoint) -> str:
    named = fields_named(said, body)
    own = [name for name in named if name in FIELDS]
    added = [name for name in named if name in endpoint.extra]
    limits = {"max_tokens": "openai", "max_completion_tokens": "extended"}
    for name in own:
        if name in limits and endpoint.api != limits[name]:
            return f" With `api: {limits[name]}` the limit on tokens has its other name."
    if added:
        return f" Take {', '.join(added)} out of the endpoint's `extra`."
    if own:
        text = f" Leave out what it refuses: set `omit: [{', '.join(own)}]` in the endpoint"
        open_ones = set(own) <= {"top_k", "min_p", "repetition_penalty"}
        return text + (", or `api: openai`." if open_ones else ".")
    text = " If it refuses a field of the request, name it in the endpoint's `omit`"
    if endpoint.api == "extended":
        return text + "; top_k, min_p and repetition_penalty are left out by `api: openai`."
    return text + f" (sent were {json.dumps(sorted(set(body) & set(FIELDS)))[1:-1]})."
