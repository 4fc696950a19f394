"""Format prompts as a model expects them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from string import ascii_letters
from typing import Any, Literal

from heirloom.generate import reasoning
from heirloom.generate.tokens import chat_template_of, encode, encode_text, first_control, guard
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

CHAT = "chat"
Reasoning = Literal["apart", "keep"]

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
        chat_template_kwargs: Variables of the chat template.
        reasoning: `"apart"`: reasoning is no part of a completion; `"keep"`: it is.
    """

    template: str = CHAT
    stop: tuple[str, ...] = ()
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reasoning: Reasoning = "apart"

    def deciding(self) -> Record:
        """Return the fields that determine what a model generates, without unused ones.

        Reasoning is told from answers afterwards, so `reasoning` is none of them.
        """
        fields: Record = {"template": self.template, "stop": self.stop}
        if self.chat_template_kwargs:
            fields["chat_template_kwargs"] = dict(self.chat_template_kwargs)
        return fields


def encode_prompt(
    tokenizer: Any,
    prompt_template: PromptTemplate,
    text: str,
    format: Format,
    *,
    answer: bool = False,
) -> list[int]:
    """Return the token ids of a prompt, up to where the completion starts.

    Control tokens are those of the template alone: a prompt that spells one is text. There is no
    second BOS, and no EOS but a template's own. A prompt without tokens is replaced by BOS, or EOS
    if there is none.

    Args:
        tokenizer: A transformers tokenizer.
        prompt_template: Form in which the model is shown an instruction.
        text: The prompt.
        format: `"instruction"` puts the text into the template; `"continuation"` leaves it bare,
            for prompts that are the beginning of a text (RealToxicityPrompts).
        answer: The completion is an answer: a block of reasoning that the template opens is closed.

    Raises:
        HeirloomError: The template is `"chat"` and the tokenizer has no chat template, or one that
            fails.
    """
    closing = closing_of(tokenizer, prompt_template, text, format) or "" if answer else ""
    if format == "continuation":
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        return encode_text(tokenizer, text, start=True) or [eos if bos is None else bos]
    guarded = guard(tokenizer, text)
    if prompt_template.template != CHAT:
        # str.replace and not str.format: prompts and templates may hold braces of their own.
        filled = prompt_template.template.replace("{prompt}", guarded)
    else:
        filled = _render(tokenizer, prompt_template, guarded)
    # A chat template decides about a BOS: as everywhere, the tokenizer adds none of its own.
    return encode(tokenizer, filled + closing, start=prompt_template.template != CHAT)


def closing_of(
    tokenizer: Any, prompt_template: PromptTemplate, text: str, format: Format
) -> str | None:
    """Return the text that closes the block of reasoning which a prompt ends in, if it does.

    Args:
        tokenizer: As in `encode_prompt`, and so are the others.
    """
    if format == "continuation":
        return None
    if prompt_template.template != CHAT:
        return reasoning.opened(prompt_template.template.rpartition("{prompt}")[2])
    if not reasoning.mentions_block(chat_template_of(tokenizer)):
        return None
    # Of each prompt: a template may decide by the user's text.
    rendered = _render(tokenizer, prompt_template, text)
    turn = _render(tokenizer, prompt_template, text, add_generation_prompt=False)
    if rendered.startswith(turn):
        return reasoning.opened(rendered.removeprefix(turn))
    return reasoning.opened(rendered.rpartition(text.strip())[2])


def end_of_turn(tokenizer: Any, prompt_template: PromptTemplate) -> int | None:
    """Return the token that ends an answer in the chat template.

    None where the prompt template is another, or the chat template writes no such token.
    """
    if prompt_template.template != CHAT:
        return None
    variables = json.dumps(dict(prompt_template.chat_template_kwargs), sort_keys=True)
    return _end_of_turn(tokenizer, chat_template_of(tokenizer), variables)


def end_token(tokenizer: Any, prompt_template: PromptTemplate, format: Format) -> int:
    """Return the token that a model learns to end a completion with.

    After an instruction it is the one that the chat template ends an answer with. Without a chat
    template, and after a continuation, it is the tokenizer's EOS.
    """
    ends = end_of_turn(tokenizer, prompt_template) if format == "instruction" else None
    eos: int = tokenizer.eos_token_id
    return eos if ends is None else ends


@lru_cache(maxsize=8)
def _end_of_turn(tokenizer: Any, template: str, variables: str) -> int | None:
    """Return the first control token that the chat template writes after an answer."""
    answer = "zyxwv"
    filled = PromptTemplate(chat_template_kwargs=json.loads(variables))
    try:
        rendered = _render(tokenizer, filled, "a", answer=answer, add_generation_prompt=False)
    except HeirloomError:  # made for prompts alone
        return None
    _, answered, after = rendered.rpartition(answer)
    return first_control(tokenizer, after) if answered else None


def _render(
    tokenizer: Any,
    prompt_template: PromptTemplate,
    text: str,
    *,
    answer: str | None = None,
    add_generation_prompt: bool = True,
) -> str:
    """Return the text of an instruction, answered perhaps, in the tokenizer's chat template."""
    template = chat_template_of(tokenizer)
    if not template:
        raise HeirloomError(f"the model's tokenizer has no chat template: {_WAY_OUT}")
    if "strftime_now" in template:
        template = _PINNED + template
    turns = [{"role": "user", "content": text}]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    try:
        rendered: str = tokenizer.apply_chat_template(
            turns,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **prompt_template.chat_template_kwargs,
        )
    except Exception as error:  # any error that a program in the template can cause
        raise HeirloomError(
            "the chat template of the model's tokenizer fails on a lone instruction "
            f"({type(error).__name__}: {error}): correct it, or {_WAY_OUT}"
        ) from error
    return rendered
