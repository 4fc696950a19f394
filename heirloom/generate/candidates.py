"""Candidates of a teacher, shard by shard, and its answers for judges."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heirloom.fetch.cache import cache_path
from heirloom.generate.completions import generate, identity, open_model
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import LanguageModel
from heirloom.generate.request import Prompt
from heirloom.generate.settings import Generate
from heirloom.generate.templates import PromptTemplate
from heirloom.prompts.settings import Format
from heirloom.support.files import read_json, read_jsonl, sha256, write_jsonl
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


def generate_shard(teacher: Teacher, prompts: PromptFile, output: Path, *, shard: str) -> None:
    """Sample one shard of a teacher's candidates.

    Finished parts are stored in the cache that studies share, under a key of everything that
    determines them, so that no other study or clone generates them again.

    Args:
        teacher: The teacher.
        prompts: The training prompts.
        output: File for the candidates, one record per completion.
        shard: Number of the shard and of all, from 1: `"2-of-8"`.
    """
    number, shards = map(int, shard.split("-of-"))
    model, settings = teacher.open(), teacher.settings
    request = settings.request(
        samples=settings.k,
        max_new_tokens=prompts.max_new_tokens,
        seed=prompts.seed,
        format=prompts.format,
    )
    deciding = {
        "generation": settings.model_dump(),
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
    work = cache_path("generations", name)
    candidates = generate(
        model, prompts.read(), request, work=work, shard=number - 1, shards=shards
    )
    write_jsonl(output, candidates)


def gather(shards: Iterable[Path], prompts: Path, output: Path) -> None:
    """Put the shards of a teacher's candidates together, in the order of the prompts.

    Args:
        shards: Files of `generate_shard`.
        prompts: The prompts.
        output: File for all candidates.
    """
    position = {prompt["id"]: number for number, prompt in enumerate(read_jsonl(prompts))}
    candidates = [record for shard in shards for record in read_jsonl(shard)]
    candidates.sort(key=lambda record: (position[record["prompt_id"]], record["sample"]))
    write_jsonl(output, candidates)


def answer(
    teacher: Teacher,
    prompts: PromptFile,
    output: Path,
    *,
    examples: int | None,
    samples: int,
    work: Path,
) -> None:
    """Let a teacher answer the eval prompts that judges see answers to.

    Args:
        teacher: The teacher.
        prompts: The eval prompts.
        output: File for the answers, one record per completion.
        examples: Number of prompts to draw; None for all.
        samples: Answers per prompt.
        work: Folder for finished parts, removed at the end; an endpoint's are kept elsewhere.
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
    write_jsonl(output, generate(teacher.open(), drawn, request, work=work))
    shutil.rmtree(work, ignore_errors=True)
