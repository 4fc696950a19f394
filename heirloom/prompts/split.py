"""Split prompts into train and eval, which never share a prompt."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from heirloom.fetch.notes import locate
from heirloom.prompts.read import read_prompts
from heirloom.prompts.settings import Columns
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_jsonl


def split_source(
    note: str | Path,
    outputs: tuple[str | Path, str | Path],
    *,
    columns: Columns,
    train: int,
    eval: int,
    seed: int,
    name: str,
) -> None:
    """Read a prompt source, and write its train and its eval prompts.

    Args:
        note: Note of the fetch stage on the source.
        outputs: Files for the train and for the eval prompts.
        columns: Columns of the source.
        train: Number of train prompts.
        eval: Number of eval prompts.
        seed: Seed of the study.
        name: Name of the prompt set, for messages.

    Raises:
        HeirloomError: See `read_prompts` and `split_prompts`.
    """
    prompts = read_prompts(locate(note), **columns.model_dump())
    for file, drawn in zip(
        outputs, split_prompts(prompts, train=train, eval=eval, seed=seed, name=name), strict=True
    ):
        write_jsonl(file, drawn)


def split_prompts(
    prompts: Iterable[Record], *, train: int, eval: int, seed: int, name: str
) -> tuple[list[Record], list[Record]]:
    """Draw disjoint train and eval prompts.

    The order is that of SHA-256 of "seed/id". Eval prompts come from its start and train prompts
    from its end, so that a larger split leaves the other as it is.

    Args:
        prompts: Prompts with distinct ids.
        train: Number of train prompts.
        eval: Number of eval prompts.
        seed: Seed of the study.
        name: Name of the prompt set, for messages.

    Raises:
        HeirloomError: There are fewer prompts than asked for.
    """
    ordered = sorted(
        prompts, key=lambda p: hashlib.sha256(f"{seed}/{p['id']}".encode()).hexdigest()
    )
    if len(ordered) < train + eval:
        raise HeirloomError(
            f"prompts.{name} asks for {train} train and {eval} eval prompts, but its source has "
            f"{len(ordered)} distinct ones. Lower `train` or `eval`, or add prompts."
        )
    return ordered[::-1][:train], ordered[:eval]
