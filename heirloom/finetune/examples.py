"""Training examples as token ids and labels."""

from typing import Any

from heirloom.finetune.packing import IGNORED, Row
from heirloom.generate.templates import PromptTemplate, encode_prompt, end_token
from heirloom.generate.tokens import encode_text
from heirloom.prompts.settings import Format
from heirloom.support.files import Record


def encode_example(
    tokenizer: Any,
    prompt_template: PromptTemplate,
    example: Record,
    format: Format,
) -> Row:
    """Return the token ids and labels of one training example.

    The prompt is written as it is for generation and carries no loss. The completion carries loss,
    text that spells a control token as text, and so does the end token after it (see `end_token`),
    unless the completion was truncated at a limit on its length (finish_reason "length"): the text
    does not end there, and the student should not be trained to end it.
    """
    prompt = encode_prompt(tokenizer, prompt_template, example["prompt"], format)
    completion = encode_text(tokenizer, example["completion"], start=False)
    if example["finish_reason"] != "length":
        completion = [*completion, end_token(tokenizer, prompt_template, format)]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}
