"""Format prompts as a model expects them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from heirloom.generate import reasoning
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

CHAT = "chat"
Reasoning = Literal["apart", "keep"]


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

    Args:
        tokenizer: A transformers tokenizer.
        prompt_template: Form in which the model is shown an instruction.
        text: The prompt.
        format: `"instruction"` puts the text into the template; `"continuation"` leaves it bare,
            for prompts that are the beginning of a text (RealToxicityPrompts).
        answer: The completion is an answer: a block of reasoning that the template opens is closed.

    Raises:
        HeirloomError: The template is `"chat"` and the tokenizer has no chat template.
    """
    closing = closing_of(tokenizer, prompt_template, text, format) or "" if answer else ""
    if format == "continuation":
        return list(tokenizer(text).input_ids)
    if prompt_template.template != CHAT:
        # str.replace and not str.format: prompts and templates may hold braces of their own.
        filled = prompt_template.template.replace("{prompt}", text)
        return list(tokenizer(filled + closing).input_ids)
    if not tokenizer.chat_template:
        raise HeirloomError(
            "the model's tokenizer has no chat template: give the model a `template:` with {prompt}"
            ' in it (for example "### Question: {prompt}\\n### Answer: ") and `stop:` texts.'
        )
    rendered = _render(tokenizer, prompt_template, text) + closing
    # A chat template writes its own BOS, so the tokenizer must not add a second one.
    return list(tokenizer(rendered, add_special_tokens=False).input_ids)


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
    if not reasoning.mentions_block(str(tokenizer.chat_template)):
        return None
    # Of each prompt: a template may decide by the user's text.
    rendered = _render(tokenizer, prompt_template, text)
    turn = _render(tokenizer, prompt_template, text, add_generation_prompt=False)
    if rendered.startswith(turn):
        return reasoning.opened(rendered.removeprefix(turn))
    return reasoning.opened(rendered.rpartition(text.strip())[2])


def _render(
    tokenizer: Any,
    prompt_template: PromptTemplate,
    text: str,
    *,
    add_generation_prompt: bool = True,
) -> str:
    """Return the text of an instruction in the tokenizer's chat template."""
    rendered: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
        **prompt_template.chat_template_kwargs,
    )
    return rendered
