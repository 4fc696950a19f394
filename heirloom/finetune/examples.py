"""Training examples as token ids and labels."""

from typing import Any

from heirloom.finetune.packing import IGNORED, Row
from heirloom.generate.reasoning import outside_marks, without_opener
from heirloom.generate.templates import PromptTemplate, closing_of, encode_prompt, end_token
from heirloom.generate.tokens import encode, guard
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

    A block of reasoning that the prompt's template opens is closed before an answer, so that none
    is trained inside it. A completion that keeps its reasoning continues the block, and the marks
    of reasoning that is kept may be control tokens.
    """
    text = example["completion"]
    closing = closing_of(tokenizer, prompt_template, example["prompt"], format)
    reasons = closing is not None and without_opener(text) != text
    prompt = encode_prompt(
        tokenizer, prompt_template, example["prompt"], format, answer=not reasons
    )
    if reasons:
        text = without_opener(text)

    def guarded(text: str) -> str:
        return guard(tokenizer, text)

    keeps = prompt_template.reasoning == "keep"
    text = outside_marks(text, guarded) if keeps else guarded(text)
    completion = encode(tokenizer, text, start=False)
    if example["finish_reason"] != "length":
        completion = [*completion, end_token(tokenizer, prompt_template, format)]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}
