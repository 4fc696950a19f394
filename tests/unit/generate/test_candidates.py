"""Candidates from prompts to one file, by shards, and the answers of teachers for judges."""

from pathlib import Path

import pytest

from heirloom.fetch.notes import Note, write_note
from heirloom.generate import loop
from heirloom.generate.candidates import PromptFile, Teacher, answer, gather, generate_shard
from heirloom.generate.settings import Generate
from heirloom.generate.templates import PromptTemplate
from heirloom.support.files import Record, read_jsonl, write_jsonl

SETTINGS = Generate(k=2, batch_size=2, backend="transformers")


@pytest.fixture
def prompts(tmp_path: Path) -> PromptFile:
    records = [{"id": f"p{n}", "text": f"Name {n} colours."} for n in (7, 3, 5, 1, 9, 0)]
    write_jsonl(tmp_path / "prompts.jsonl", records)
    return PromptFile(tmp_path / "prompts.jsonl", "instruction", 8, seed=1)


@pytest.fixture
def teacher(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Teacher:
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    write_note(tmp_path / "ant.json", Note("ant", tiny_model, "0" * 64))
    return Teacher("ant", tmp_path / "ant.json", PromptTemplate(), "float32", SETTINGS)


def candidates(
    teacher: Teacher, prompts: PromptFile, folder: Path, shards: int, *, reused: list[str]
) -> list[Record]:
    files = [folder / f"{number}.jsonl" for number in range(1, shards + 1)]
    found = []
    for number, file in enumerate(files, start=1):
        found += generate_shard(teacher, prompts, file, shard=f"{number}-of-{shards}")
    assert sorted(found) == reused
    gather(files, prompts.path, folder / "all.jsonl")
    return read_jsonl(folder / "all.jsonl")


def test_shards_are_gathered_in_the_order_of_the_prompts(
    teacher: Teacher, prompts: PromptFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = candidates(teacher, prompts, tmp_path / "three", 3, reused=[])
    assert [(r["prompt_id"], r["sample"]) for r in made] == [
        (f"p{n}", sample) for n in (7, 3, 5, 1, 9, 0) for sample in (0, 1)
    ]
    # Parts are kept in the cache: another study, or another number of shards, generates nothing.
    monkeypatch.setattr(loop, "_Part", None)
    # Of 12 sequences there are 4 batches of 2 in a part.
    parts = ["part-00000.jsonl", "part-00001.jsonl"]
    assert candidates(teacher, prompts, tmp_path / "one", 1, reused=parts) == made


def test_a_teacher_answers_some_prompts(
    teacher: Teacher, prompts: PromptFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(teacher, prompts, tmp_path / "answers.jsonl", examples=2, samples=3)
    answers = read_jsonl(tmp_path / "answers.jsonl")
    assert [r["sample"] for r in answers] == [0, 1, 2, 0, 1, 2]
    assert len({r["prompt_id"] for r in answers}) == 2
    monkeypatch.setattr(loop, "_Part", None)  # nothing can be generated any more
    answer(teacher, prompts, tmp_path / "again.jsonl", examples=2, samples=3)
    assert read_jsonl(tmp_path / "again.jsonl") == answers
    with pytest.raises(TypeError):
        answer(teacher, prompts, tmp_path / "more.jsonl", examples=3, samples=3)
