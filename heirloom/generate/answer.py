"""Answers of a server, read from the JSON documents of many makes.

"OpenAI-compatible" is a family: finish reasons have several names, content may be a list of parts,
and an answer may hold no text. An answer without text is an answer, which another attempt would
not change; a document that holds no answer is a failed attempt.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from heirloom.generate.reasoning import of_message

_SHOWN = 300  # characters of what a server says in an error

#: Our finish reasons to those of servers, in lower case; "failed" is worth another attempt.
_REASONS = {
    "stop": (
        "stop eos eos_token end end_turn end_of_turn stop_sequence stop_token complete completed "
        "finished finish_reason_stop"
    ),
    "length": (
        "length max_tokens max_length max_new_tokens max_output_tokens max_completion_tokens "
        "model_length token_limit max_tokens_reached model_context_window_exceeded "
        "finish_reason_length"
    ),
    "filtered": (
        "content_filter content_filtered content-filter safety recitation blocklist "
        "prohibited_content spii guardrail_intervened sensitive moderation"
    ),
    "refused": "refusal refused",
    "failed": (
        "error abort aborted cancelled canceled network_error server_error timeout "
        "insufficient_system_resource"
    ),
}
_OURS = {name: ours for ours, names in _REASONS.items() for name in names.split()}
_FILTER_WORDS = re.compile(
    r"content[_ -]?filter|content[_ ](management[_ ])?policy|responsible ?ai|moderation|flagged"
    r"|safety|inappropriate|prohibited|data_inspection_failed|sensitive (content|words|info)"
    r"|harmful|block_?reason|violat\w+ (\w+ ){0,3}polic",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """A completion as a server gives it.

    Attributes:
        text: The text as it came; None if there is none.
        n_tokens: Tokens generated, as the server counts them; None if it does not say.
        finish_reason: As in `heirloom.generate.request.Completion`.
        served_by: Name that the server has for the model that answered.
        tokens: The tokens of the text, from a server that was asked for them and gives them.
        prompt_tokens: Tokens of the prompt, as the server counts them.
        said: The server's words where it refused.
        reasoning: The reasoning that the server gives apart from the text; None if it gives none.
    """

    text: str | None
    n_tokens: int | None
    finish_reason: str
    served_by: str | None = None
    tokens: list[int] | None = None
    prompt_tokens: int | None = None
    said: str | None = None
    reasoning: str | None = None

    @property
    def has_text(self) -> bool:
        """True if there is more than white space."""
        return bool(self.text and self.text.strip())


class FailedAttemptError(Exception):
    """Worth another attempt, at the earliest after `wait` seconds.

    Attributes:
        wait: Seconds that the server asks for.
        paid: True if the server may have answered, so that the attempt may be on the bill.
    """

    def __init__(self, reason: str, wait: float = 0.0, *, paid: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.paid = wait, paid


def read_answer(document: Any) -> tuple[Answer, str | None]:
    """Return the answer in a response of either kind of completions.

    Returns:
        The answer, and its finish reason if that is an unknown one, which is taken for "stop".

    Raises:
        FailedAttemptError: There is none in it.
    """
    try:
        choices = document["choices"]
        if not choices and is_filter(json.dumps(document)):
            return Answer(None, 0, "filtered", said=excerpt(json.dumps(document))), None
        choice = choices[0]
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        content = message["content"] if "content" in message else choice.get("text")
        usage = document.get("usage") or {}
        counts = [usage.get(name) for name in ("completion_tokens", "prompt_tokens")]
        reason = choice.get("finish_reason")
        if "text" not in choice and not isinstance(choice.get("message"), dict):
            raise KeyError("message")
    except (KeyError, IndexError, TypeError, AttributeError):
        said = excerpt(json.dumps(document))
        raise FailedAttemptError(f"its answer holds no completion: {said}", paid=True) from None
    text = text_of(content)
    n_tokens, prompt_tokens = (n if isinstance(n, int) else None for n in counts)
    ended, unknown = _reason(reason)
    if ended == "failed":
        raise FailedAttemptError(f"its answer ended for the reason {reason!r}", paid=True)
    refusal = message.get("refusal")
    if not (text and text.strip()):
        if ended not in ("filtered", "refused"):
            ended = "refused" if isinstance(refusal, str) and refusal else "empty"
        text, unknown = None, None
    elif ended in ("filtered", "refused"):
        ended = "length"  # what came before the filter stays, and counts as truncated
    served_by, tokens = str(document.get("model")), choice.get("token_ids")
    words = excerpt(refusal) if ended == "refused" and isinstance(refusal, str) else None
    reasoning = of_message(message)
    answer = Answer(text, n_tokens, ended, served_by, tokens, prompt_tokens, words, reasoning)
    return answer, unknown


def text_of(content: Any) -> str | None:
    """Return the text of an answer's content: a text, or the text parts of a list, joined.

    Parts of other kinds, such as thinking, are left out. None where there is no text.
    """
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else _text_part(part) for part in content]
        found = [part for part in parts if part is not None]
        content = "".join(found) if found else None
    elif isinstance(content, dict):
        content = _text_part(content)
    if not isinstance(content, str):
        return None
    # Half a surrogate pair, which JSON allows, could be written into no file.
    return content.encode(errors="replace").decode()


def _text_part(part: Any) -> str | None:
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return None
    text = part.get("text")
    if isinstance(text, dict):  # {"text": {"value": ...}}
        text = text.get("value")
    return text if isinstance(text, str) else None


def _reason(reason: Any) -> tuple[str, str | None]:
    """Return our finish reason, and the server's if it is unknown."""
    known = _OURS.get(reason.strip().lower()) if isinstance(reason, str) else None
    return (known, None) if known else ("stop", repr(reason))


def is_filter(said: str) -> bool:
    """Return True if a server's words tell of a content filter."""
    return _FILTER_WORDS.search(said) is not None


def excerpt(text: str) -> str:
    """Return the beginning of a server's message, on one line."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return repr(line[:_SHOWN] + (" ..." if len(line) > _SHOWN else ""))
