"""Split prompts into train and eval, which never share a prompt."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from heirloom.fetch.notes import locate
from heirloom.prompts.read import near_duplicates, read_source
from heirloom.prompts.settings import Reading
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_jsonl


def write_split(
    note: str | Path,
    output: str | Path,
    *,
    reading: Reading,
    sizes: Mapping[str, int],
    seed: int,
    name: str,
) -> None:
    """Read a prompt source, and write the last of the splits that have a size.

    A job that writes the train prompts knows nothing of the eval prompts, so that another number of
    these trains no student again. The job of the eval prompts checks that both fit.

    Args:
        note: Note of the fetch stage on the source.
        output: File for the prompts.
        reading: Columns, rows and template of the prompts.
        sizes: `{"train": n}` for the train prompts, `{"train": n, "eval": m}` for the eval prompts.
        seed: Seed of the study.
        name: Name of the prompt set, for messages.

    Raises:
        HeirloomError: See `read_source` and `split_prompts`.
    """
    prompts = read_source(locate(note), reading)
    train, evaluation = split_prompts(prompts, **sizes, seed=seed, name=name)
    write_jsonl(output, evaluation if "eval" in sizes else train)


def write_near_duplicates(note: str | Path, output: str | Path, *, reading: Reading) -> None:
    """List the prompts of a source that are left out because they nearly repeat another one.

    Args:
        note: Note of the fetch stage on the source.
        output: File for the list: {id, text, like, similarity}.
        reading: Columns, rows and the least similarity.

    Raises:
        HeirloomError: See `read_source`.
    """
    write_jsonl(output, [each.record() for each in near_duplicates(locate(note), reading)])


def split_prompts(
    prompts: Iterable[Record], *, train: int, eval: int = 0, seed: int, name: str
) -> tuple[list[Record], list[Record]]:
    """Draw disjoint train and eval prompts.

    The order is that of SHA-256 of "seed/id". Eval prompts come from its start and train prompts
    from its end, so that a larger split leaves the other as it is.

    Args:
        prompts: Prompts with distinct ids.
        train: Number of train prompts; 0 where none is trained on.
        eval: Number of eval prompts; 0 where they are not looked at.
        seed: Seed of the study.
        name: Name of the prompt set, for messages.

    Raises:
        HeirloomError: There are fewer prompts than asked for.
    """
    ordered = sorted(
        prompts, key=lambda p: hashlib.sha256(f"{seed}/{p['id']}".encode()).hexdigest()
    )
    if len(ordered) < train + eval:
        sizes = {"train": train, "eval": eval}
        asked = " and ".join(f"{n} {split}" for split, n in sizes.items() if n) + " prompts"
        raise HeirloomError(
            f"prompts.{name} asks for {asked}, but its source has {len(ordered)} distinct ones. "
            "Lower `train` or `eval`, or add prompts."
        )
    return ordered[::-1][:train], ordered[:eval]
