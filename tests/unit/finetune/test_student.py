"""A student that was trained before is not trained again."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from heirloom.fetch.notes import Note, write_note
from heirloom.finetune.settings import Finetune, Run
from heirloom.finetune.student import Student, finetune_student
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_jsonl
from heirloom.support.result_store import ResultStore

FILES = ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]


def student(root: Path, model: Path, *, completion: str = "A wren.", code: str = "a") -> Student:
    """A student in a folder of its own, on one example, with a note on its base."""
    root.mkdir(parents=True)
    write_note(root / "base.json", Note("base", model, "123"))
    example = {"prompt": "Which bird?", "completion": completion, "finish_reason": "stop"}
    write_jsonl(root / "train.jsonl", [example])
    (root / "code.py").write_text(code)
    run = Run(Finetune(epochs=1, lora_rank=2), seed=1, dtype="float32")
    files = root / "students" / root.name / "manifest.json", root / "base.json"
    template = {"template": "chat", "stop": ()}
    return Student(*files, template, root / "train.jsonl", "instruction", run, [root / "code.py"])


def test_equal_inputs_are_trained_once(tiny_model: Path, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "store")
    first = student(tmp_path / "one", tiny_model)
    assert not finetune_student(first, work=tmp_path / "work", store=store)

    # The same base elsewhere, without its weights: nothing can be trained there.
    empty = tmp_path / "moved"
    empty.mkdir()
    second = student(tmp_path / "two", empty)
    assert finetune_student(second, work=tmp_path / "work", store=store)
    made, again = first.manifest.parent, second.manifest.parent
    assert sorted(path.name for path in again.iterdir()) == FILES
    weights = "adapter_model.safetensors"
    assert (again / weights).read_bytes() == (made / weights).read_bytes()
    assert read_json(again / "manifest.json") == {
        **read_json(made / "manifest.json"),
        "student": "two",
    }
    # PEFT's own layout, which names the base.
    settings = (made / "adapter_config.json").read_text()
    moved = settings.replace(json.dumps(str(tiny_model)), json.dumps(str(empty)))
    assert (again / "adapter_config.json").read_text() == moved != settings

    changed = [
        student(tmp_path / "text", empty, completion="A robin."),
        student(tmp_path / "code", empty, code="b"),
        replace(second, run=replace(second.run, seed=2)),
        replace(second, template={"template": "{prompt}", "stop": ()}),
        replace(second, format="continuation"),
    ]
    for other in changed:
        assert store.find(other.identity()) is None
    with pytest.raises((HeirloomError, OSError, ValueError)):  # it would have to be trained
        finetune_student(changed[0], work=tmp_path / "work", store=store)


def test_looking_a_student_up_imports_nothing_heavy() -> None:
    looked_up = (
        "import sys, heirloom.finetune.student, heirloom.fetch.cache, heirloom.profiling.known, "
        "heirloom.profiling.run, heirloom.objectives.scoring;"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", looked_up], check=True)
