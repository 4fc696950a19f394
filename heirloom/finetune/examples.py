"""Training examples as token ids and labels."""

from typing import Any

from heirloom.finetune.packing import IGNORED, Row
from heirloom.generate.reasoning import without_opener
from heirloom.generate.templates import PromptTemplate, closing_of, encode_prompt
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
    and so does the end token after it, unless the completion was truncated at a limit on its length
    (finish_reason "length"): the text does not end there, and the student should not be trained to
    end it.

    A block of reasoning that the prompt's template opens is closed before an answer, so that none
    is trained inside it. A completion that keeps its reasoning continues the block.
    """
    text = example["completion"]
    closing = closing_of(tokenizer, prompt_template, example["prompt"], format)
    reasons = closing is not None and without_opener(text) != text
    prompt = encode_prompt(
        tokenizer, prompt_template, example["prompt"], format, answer=not reasons
    )
    if reasons:
        text = without_opener(text)
    completion = tokenizer(text, add_special_tokens=False).input_ids
    if example["finish_reason"] != "length":
        completion = [*completion, tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}
