"""Training examples as token ids and labels."""

import logging
from typing import Any

from heirloom.finetune.packing import IGNORED
from heirloom.finetune.trainer import Row
from heirloom.generate.templates import PromptTemplate, encode_prompt
from heirloom.prompts.settings import Format
from heirloom.support.files import Record

logger = logging.getLogger(__name__)


def encode_example(
    tokenizer: Any,
    prompt_template: PromptTemplate,
    example: Record,
    format: Format,
) -> Row:
    """Token ids and labels of one training example.

    The prompt is written as it is for generation and carries no loss. The completion carries loss,
    and so does the end token after it, unless the completion was cut by a cap on its length
    (finish_reason "length"): the text does not end there, and the student should not learn that it
    does.
    """
    prompt = encode_prompt(tokenizer, prompt_template, example["prompt"], format)
    completion = tokenizer(example["completion"], add_special_tokens=False).input_ids
    if example["finish_reason"] != "length":
        completion = [*completion, tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}
