"""Pairs of answers by the study's own teachers."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from heirloom.profiling.data.preferences import drawn_number
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_jsonl, write_jsonl

logger = logging.getLogger(__name__)


def pair_answers(
    prompts: str | Path, answers: Mapping[str, str | Path], output: str | Path, *, seed: int
) -> None:
    """Write the pairs of `form_pairs`.

    Args:
        prompts: File of the eval prompts.
        answers: Teacher to the file of its answers. Prompts that no teacher was given are left out.
        output: File of the pairs.
        seed: Seed of the study.

    Raises:
        HeirloomError: No pair is left, or a file is missing.
    """
    answered = {teacher: read_jsonl(file) for teacher, file in answers.items()}
    given = {record["prompt_id"] for records in answered.values() for record in records}
    asked = [prompt for prompt in read_jsonl(prompts) if prompt["id"] in given]
    write_jsonl(output, form_pairs(asked, answered, seed=seed))


def form_pairs(
    prompts: Sequence[Record], answers: Mapping[str, Sequence[Record]], *, seed: int
) -> list[Record]:
    """Form one pair per prompt, of answers by two different teachers, or of two by the only one.

    The two teachers, and the one whose answer comes first, are drawn by a hash of `seed` and prompt
    id, so that no teacher has a place of its own. Pairs with an empty answer, or of equal ones, are
    left out, and the log counts them.

    Args:
        prompts: {id, text}.
        answers: Teacher to its completions of these prompts: {prompt_id, sample, completion}. One
            sample each, or two if there is one teacher.
        seed: Seed of the study.

    Returns:
        {id, prompt, first, second, teachers} in the order of the prompts; `id` is the prompt's and
        `teachers` are those of the first and the second answer.

    Raises:
        HeirloomError: No pair is left.
    """
    texts = {
        (teacher, record["prompt_id"], record["sample"]): (record["completion"] or "").strip()
        for teacher, records in answers.items()
        for record in records
    }
    # Sorted, so that the order of the teachers in the study file decides nothing.
    teachers = sorted(answers)
    choices = (
        [((a, 0), (b, 0)) for a in teachers for b in teachers if a != b]
        if len(teachers) > 1
        else [((teachers[0], 0), (teachers[0], 1)), ((teachers[0], 1), (teachers[0], 0))]
    )
    pairs = []
    for prompt in prompts:
        key = prompt["id"]
        chosen = choices[drawn_number(f"{seed}/judge/{key}", len(choices))]
        first, second = (texts[teacher, key, sample] for teacher, sample in chosen)
        if first and second and first != second:
            pairs.append(
                {
                    "id": key,
                    "prompt": prompt["text"],
                    "first": first,
                    "second": second,
                    "teachers": [teacher for teacher, _ in chosen],
                }
            )
    if not pairs:
        raise HeirloomError(
            "there is nothing to judge: of every pair an answer is empty, or both are the same. A "
            "pool of one teacher needs a generate.temperature above 0."
        )
    if len(pairs) < len(prompts):
        logger.warning(
            "%d of %d pairs are left out: an answer is empty, or both are the same.",
            *(len(prompts) - len(pairs), len(prompts)),
        )
    return pairs
