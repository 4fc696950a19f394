"""Format prompts as a model expects them."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from string import ascii_letters
from typing import Any

from heirloom.generate.tokens import chat_template_of, encode, encode_text, first_control, guard
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError

CHAT = "chat"

#: The day that it is for a chat template that asks: a prompt is the same on every day. It is the
#: one that Llama 3's template names where it cannot ask.
TODAY = datetime(2024, 7, 26)
# Templates ask by this function, which is replaced: transformers passes no function to a template.
# Without %s, which depends on the machine's time zone. The line break is one that Jinja drops.
_DIRECTIVES = [
    f"%{dash}{letter}" for dash in ("-", "") for letter in ascii_letters.replace("s", "")
]
_PINNED = "{% macro strftime_now(format) %}{{ format"
_PINNED += "".join(f" | replace({d!r}, {TODAY.strftime(d)!r})" for d in _DIRECTIVES)
_PINNED += " }}{% endmacro %}\n"
_WAY_OUT = (
    "give the model a `template:` with {prompt} in it (for example "
    '"### Question: {prompt}\\n### Answer: ") and `stop:` texts.'
)


@dataclass(frozen=True)
class PromptTemplate:
    """Prompt template: the form in which instructions are shown to a model.

    Attributes:
        template: `"chat"` for the tokenizer's chat template, else a text with `{prompt}` in it.
        stop: Strings that end a completion, which is truncated where the first of them begins.
    """

    template: str = CHAT
    stop: tuple[str, ...] = ()


def encode_prompt(
    tokenizer: Any, prompt_template: PromptTemplate, text: str, format: Format
) -> list[int]:
    """Return the token ids of a prompt, up to where the completion starts.

    Control tokens are those of the template alone: a prompt that spells one is text. There is one
    BOS if the tokenizer or the template writes any, and no EOS but a template's own. A prompt
    without tokens is replaced by BOS, or EOS if there is none.

    Args:
        tokenizer: A transformers tokenizer.
        prompt_template: Form in which the model is shown an instruction.
        text: The prompt.
        format: `"instruction"` puts the text into the template; `"continuation"` leaves it bare,
            for prompts that are the beginning of a text (RealToxicityPrompts).

    Raises:
        HeirloomError: The template is `"chat"` and the tokenizer has no chat template, or one that
            fails.
    """
    if format == "continuation":
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        return encode_text(tokenizer, text, start=True) or [eos if bos is None else bos]
    guarded = guard(tokenizer, text)
    if prompt_template.template != CHAT:
        # str.replace and not str.format: prompts and templates may hold braces of their own.
        filled = prompt_template.template.replace("{prompt}", guarded)
    else:
        turns = [{"role": "user", "content": guarded}]
        filled = _render(tokenizer, turns, add_generation_prompt=True)
    return encode(tokenizer, filled, start=True)


def end_of_turn(tokenizer: Any, prompt_template: PromptTemplate) -> int | None:
    """Return the token that ends an answer in the chat template.

    None where the prompt template is another, or the chat template writes no such token.
    """
    if prompt_template.template != CHAT:
        return None
    return _end_of_turn(tokenizer, chat_template_of(tokenizer))


def end_token(tokenizer: Any, prompt_template: PromptTemplate, format: Format) -> int:
    """Return the token that a model learns to end a completion with.

    After an instruction it is the one that the chat template ends an answer with. Without a chat
    template, and after a continuation, it is the tokenizer's EOS.
    """
    ends = end_of_turn(tokenizer, prompt_template) if format == "instruction" else None
    eos: int = tokenizer.eos_token_id
    return eos if ends is None else ends


@lru_cache(maxsize=8)
def _end_of_turn(tokenizer: Any, template: str) -> int | None:
    """Return the first control token that the chat template writes after an answer."""
    answer = "zyxwv"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}]
    try:
        rendered = _render(tokenizer, turns, add_generation_prompt=False)
    except HeirloomError:  # made for prompts alone
        return None
    _, answered, after = rendered.rpartition(answer)
    return first_control(tokenizer, after) if answered else None


def _render(tokenizer: Any, turns: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
    """Render turns by the tokenizer's chat template."""
    template = chat_template_of(tokenizer)
    if not template:
        raise HeirloomError(f"the model's tokenizer has no chat template: {_WAY_OUT}")
    if "strftime_now" in template:
        template = _PINNED + template
    try:
        rendered: str = tokenizer.apply_chat_template(
            turns,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
    except Exception as error:  # any error that a program in the template can cause
        raise HeirloomError(
            "the chat template of the model's tokenizer fails on a lone instruction "
            f"({type(error).__name__}: {error}): correct it, or {_WAY_OUT}"
        ) from error
    return rendered
