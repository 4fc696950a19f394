"""Students written as whole models, loaded again."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from heirloom.fetch.notes import Note, write_note
from heirloom.publish.export import Student, export_student
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, sha256, write_jsonl
from heirloom.support.llama_cpp import CONVERTER, gguf_converter

PROMPTS = ["Name a colour.", "Why is the sky blue?", "Give me one tip for a long walk."]


def student(base: Path, folder: Path) -> Student:
    """A student of `base` whose adapter is small and has no weight that is zero."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weights in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.02)
    network.save_pretrained(folder / "adapter")
    write_note(folder / "base.json", Note("ant", base, "0" * 64))
    rows = [{"id": str(n), "text": text} for n, text in enumerate(PROMPTS)]
    write_jsonl(folder / "eval.jsonl", rows)
    files = folder / "base.json", {"template": "chat"}, folder / "adapter", folder / "eval.jsonl"
    return Student("cub", *files, "instruction")


def test_merged_weights_answer_as_the_adapter_does(tiny_model: Path, tmp_path: Path) -> None:
    made = student(tiny_model, tmp_path)
    manifest = tmp_path / "exports/cub/manifest.json"
    merged = manifest.parent / "merged"
    merged.mkdir(parents=True)
    (merged / "README.md").write_text("A card.", encoding="utf-8")
    export_student(made, manifest, merged=merged, gguf=None, outtype=None)

    found = read_json(manifest)
    assert found["compared"] == {"prompts": 3, "dtype": "float32", "merged": 3}
    assert found["files"] == {"merged/model.safetensors": sha256(merged / "model.safetensors")}
    # Nothing but the whole model is left, and the card of another job stays.
    assert sorted(path.name for path in manifest.parent.iterdir()) == ["manifest.json", "merged"]
    assert (merged / "README.md").read_text(encoding="utf-8") == "A card."
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    whole = AutoModelForCausalLM.from_pretrained(merged, dtype="auto")
    name = "model.layers.1.self_attn.q_proj"
    assert not torch.equal(whole.get_submodule(name).weight, base.get_submodule(name).weight)


def test_gguf_answers_nearly_as_the_adapter_does(smollm2: Path, tmp_path: Path) -> None:
    """On the real model: llama.cpp's converter knows real tokenizers alone."""
    try:
        gguf_converter()
    except HeirloomError as error:
        pytest.skip(str(error))
    manifest = tmp_path / "exports/cub/manifest.json"
    manifest.parent.mkdir(parents=True)
    files = {"merged": manifest.parent / "merged", "gguf": manifest.parent / "gguf/cub-q8_0.gguf"}
    export_student(student(smollm2, tmp_path), manifest, outtype="q8_0", **files)
    compared = read_json(manifest)["compared"]
    assert compared["merged"] == compared["prompts"] == 3
    assert compared["gguf"] is not None  # loaded again; how many are equal is stated, not promised
    # 8 bits and a scale of 16 per 32 weights, against 16 bits per weight.
    sizes = [files["gguf"].stat().st_size, (files["merged"] / "model.safetensors").stat().st_size]
    assert 0.5 < sizes[0] / sizes[1] < 0.6


def test_a_model_that_the_converter_does_not_know(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = tmp_path / "convert.py"
    converter.write_text("raise SystemExit('Model FooForCausalLM is not supported')", "utf-8")
    monkeypatch.setenv(CONVERTER, str(converter))
    manifest = tmp_path / "exports/cub/manifest.json"
    manifest.parent.mkdir(parents=True)
    with pytest.raises(HeirloomError, match=r"\(Model FooForCausalLM is not supported\)"):
        export_student(
            student(tiny_model, tmp_path),
            manifest,
            merged=None,
            gguf=manifest.parent / "gguf/cub-f16.gguf",
            outtype="f16",
        )
    assert not manifest.exists() and not list(manifest.parent.glob("gguf/*"))


def test_the_converter_is_named_or_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONVERTER, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeirloomError, match=r"export.gguf: the converter of llama.cpp is not"):
        gguf_converter()
    program = tmp_path / "convert-hf-to-gguf"
    program.touch(mode=0o755)
    assert gguf_converter() == [str(program)]
    monkeypatch.setenv(CONVERTER, f"{tmp_path}/elsewhere --verbose")
    with pytest.raises(HeirloomError, match=r"export.gguf: .*elsewhere --verbose is not there"):
        gguf_converter()
    shutil.copy(program, tmp_path / "elsewhere")
    assert gguf_converter() == [f"{tmp_path}/elsewhere", "--verbose"]
    assert os.access(tmp_path / "elsewhere", os.X_OK)
