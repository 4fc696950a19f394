"""Format prompts as a model expects them."""

from dataclasses import dataclass
from typing import Any

from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError

CHAT = "chat"


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

    Args:
        tokenizer: A transformers tokenizer.
        prompt_template: Form in which the model is shown an instruction.
        text: The prompt.
        format: `"instruction"` puts the text into the template; `"continuation"` leaves it bare,
            for prompts that are the beginning of a text (RealToxicityPrompts).

    Raises:
        HeirloomError: The template is `"chat"` and the tokenizer has no chat template.
    """
    if format == "continuation":
        return list(tokenizer(text).input_ids)
    if prompt_template.template != CHAT:
        # str.replace and not str.format: prompts and templates may hold braces of their own.
        return list(tokenizer(prompt_template.template.replace("{prompt}", text)).input_ids)
    if not tokenizer.chat_template:
        raise HeirloomError(
            "the model's tokenizer has no chat template: give the model a `template:` with {prompt}"
            ' in it (for example "### Question: {prompt}\\n### Answer: ") and `stop:` texts.'
        )
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    # A chat template writes its own BOS, so the tokenizer must not add a second one.
    return list(tokenizer(rendered, add_special_tokens=False).input_ids)
