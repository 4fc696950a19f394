"""Candidates of a teacher, shard by shard, and its answers for judges."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heirloom.fetch.cache import cache_path
from heirloom.generate.completions import generate, identity, open_model
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Prompt
from heirloom.generate.settings import Generate
from heirloom.generate.templates import PromptTemplate
from heirloom.prompts.settings import Format
from heirloom.support.files import (
    JsonLines,
    Record,
    read_json,
    read_jsonl,
    sha256,
    write_jsonl,
)
from heirloom.support.subset import draw
from heirloom.support.work_folder import fingerprint


@dataclass(frozen=True)
class Teacher:
    """A model that is loaded only to generate.

    Attributes:
        name: Its name in the study.
        note: Note of the fetch stage.
        template: Its prompt template.
        dtype: Number format, see `heirloom.generate.model.resolve_dtype`.
        settings: Section `generate` of the study file.
    """

    name: str
    note: Path
    template: PromptTemplate
    dtype: str
    settings: Generate

    def open(self) -> LanguageModel | RemoteModel:
        """Load it."""
        return open_model(
            self.note,
            name=self.name,
            prompt_template=self.template,
            dtype=self.dtype,
            engine=self.settings.engine,
            only_generates=True,
        )


@dataclass(frozen=True)
class PromptFile:
    """Prompts to complete.

    Attributes:
        path: File with one record {id, text} per prompt.
        format: Of the prompts.
        max_new_tokens: Maximum number of tokens per completion.
        seed: Together with prompt id and sample number it determines the completion.
    """

    path: Path
    format: Format
    max_new_tokens: int
    seed: int

    def read(self) -> list[Prompt]:
        """Read the prompts."""
        return [Prompt(**record) for record in read_jsonl(self.path)]


def generate_shard(teacher: Teacher, prompts: PromptFile, output: Path, *, shard: str) -> list[str]:
    """Sample one shard of a teacher's candidates.

    Finished parts are stored in the cache that studies share, under a key of everything that
    determines them, so that no other study or clone generates them again.

    Args:
        teacher: The teacher.
        prompts: The training prompts.
        output: File for the candidates, one record per completion.
        shard: Number of the shard and of all, from 1: `"2-of-8"`.

    Returns:
        Names of its parts that were there before.
    """
    number, shards = map(int, shard.split("-of-"))
    model, settings = teacher.open(), teacher.settings
    request = settings.request(
        samples=settings.k,
        max_new_tokens=prompts.max_new_tokens,
        seed=prompts.seed,
        format=prompts.format,
    )
    work = _parts(teacher, prompts, model, {"generation": settings.model_dump()})
    before = _times(work, number - 1, shards)
    candidates = generate(
        model, prompts.read(), request, work=work, shard=number - 1, shards=shards
    )
    write_jsonl(output, candidates)
    after = _times(work, number - 1, shards)
    return [name for name, time in before.items() if after.get(name) == time]


def _parts(
    teacher: Teacher,
    prompts: PromptFile,
    model: LanguageModel | RemoteModel,
    settings: Mapping[str, Any],
) -> Path:
    """Folder in the cache for parts with everything that determines them in its name."""
    deciding = {
        **settings,
        "max_new_tokens": prompts.max_new_tokens,
        "format": prompts.format,
        "template": teacher.template.deciding(),
        "seed": prompts.seed,
        "dtype": teacher.dtype,
    }
    name = fingerprint(
        [
            read_json(teacher.note)["sha256"],
            sha256(prompts.path),
            dict(identity(model)),
            deciding,
        ]
    )
    return cache_path("generations", name)


def _times(work: Path, shard: int, shards: int) -> dict[str, int]:
    """Parts of a shard that are finished, with their times; see `heirloom.generate.loop`."""
    parts = {path: int(path.stem.removeprefix("part-")) for path in work.glob("part-*.jsonl")}
    return {p.name: p.stat().st_mtime_ns for p, n in sorted(parts.items()) if n % shards == shard}


def gather(shards: Iterable[Path], prompts: Path, output: Path) -> None:
    """Put the shards of a teacher's candidates together, in the order of the prompts.

    Args:
        shards: Files of `generate_shard`, each in that order.
        prompts: The prompts.
        output: File for all candidates.
    """
    position = {prompt["id"]: number for number, prompt in enumerate(JsonLines(prompts))}

    def place(record: Record) -> tuple[int, int]:
        return position[record["prompt_id"]], record["sample"]

    # Merged line by line: candidates may be more than memory holds.
    write_jsonl(output, heapq.merge(*map(JsonLines, shards), key=place))


def answer(
    teacher: Teacher,
    prompts: PromptFile,
    output: Path,
    *,
    examples: int | None,
    samples: int,
) -> None:
    """Let a teacher answer the eval prompts that judges see answers to.

    Finished parts are stored in the cache, as those of candidates.

    Args:
        teacher: The teacher.
        prompts: The eval prompts.
        output: File for the answers, one record per completion.
        examples: Number of prompts to draw; None for all.
        samples: Answers per prompt.
    """
    drawn = draw(
        prompts.read(),
        examples,
        seed=prompts.seed,
        id=lambda prompt: prompt.id,
        stratum=lambda prompt: "",
        name="judge, eval prompts",
    )
    request = teacher.settings.request(
        samples=samples,
        max_new_tokens=prompts.max_new_tokens,
        seed=prompts.seed,
        format=prompts.format,
    )
    model = teacher.open()
    chosen = {"generation": teacher.settings.model_dump(exclude={"k"})}
    work = _parts(teacher, prompts, model, {**chosen, "answers": [examples, samples]})
    write_jsonl(output, generate(model, drawn, request, work=work))
