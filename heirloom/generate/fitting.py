"""Tell the prompts that fit a model's context from those that do not."""

import logging
from collections.abc import Sequence

from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Completion, Prompt, Request

logger = logging.getLogger(__name__)


def encode_fitting(
    model: LanguageModel, prompts: Sequence[Prompt], request: Request, *, shard: int
) -> tuple[dict[str, list[int]], list[Completion]]:
    """Encode the prompts that fit the model's context together with a completion.

    Args:
        model: The model.
        prompts: Prompts with distinct ids.
        request: Number of samples, format and length of the completions.
        shard: Number of the shard: the first one answers for the prompts that do not fit.

    Returns:
        Token ids by prompt id, in the order given; and of this shard the completions of prompts
        that do not fit, which have no text. These are logged.
    """
    encoded = {p.id: model.encode_prompt(p.text, request.format) for p in prompts}
    room = model.context_length - request.max_new_tokens
    fitting = {i: tokens for i, tokens in encoded.items() if len(tokens) <= room}
    too_long = [] if shard else [i for i in encoded if i not in fitting]
    for prompt_id in too_long:
        logger.warning(
            "prompt %s is left out: its %d tokens and %d new ones exceed the context of %s, %s "
            "tokens. Lower max_new_tokens or drop the prompt.",
            *(prompt_id, len(encoded[prompt_id]), request.max_new_tokens),
            *(model.name, model.context_length),
        )
    samples = range(request.samples)
    return fitting, [
        Completion(i, sample, None, 0, "too_long") for i in too_long for sample in samples
    ]
